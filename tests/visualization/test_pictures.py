from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdynamicvis.visualization import as_picture, write_animation, write_picture


def test_bytes_stay_as_they_are() -> None:
    image = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    assert np.array_equal(as_picture(image), image[:3].transpose(1, 2, 0))
    assert np.array_equal(as_picture(image, (2, 1, 0)), image[2::-1].transpose(1, 2, 0))
    assert np.array_equal(as_picture(image.astype(np.float32)), as_picture(image))
    gray = as_picture(image[:1])
    assert (gray == gray[..., :1]).all()


def test_other_numbers_are_stretched() -> None:
    image = np.linspace(1000, 9000, 3 * 100).reshape(3, 10, 10).astype(np.uint16)
    image[0, 0, 0] = 65535
    picture = as_picture(image)
    assert picture.dtype == np.uint8
    assert (picture[0, 0].max(), picture.min()) == (255, 0)
    assert 100 < picture.mean() < 155
    assert as_picture(np.full((3, 4, 4), 0.5)).max() == 0


def test_bands_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match=r'bands is \(2, 1, 0\); give three numbers from 0 to 1'):
        as_picture(np.zeros((2, 4, 4)), (2, 1, 0))


def test_files(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / 'new/picture.png'
    write_picture(picture, path)
    assert np.array_equal(cv2.imread(str(path))[..., ::-1], picture)
    write_animation([picture, 255 - picture, picture], tmp_path / 'new/moving.gif', seconds=0.5)
    with Image.open(tmp_path / 'new/moving.gif') as animation:
        assert (animation.n_frames, animation.info['duration']) == (3, 500)
    assert len(list(path.parent.iterdir())) == 2
    with pytest.raises(ValueError, match=r"no picture format '.abc'"):
        write_picture(picture, tmp_path / 'picture.abc')
    with pytest.raises(ValueError, match='animations are'):
        write_animation([picture], tmp_path / 'moving.mp4')
