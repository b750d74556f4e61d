"""The probes of frozen features."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from running import run_tool

from mmdynamicvis import DynamicVis, zoo

CONFIG = 'configs/classification/dynamicvis_tiny_1xb64-60e_eurosat-64px.py'


@pytest.fixture
def probe(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))
    return importlib.import_module('probe')


def test_neighbors_and_the_probe_find_what_features_tell(probe):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    centers = 5 * torch.eye(3)[:, :2]
    points = centers[labels] + torch.randn(300, 2, generator=generator)
    train, test = points[:200], points[200:]
    nearest = probe.nearest_neighbors(train, labels[:200], test)
    linear, _ = probe.linear_probe(train, labels[:200], test)
    for predicted in (nearest, linear):
        found = probe.accuracy(predicted, labels[200:])
        assert 90 < found['low'] <= found['accuracy'] <= found['high']


def test_the_nearer_ones_count_where_votes_are_equal(probe):
    train, labels = torch.tensor([[0.0], [0.1], [0.5], [0.6]]), torch.tensor([1, 1, 0, 0])
    found = probe.nearest_neighbors(train, labels, torch.tensor([[0.2], [0.5]]), k=4)
    assert found.tolist() == [1, 0]


def test_precision_counts_from_the_nearest_by_angle(probe):
    train, test = torch.tensor([[9.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.2], [0.1, 5.0]])
    found = probe.retrieval(train, torch.tensor([0, 1]), test, torch.tensor([1, 1]))
    assert found == pytest.approx(75)  # found second, and first


def test_the_penalty_is_that_of_the_docstring(probe):
    train = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 2
    classifier = probe.logistic_regression(train, labels, 0.1)
    weight = classifier.weight.detach().double().requires_grad_()
    bias = classifier.bias.detach().double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(train.double() @ weight.T + bias, labels)
    (loss + 0.05 * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-4
    assert bias.grad.abs().max() < 1e-4


def test_features_of_all_stages(probe, checkout):
    name = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
    config = str(checkout / f'configs/classification/{name}.py')
    features = probe.of_classifier(config, f'mmdynamicvis://{name}', 0, all_stages=True)
    image = torch.randint(256, (3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    card = zoo.cards()[name]
    mean, std = (torch.tensor(values)[:, None, None] for values in (card.mean, card.std))
    sample = DataSample().set_gt_label(0)
    with torch.no_grad():  # files are read as blue, green, red
        found = features(dict(inputs=[image], data_samples=[sample]))
        maps = DynamicVis.from_pretrained(name).eval()((image.flip(0) - mean)[None] / std)
    assert found.shape == (1, 720)
    torch.testing.assert_close(found, torch.cat([x.mean((2, 3)) for x in maps], 1))


def test_random_convolutions_see_whitened_patches(probe):
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, 9, 12), generator=generator, dtype=torch.uint8)] * 4
    model = probe.RandomConvolutions(images, n_filters=5)
    features = model({'inputs': images[:2]})
    assert features.shape == (2, 10)
    patches = torch.nn.functional.unfold(images[0][None].float() / 255, 3)[0].T
    answers = (patches - model.mean) @ model.kernels.flatten(1).T
    expected = torch.cat([answers.relu().mean(0), (-answers).relu().mean(0)])
    assert torch.allclose(features[0], expected, atol=1e-4)


GALILEO = """
import torch

SPACE_TIME_BANDS = ['VV', 'B2', 'B3', 'B4']
SPACE_TIME_BANDS_GROUPS_IDX = {'S1': [0], 'S2_RGB': [1, 2, 3]}
SPACE_BANDS, TIME_BANDS, STATIC_BANDS = ['slope'], ['soil'], ['x', 'y']
SPACE_BAND_GROUPS_IDX, TIME_BAND_GROUPS_IDX = {'SRTM': [0]}, {'TC': [0]}
STATIC_BAND_GROUPS_IDX = {'location': [0, 1]}

class Encoder(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(width))

    def forward(self, s_t_x, sp_x, t_x, st_x, s_t_m, sp_m, t_m, st_m, months, patch_size):
        assert patch_size == 8 and months.shape == (len(s_t_x), 1)
        assert sp_m.all() and t_m.all() and st_m.all()
        return s_t_x * self.scale, sp_x, t_x, st_x, s_t_m, sp_m, t_m, st_m, months

    @staticmethod
    def average_tokens(s_t_x, sp_x, t_x, st_x, s_t_m, sp_m, t_m, st_m):
        assert s_t_m[..., 0].all() and not s_t_m[..., 1].any()
        return s_t_x.mean((1, 2, 3))
"""


def test_galileo_gets_the_visible_bands_in_its_order_and_scale(checkout, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / 'tools/benchmark'))
    galileo = importlib.import_module('galileo')
    with pytest.raises(FileNotFoundError, match='no checkout of Galileo'):
        galileo.GalileoNano(tmp_path, [])
    weights = tmp_path / 'data/models/nano'
    weights.mkdir(parents=True)
    (tmp_path / 'single_file_galileo.py').write_text(GALILEO)
    (weights / 'config.json').write_text(json.dumps({'model': {'encoder': {'width': 4}}}))
    torch.save({'scale.backbone': torch.ones(4)}, weights / 'encoder.pt')
    bgr = torch.arange(3 * 64, dtype=torch.uint8).view(3, 8, 8)
    model = galileo.GalileoNano(tmp_path, [bgr])
    features = model({'inputs': [bgr, bgr // 2]})
    channels = bgr.flatten(1).double()
    scaled = (bgr.double() // 2 - channels.mean(1)[:, None, None]) / channels.std(1)[:, None, None]
    assert torch.allclose(features[0, 1:], torch.full((3,), 0.5))  # of their own mean
    assert torch.allclose(features[1, 1:].double(), 0.5 + scaled.mean((1, 2)) / 4)  # blue is B2
    assert not features[:, 0].any()


@pytest.mark.exhaustive
def test_a_folder_of_classes(checkout, tmp_path):
    generator = np.random.default_rng(0)
    lists = {'train.txt': range(6), 'test.txt': range(6, 8)}
    for name in ('AnnualCrop', 'Forest'):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for i in range(8):
            pixels = generator.integers(256, size=(64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f'data/{name}/{name}_{i}.jpg')
    for name, numbers in lists.items():
        lines = [f'{c}/{c}_{i}.jpg' for c in ('AnnualCrop', 'Forest') for i in numbers]
        (tmp_path / 'data' / name).write_text('\n'.join(lines))
    config = checkout / CONFIG
    done = run_tool(
        checkout / 'tools/benchmark/probe.py',
        *('--data', config, '--data-root', tmp_path / 'data', '--rcf', 8),
        *('--model', 'random', config, 'random', '--out', tmp_path / 'out.json'),
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / 'out.json').read_text())['rows']
    assert [row['model'] for row in rows] == ['random', 'RCF, 8 filters']
    assert all(0 <= row['retrieval'] <= 100 for row in rows)
    assert all(row['nearest']['low'] <= row['nearest']['accuracy'] for row in rows)
