"""Images as anybody may send them, and files that are none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmdynamicvis.page.uploads import MAX_PIXELS, fit, read_upload

RED = (200, 10, 10)


def encode(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize('name', ['BMP', 'JPEG', 'PNG', 'WEBP'])
@pytest.mark.parametrize('mode', ['L', 'RGB'])
def test_formats_of_photographs(name: str, mode: str, tmp_path: Path) -> None:
    image = Image.new('RGB', (30, 20), RED).convert(mode)
    path = tmp_path / 'image'
    path.write_bytes(encode(image, name))
    pixels = read_upload(path)
    assert (pixels.shape, pixels.dtype) == ((20, 30, 3), np.uint8)
    assert abs(pixels[10, 10].astype(int) - image.convert('RGB').getpixel((10, 10))).max() < 8


def test_a_camera_that_was_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    path = tmp_path / 'turned.png'
    path.write_bytes(encode(Image.new('RGB', (30, 20)), 'PNG', exif=exif))
    assert read_upload(path).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ('size', 'said'), [((4097, 4096), 'bomb.png has 4097 x 4096 pixels'), ((20000, 20000), 'bomb')]
)
def test_a_small_file_of_many_pixels(size: tuple[int, int], said: str, tmp_path: Path) -> None:
    path = tmp_path / 'bomb.png'
    path.write_bytes(encode(Image.new('1', size), 'PNG'))
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match=rf'{said}.*{MAX_PIXELS:,}'):
        read_upload(path)


def test_more_than_8_bits(tmp_path: Path) -> None:
    path = tmp_path / 'deep.png'
    path.write_bytes(encode(Image.fromarray(np.full((20, 30), 900, np.uint16)), 'PNG'))
    with pytest.raises(ValueError, match=r'deep\.png has more than 8 bits per band'):
        read_upload(path)


def test_other_files(tmp_path: Path) -> None:
    for name, content in (
        ('text.png', b'hello'),
        ('empty.jpg', b''),
        # Pillow would give it to another program
        ('page.png', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n'),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f'{name} is no image'):
            read_upload(tmp_path / name)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8))


@settings(deadline=None, max_examples=200)
@given(
    name=st.sampled_from(['BMP', 'JPEG', 'PNG', 'WEBP']),
    end=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
)
def test_damaged_files_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    end: float,
    changes: list[tuple[float, int]],
) -> None:
    content = bytearray(encode(NOISE, name))
    for place, value in changes:
        content[round(place * (len(content) - 1))] = value
    path = tmp_path_factory.getbasetemp() / 'damaged'
    path.write_bytes(content[: round(end * len(content))])
    try:
        assert read_upload(path).shape[2] == 3
    except ValueError as error:
        assert 'damaged' in str(error)


def test_pictures_of_one_size() -> None:
    picture = np.zeros((10, 20, 3), np.uint8)
    assert fit(picture, 40).shape == (20, 40, 3)
    assert fit(picture, 10).shape == (5, 10, 3)
    assert fit(np.zeros((2, 4096, 3), np.uint8), 768).shape == (1, 768, 3)
