"""Files of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmdynamicvis.embedding import Embeddings
from mmdynamicvis.embedding.vector_files import SUFFIXES

NAMES = ['a/b.tif', 'ä b.png', '']


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('count', [3, 0])
def test_round_trip(suffix: str, count: int, tmp_path: Path) -> None:
    settings = dict(size=[64, 96], model='ä.pth', bands=None)
    embeddings = Embeddings(NAMES[:count], torch.randn(count, 5), settings)
    path = tmp_path / 'new' / f'vectors{suffix}'
    embeddings.save(path)
    loaded = Embeddings.load(path)
    assert loaded.names == embeddings.names
    assert loaded.settings == settings
    assert torch.equal(loaded.vectors, embeddings.vectors)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_nothing_half_written_remains(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f'vectors{suffix}'
    Embeddings(NAMES, torch.zeros(3, 2)).save(path)
    before = path.read_bytes()
    with pytest.raises((AttributeError, TypeError)):
        Embeddings(NAMES, None).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'vectors.csv must end with one of .npz, .parquet'):
        Embeddings(NAMES, torch.zeros(3, 2)).save(tmp_path / 'vectors.csv')
    np.savez(tmp_path / 'other.npz', weights=np.zeros(3))
    with pytest.raises(ValueError, match=r'other.npz is damaged or holds no embeddings.*vectors'):
        Embeddings.load(tmp_path / 'other.npz')
    np.savez(tmp_path / 'code.npz', names=np.array([object()]), vectors=np.zeros((1, 2)))
    with pytest.raises(ValueError, match='allow_pickle'):
        Embeddings.load(tmp_path / 'code.npz')


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('keep', [0, 0.5, 0.99])
def test_damaged_files_are_named(suffix: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / f'vectors{suffix}'
    with pytest.raises(FileNotFoundError, match=f'vectors{suffix} does not exist'):
        Embeddings.load(path)
    Embeddings(NAMES, torch.zeros(3, 400)).save(path)
    content = path.read_bytes()
    for damaged in (content[: int(keep * len(content))], b'hello'):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f'vectors{suffix} is damaged or holds no embeddings'):
            Embeddings.load(path)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    vectors = torch.zeros(3, 2)
    vectors[1, 1] = value
    path = tmp_path / 'vectors.npz'
    with pytest.raises(ValueError, match=r'vectors are NaN or infinite: those of ä b\.png'):
        Embeddings(NAMES, vectors).save(path)
    assert not path.exists()
    np.savez(path, names=np.array(NAMES), vectors=vectors.numpy(), settings='{}')
    with pytest.raises(ValueError, match=r'vectors.npz .*NaN or infinite: those of ä b.png'):
        Embeddings.load(path)


@pytest.mark.parametrize(
    ('vectors', 'message'),
    [
        (np.zeros((2, 4)), '3 names and 2 vectors'),
        (np.zeros(3), r'shape \(3,\), not float'),
        (np.zeros((3, 4), int), 'torch.int64 of shape'),
    ],
)
def test_vectors_that_do_not_go_with_the_names(vectors, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / 'v.npz', names=np.array(NAMES), vectors=vectors, settings='{}')
    with pytest.raises(ValueError, match=message):
        Embeddings.load(tmp_path / 'v.npz')
