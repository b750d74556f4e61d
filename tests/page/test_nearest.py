"""Similar images, from one folder alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdynamicvis import DynamicVis
from mmdynamicvis.embedding import Embeddings
from mmdynamicvis.embedding.image_index import embed_images, settings_of
from mmdynamicvis.models.weights import save_weights
from mmdynamicvis.page.nearest import NearestImages
from mmdynamicvis.page.uploads import read_upload

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))


def write_index(folder: Path, bands: int = 3) -> tuple[Path, list[Path]]:
    """Write images, and an index of them by a model with random weights."""
    torch.manual_seed(0)
    model = folder / 'model.safetensors'
    save_weights(DynamicVis(ARCH, img_size=64, in_channels=bands).state_dict(), model)
    images = []
    (folder / 'images').mkdir()
    for seed in range(5):
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        images.append(folder / f'images/{seed}.png')
        Image.fromarray(coarse).resize((64, 64)).save(images[-1])
    options = dict(mean=[0.0] * bands, std=[255.0] * bands) if bands != 3 else {}
    index = folder / 'index.safetensors'
    embed_images(images[: 5 if bands == 3 else 0], settings_of(model, **options), 'cpu').save(index)
    return index, images


def test_the_nearest_first(tmp_path: Path) -> None:
    index, images = write_index(tmp_path)
    nearest = NearestImages(index, tmp_path / 'images', 'cpu')
    found = nearest(read_upload(images[3]), k=4)
    assert len(found) == 4
    assert found[0][1] == '0.000 3.png'
    distances = [float(caption.split()[0]) for _, caption in found]
    assert distances == sorted(distances) and distances[1] > 0
    assert all(picture.shape == (256, 256, 3) for picture, _ in found)
    assert len(nearest(read_upload(images[0]))) == 5


def test_an_image_that_is_gone_is_said(tmp_path: Path) -> None:
    index, images = write_index(tmp_path)
    nearest = NearestImages(index, tmp_path / 'images', 'cpu')
    query = read_upload(images[3])
    images[3].unlink()
    images[1].write_bytes(b'no image')
    found = {caption.split()[1]: (picture, caption) for picture, caption in nearest(query)}
    assert sorted(found) == ['0.png', '1.png', '2.png', '3.png', '4.png']
    assert {name for name, (_, caption) in found.items() if '(gone)' in caption} == {
        '1.png', '3.png'
    }  # fmt: skip
    assert found['3.png'][1] == '0.000 3.png (gone)'
    assert len(np.unique(found['3.png'][0])) == 1 < len(np.unique(found['0.png'][0]))


def test_images_elsewhere_are_not_read(tmp_path: Path) -> None:
    index, images = write_index(tmp_path)
    names, vectors, settings = Embeddings.load(index)
    (tmp_path / 'other').mkdir()
    with pytest.raises(ValueError, match=r'image .*0\.png of the index is not in .*other'):
        NearestImages(index, tmp_path / 'other')
    for outside in ('/etc/hostname', f'{tmp_path}/images/../model.safetensors'):
        Embeddings([outside, *names[1:]], vectors, settings).save(index)
        with pytest.raises(ValueError, match='of the index is not in'):
            NearestImages(index, tmp_path / 'images')

    Embeddings(names, vectors, settings).save(index)
    nearest = NearestImages(index, tmp_path / 'images', 'cpu')
    query = read_upload(images[2])
    images[2].unlink()
    images[2].symlink_to(images[1].rename(tmp_path / 'private.png'))
    with pytest.raises(ValueError, match=r'image .*2\.png of the index is not in'):
        nearest(query, k=1)


def test_indices_that_are_of_no_use(tmp_path: Path) -> None:
    index, _ = write_index(tmp_path, bands=4)
    with pytest.raises(ValueError, match='is empty'):
        NearestImages(index, tmp_path)
    _, vectors, settings = Embeddings.load(index)
    vectors = torch.zeros(1, vectors.shape[1])
    Embeddings([str(tmp_path / 'images/0.png')], vectors, settings).save(index)
    with pytest.raises(ValueError, match='has images of 4 bands; the page takes R, G, B'):
        NearestImages(index, tmp_path, 'cpu')
