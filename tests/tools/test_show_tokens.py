"""Pictures of selected tokens, by the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import run_tool

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.weights import save_weights

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_weights(DynamicVis(ARCH, img_size=64).state_dict(), tmp_path / 'model.safetensors')
    pixels = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    for name in ('a/1.png', 'a/1.jpg', 'b/1.png', 'b/v1.2.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def show(checkout, folder, *images, options=()):
    paths = [folder / image for image in images]
    arguments = (*paths, '--model', folder / 'model.safetensors', '--device', 'cpu', *options)
    return run_tool(checkout / 'tools/show_tokens.py', *arguments)


def test_images_of_one_name(checkout, folder):
    images = ('a/1.png', 'a/1.jpg', 'b/1.png', 'b/v1.2.png')
    out = folder / 'out'
    done = show(checkout, folder, *images, options=('--out', out, '--arrays', '--animation'))
    assert done.returncode == 0, done.stderr
    for suffix in ('png', 'gif', 'npz'):
        written = {path.name for path in out.glob(f'*.{suffix}')}
        assert written == {f'{name}.{suffix}' for name in ('1', 'a_1', 'b_1', 'v1.2')}


def test_nothing_is_overwritten(checkout, folder):
    before = {path: path.read_bytes() for path in folder.rglob('*.*')}
    for options in ((), ('--force',)):
        done = show(checkout, folder, 'a/1.png', options=('--out', folder / 'a', *options))
        assert done.returncode == 1
        image = folder / 'a/1.png'
        assert f'{image} would be written over {image}, which is read' in done.stderr
    # another image of the user's
    options = ('--out', folder / 'a')
    done = show(checkout, folder, 'b/1.png', options=options)
    assert done.returncode == 1
    assert 'a/1.png exists; pass --force to overwrite it' in done.stderr
    assert {path: path.read_bytes() for path in folder.rglob('*.*')} == before
    done = show(checkout, folder, 'b/1.png', options=(*options, '--force'))
    assert done.returncode == 0, done.stderr
    assert Image.open(folder / 'a/1.png').size != (80, 64)
