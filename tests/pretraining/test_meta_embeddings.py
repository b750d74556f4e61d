from __future__ import annotations

import json
import pickle

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import save_file

from mmdynamicvis.pretraining.meta_embeddings import (
    load_meta_embeddings,
    project_keeping_cosines,
    save_meta_embeddings,
)

CLASSES = ('airport', 'car_dealership', 'zoo')


def cosines(features):
    unit = features.double() / features.double().norm(dim=1, keepdim=True)
    return unit @ unit.T


def features_of(n_classes, width, seed, common=0.0):
    """Random features, with a part that all share, as CLIP's have."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n_classes, width, generator=generator, dtype=torch.float64)
    return features + common * torch.randn(width, generator=generator, dtype=torch.float64)


@given(
    n_classes=st.integers(1, 12),
    width=st.integers(1, 16),
    spare=st.integers(0, 8),
    length=st.sampled_from([1e-12, 1.0, 1e6]),
    seed=st.integers(0, 999),
)
def test_cosines_stay_where_there_is_room(n_classes, width, spare, length, seed):
    features = features_of(n_classes, width, seed, common=3) * length
    dim = min(n_classes, width) + spare
    projected = project_keeping_cosines(features, dim)
    assert projected.shape == (n_classes, dim)
    assert projected.dtype == torch.float32
    torch.testing.assert_close(cosines(projected), cosines(features), rtol=0, atol=1e-6)
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(n_classes))


@given(
    n_classes=st.integers(3, 10),
    width=st.integers(3, 10),
    dim=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_without_room_the_projection_is_the_best(n_classes, width, dim, seed):
    assume(dim < min(n_classes, width))
    features = features_of(n_classes, width, seed)
    # The best approximation of the cosines keeps their largest eigenvalues.
    values, vectors = torch.linalg.eigh(cosines(features))
    best = vectors[:, -dim:] * values[-dim:].sqrt()
    assume(best.norm(dim=1).min() > 1e-2)
    assume(values[-dim] - values[-dim - 1] > 1e-3)
    projected = project_keeping_cosines(features, dim)
    torch.testing.assert_close(cosines(projected), cosines(best), rtol=0, atol=1e-5)


def test_projection_is_fixed_and_favours_no_coordinate():
    features = features_of(20, 64, seed=1, common=3)
    projected = project_keeping_cosines(features, 256)
    assert torch.equal(project_keeping_cosines(features, 256), projected)
    # Its singular vectors may come with any sign.
    torch.testing.assert_close(project_keeping_cosines(-features, 256), projected)
    energy = projected.square().mean(0)
    assert energy.max() < 20 / 256  # without the rotation, one coordinate has nearly all
    assert energy.min() > 0


@pytest.mark.parametrize(
    ('features', 'dim', 'message'),
    [
        (torch.eye(3), 0, 'dim is 0'),
        (torch.tensor([[1.0, 2.0], [0.0, 0.0]]), 4, 'feature 1 is 0'),
        (torch.tensor([[1.0, float('nan')]]), 4, 'not finite'),
        (torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), 1, 'feature 2 has no part in 1'),
    ],
)
def test_features_that_cannot_be_projected(features, dim, message):
    with pytest.raises(ValueError, match=message):
        project_keeping_cosines(features, dim)


@pytest.fixture
def saved(tmp_path):
    embeddings = torch.randn(3, 8, dtype=torch.float64)
    save_meta_embeddings(tmp_path / 'text.safetensors', embeddings, CLASSES)
    return tmp_path / 'text.safetensors', embeddings.float()


def test_rows_follow_the_names(saved):
    path, embeddings = saved
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert torch.equal(load_meta_embeddings(path, CLASSES, 8), embeddings)
    backwards = load_meta_embeddings(str(path), CLASSES[::-1], 8)
    assert torch.equal(backwards, embeddings.flip(0))
    assert backwards.dtype == torch.float32


@pytest.mark.parametrize(
    ('classes', 'dim', 'message'),
    [
        (('airport', 'zoo', 'lake'), 8, r"missing \['lake'\], unexpected \['car_dealership'\]"),
        (CLASSES[:2], 8, r"missing \[\], unexpected \['zoo'\]"),
        (CLASSES, 256, '--dim 256'),
    ],
)
def test_file_for_another_model(saved, classes, dim, message):
    with pytest.raises(ValueError, match=message):
        load_meta_embeddings(saved[0], classes, dim)


@pytest.mark.parametrize(
    ('embeddings', 'classes', 'message'),
    [
        (torch.ones(3), CLASSES, r'shape \(3,\) for 3'),
        (torch.ones(2, 8), CLASSES, r'shape \(2, 8\) for 3'),
        (torch.ones(2, 8), ('zoo', 'zoo'), r"twice: \['zoo'\]"),
        (torch.full((3, 8), torch.inf), CLASSES, 'not finite'),
    ],
)
def test_wrong_content_is_neither_saved_nor_loaded(tmp_path, embeddings, classes, message):
    path = tmp_path / 'wrong.safetensors'
    with pytest.raises(ValueError, match=message):
        save_meta_embeddings(path, embeddings, classes)
    assert not path.exists()
    metadata = {'classes': json.dumps(classes)}
    save_file({'meta_embeddings': embeddings}, path, metadata=metadata)
    with pytest.raises(ValueError, match=message):
        load_meta_embeddings(path, classes, 8)


@pytest.mark.parametrize(
    ('name', 'metadata', 'message'),
    [
        ('meta_embeddings', None, 'does not name the classes'),
        ('meta_embeddings', {'format': 'pt'}, 'does not name the classes'),
        ('meta_embeddings', {'classes': 'airport'}, 'does not name the classes'),
        ('meta_embeddings', {'classes': '"airport"'}, 'not as a list'),
        ('weight', {'classes': '["airport"]'}, 'holds no meta-embeddings'),
    ],
)
def test_other_safetensors_files(tmp_path, name, metadata, message):
    save_file({name: torch.ones(1, 8)}, tmp_path / 'other.safetensors', metadata=metadata)
    with pytest.raises(ValueError, match=message):
        load_meta_embeddings(tmp_path / 'other.safetensors', ['airport'], 8)


def test_damaged_and_missing_files(saved):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match='damaged'):
        load_meta_embeddings(path, CLASSES, 8)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'tools/text_meta_embeddings\.py'):
        load_meta_embeddings(path, CLASSES, 8)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), 'w'))


@pytest.mark.parametrize('write', [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_nothing_in_a_file_is_executed(tmp_path, write):
    path, marker = tmp_path / 'malicious.safetensors', tmp_path / 'executed'
    write({'meta_embeddings': torch.ones(3, 8), 'x': Malicious(marker)}, path)
    with pytest.raises(ValueError, match='damaged'):
        load_meta_embeddings(path, CLASSES, 8)
    assert not marker.exists()


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / 'taken.safetensors').mkdir()
    with pytest.raises(OSError, match=r'taken\.safetensors'):
        save_meta_embeddings(tmp_path / 'taken.safetensors', torch.ones(3, 8), CLASSES)
    assert [file.name for file in tmp_path.iterdir()] == ['taken.safetensors']
