"""An index over a folder of images, by the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmdynamicvis import DynamicVis
from mmdynamicvis.embedding import Embeddings
from mmdynamicvis.models.weights import save_weights

ARCH = dict(embed_dims=(8, 12, 16, 64), depths=(1, 1, 1, 1))

pytestmark = pytest.mark.slow


def call(checkout: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(checkout / 'tools/search_images.py'), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def write_images(folder: Path, seeds: range) -> list[Path]:
    folder.mkdir()
    paths = []
    for seed in seeds:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        paths.append(folder / f'image_{seed}.png')
        cv2.imwrite(str(paths[-1]), cv2.resize(coarse, (64, 64)))
    return paths


def test_build_add_and_find(checkout: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tmp_path / 'model.safetensors'
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    first = write_images(tmp_path / 'first', range(4))
    second = write_images(tmp_path / 'second', range(4, 7))
    (tmp_path / 'second/damaged.png').write_bytes(b'no image')
    index = tmp_path / 'index.safetensors'

    done = call(checkout, 'build', index, tmp_path / 'first', '--model', model)
    assert done.returncode == 0, done.stderr
    assert 'index.safetensors: 4 images' in done.stdout
    for added in ('3 images added, 7', '0 images added, 7'):
        done = call(checkout, 'add', index, tmp_path / 'second')
        assert done.returncode == 0, done.stderr
        assert added in done.stdout
        assert 'damaged.png' in done.stdout + done.stderr
    assert Embeddings.load(index).names == [str(path) for path in (*first, *second)]

    picture = tmp_path / 'found.png'
    for code in ('float', 'hash64'):
        options = ('-k', 3, '--code', code, '--picture', picture)
        done = call(checkout, 'find', index, second[1], first[0], *options)
        assert done.returncode == 0, done.stderr
        # the first line is the log's
        lines = done.stdout.splitlines()[1:]
        assert [lines[0], lines[4]] == [str(second[1]), str(first[0])]
        # itself, then two others
        assert lines[1].split() == ['0.0000', str(second[1])]
        assert lines[5].split() == ['0.0000', str(first[0])]
        assert picture.stat().st_size > 0
        picture.unlink()

    done = call(checkout, 'build', index, tmp_path / 'first', '--model', model)
    assert done.returncode == 1 and '--force' in done.stderr
    done = call(checkout, 'build', model, tmp_path / 'first', '--model', model, '--force')
    assert done.returncode == 1 and 'model.safetensors, which is read' in done.stderr
    done = call(checkout, 'find', index, first[0], '--picture', first[1])
    assert done.returncode == 1 and 'image_1.png exists; remove it' in done.stderr
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), model)
    done = call(checkout, 'find', index, first[0])
    assert done.returncode == 1
    assert 'model.safetensors has changed since the index was made' in done.stderr
