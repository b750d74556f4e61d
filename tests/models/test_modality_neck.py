from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmdynamicvis.models.modalities import ModalityMaps, MultiModalFeatures
from mmdynamicvis.models.resampling import resample
from mmdynamicvis.registry import MODELS

NAMES = ('rgb', 's2', 's1')
CHANNELS = (3, 5)
CELLS = (5.0, 10.0)
MAP_CELLS = {'rgb': (2.4, 9.6), 's2': (10.0, 10.0), 's1': (20.0, 20.0)}
# (N, samples): s1 is missing in sample 0, rgb in sample 2; s2 has two and three dates
SAMPLES = {'rgb': [0, 1], 's2': [0, 0, 1, 2, 2, 2], 's1': [1, 2]}


def build(modalities=NAMES, seed=0, **kwargs):
    config = dict(
        type='mmdynamicvis.ModalityNeck', in_channels=CHANNELS, modalities=modalities, cells=CELLS
    )
    torch.manual_seed(seed)
    neck = MODELS.build({**config, **kwargs}).double().eval()
    if neck.date_scores is not None:
        for parameter in neck.date_scores.parameters():
            torch.nn.init.normal_(parameter)
    for name, parameter in neck.named_parameters():  # norms that do something
        if name.endswith('1.weight') or name.endswith('1.bias'):
            torch.nn.init.normal_(parameter, 1, 0.3)
    return neck


def make(samples=SAMPLES, size=3, seed=0) -> MultiModalFeatures:
    """Random maps of 60 m x 80 m."""
    generator = torch.Generator().manual_seed(seed)
    maps = {}
    for name, rows in samples.items():
        levels = tuple(
            torch.randn(
                len(rows), c, math.ceil(60 / cell), math.ceil(80 / cell),
                generator=generator, dtype=torch.float64,
            )
            for c, cell in zip(CHANNELS, MAP_CELLS[name], strict=True)
        )  # fmt: skip
        maps[name] = ModalityMaps(levels, MAP_CELLS[name], torch.tensor(rows))
    return MultiModalFeatures(maps, size)


def select(features: MultiModalFeatures, sample: int) -> MultiModalFeatures:
    """The features of one sample; modalities that it lacks have no entry."""
    maps = {}
    for name, (levels, cells, samples) in features.maps.items():
        own = samples == sample
        if own.any():
            maps[name] = ModalityMaps(tuple(x[own] for x in levels), cells, samples[own] * 0)
    return MultiModalFeatures(maps, 1)


def oracle(neck, features: MultiModalFeatures, level: int, sample: int) -> Tensor:
    """The formula for one sample and cell at a time, (C, H, W), with loops."""
    cell = CELLS[level]
    grid = (round(60 / cell), round(80 / cell))
    output = torch.zeros(neck.out_channels[level], *grid, dtype=torch.float64)
    aligned = []
    for name, maps in features.maps.items():
        dates = [x for x, s in zip(maps.levels[level], maps.samples, strict=True) if s == sample]
        if not dates:
            continue
        merged = torch.zeros_like(dates[0])
        for row in range(merged.shape[1]):
            for column in range(merged.shape[2]):
                vectors = [date[:, row, column] for date in dates]
                weights = [1.0] * len(dates)
                if neck.date_scores is not None:
                    w = neck.date_scores[name][level]
                    weights = [math.exp(float(v @ w)) for v in vectors]
                pairs = zip(weights, vectors, strict=True)
                merged[:, row, column] = sum(w * v for w, v in pairs) / sum(weights)
        x = resample(merged.permute(1, 2, 0)[None], maps.cells[level], grid, cell)[0]
        aligned.append((name, x))
    projection = neck.projections[level]
    for row in range(grid[0]):
        for column in range(grid[1]):
            z = 0
            for name, x in aligned:
                linear, norm = neck.adapters[name][level]
                a = linear.weight @ x[row, column] + linear.bias
                variance = ((a - a.mean()) ** 2).mean()
                normal = (a - a.mean()) / (variance + norm.eps).sqrt()
                z = z + norm.weight * normal + norm.bias
            z = z / math.sqrt(len(aligned))
            output[:, row, column] = projection.weight @ z + projection.bias
    return output


@pytest.mark.parametrize('out_channels', [None, 4])
@pytest.mark.parametrize('dates', ['mean', 'attention'])
def test_equals_the_formula(dates, out_channels):
    neck, features = build(dates=dates, out_channels=out_channels), make()
    outputs = neck(features)
    assert [x.shape[2:] for x in outputs] == [(12, 16), (6, 8)]
    for level, x in enumerate(outputs):
        for sample in range(3):
            expected = oracle(neck, features, level, sample)
            torch.testing.assert_close(x[sample], expected, rtol=1e-9, atol=1e-9)


def test_a_missing_modality_is_as_if_it_had_never_been_configured():
    neck, features = build(dates='attention'), make()
    outputs = neck(features)
    for sample in range(3):
        alone = select(features, sample)
        names = tuple(name for name in NAMES if name in alone.maps)
        small = build(modalities=names, dates='attention')
        small.load_state_dict(
            {k: v for k, v in neck.state_dict().items() if k in small.state_dict()}
        )
        for x, expected in zip(outputs, small(alone), strict=True):
            torch.testing.assert_close(x[sample], expected[0], rtol=1e-12, atol=1e-12)


def test_the_order_of_modalities_does_not_matter():
    neck, features = build(), make()
    outputs = neck(features)
    shuffled = features._replace(maps=dict(reversed(features.maps.items())))
    other = build(modalities=NAMES[::-1])
    other.load_state_dict(neck.state_dict())
    for x, same, close in zip(outputs, neck(shuffled), other(features), strict=True):
        assert torch.equal(x, same)
        torch.testing.assert_close(close, x, rtol=1e-12, atol=1e-12)


def test_the_mean_of_dates_is_the_map_of_their_mean():
    neck, features = build(), make({'s2': [0, 0, 0]}, 1)
    maps = features.maps['s2']
    single = ModalityMaps(
        tuple(x.mean(0, keepdim=True) for x in maps.levels), maps.cells, torch.tensor([0])
    )
    expected = neck(MultiModalFeatures({'s2': single}, 1))
    # and the mean of what each date alone gives before fusion
    for level, (x, y) in enumerate(zip(neck(features), expected, strict=True)):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)
        alone = [
            neck.align(MultiModalFeatures({'s2': date}, 1), level)['s2']
            for date in (
                ModalityMaps(tuple(x[i : i + 1] for x in maps.levels), maps.cells, maps.samples[:1])
                for i in range(3)
            )
        ]
        torch.testing.assert_close(neck.align(features, level)['s2'], sum(alone) / 3)


@pytest.mark.parametrize('dates', ['mean', 'attention'])
def test_the_order_of_dates_does_not_matter(dates):
    neck, features = build(dates=dates), make()
    order = [1, 0, 2, 5, 3, 4]
    maps = features.maps['s2']
    shuffled = maps._replace(levels=tuple(x[order] for x in maps.levels))
    outputs = neck(features._replace(maps={**features.maps, 's2': shuffled}))
    for x, y in zip(neck(features), outputs, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def test_attention_starts_as_the_mean_and_takes_large_scores():
    neck, features = build(dates='attention'), make()
    for parameter in neck.date_scores.parameters():
        parameter.data.zero_()
    mean = build()
    mean.load_state_dict(neck.state_dict(), strict=False)
    for x, y in zip(neck(features), mean(features), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)
    for parameter in neck.date_scores.parameters():
        parameter.data.fill_(1e5)
    assert all(x.isfinite().all() for x in neck(features))


def test_dropout_never_drops_all():
    neck = build(drop=0.6).train()
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0]]).bool().repeat(4000, 1)
    kept = neck.drop_modalities(present)
    assert not (kept & ~present).any()
    assert kept.any(1).all()
    # of three, each is kept by chance, or as the only one if all would be dropped
    rates = kept.view(4000, 3, 3).double().mean(0)
    assert rates[0].tolist() == pytest.approx([0.4 + 0.6**3 / 3] * 3, abs=0.03)
    assert rates[1].tolist() == pytest.approx([0.4 + 0.6**2 / 2, 0, 0.4 + 0.6**2 / 2], abs=0.03)
    assert rates[2].tolist() == [0, 1, 0]


def test_dropout_is_off_in_eval_and_acts_in_training():
    neck, features = build(drop=0.9), make()
    present = neck.present(features)
    assert neck.drop_modalities(present) is present
    outputs = neck.train()(features)
    assert not torch.allclose(outputs[0], neck.eval()(features)[0])
    # at this rate nearly every sample is left with one modality, also in all levels the same
    torch.manual_seed(3)
    outputs = neck.train()(features)
    torch.manual_seed(3)
    kept = neck.drop_modalities(present)
    for level, x in enumerate(outputs):
        expected = neck.fuse(neck.align(features, level), kept, level)
        assert torch.equal(x, expected)


def test_gradients():
    neck = build(dates='attention', in_channels=(3,), cells=(8.0,))
    features = make({'s2': [0, 0, 1], 'rgb': [1]}, 2)
    leaves = [
        maps.levels[0][:, :, :2, :2].clone().requires_grad_() for maps in features.maps.values()
    ]

    def forward(*levels):
        maps = {
            name: ModalityMaps((x,), (12.0 if name == 's2' else 5.0,), features.maps[name].samples)
            for name, x in zip(features.maps, levels, strict=True)
        }
        return neck(MultiModalFeatures(maps, 2))[0]

    assert torch.autograd.gradcheck(forward, leaves)


def test_every_parameter_gets_a_gradient_when_the_batch_lacks_modalities():
    neck = build(dates='attention').train()
    sum(x.square().sum() for x in neck(make({'s2': [0, 0]}, 1))).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad is not None, name
        absent = '.rgb.' in name or '.s1.' in name
        assert (parameter.grad == 0).all() == absent, name


def test_autocast_is_finite():
    neck, features = build(dates='attention').float(), make()
    maps = {
        name: m._replace(levels=tuple(x.bfloat16() for x in m.levels))
        for name, m in features.maps.items()
    }
    with torch.autocast('cpu', torch.bfloat16):
        outputs = neck.train()(features._replace(maps=maps))
    assert all(x.isfinite().all() for x in outputs)


def test_export():
    neck, features = build(dates='attention'), make()
    exported = torch.export.export(neck, (features,)).module()
    other = make(seed=1)
    for x, y in zip(exported(other), neck(other), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def test_a_sample_without_any_modality_is_named():
    with pytest.raises(ValueError, match=r'sample 1 of the batch of 3 has no image.*rgb, s2, s1'):
        build()(make({'rgb': [0], 's2': [0, 2]}, 3))
    with pytest.raises(ValueError, match='no sample of the batch of 2'):
        build()(MultiModalFeatures({}, 2))


@pytest.mark.parametrize('samples', [[0, 5], [-1, 0]])
def test_samples_outside_of_the_batch_are_named(samples):
    with pytest.raises(ValueError, match=r's2 has images of the samples \[.*but the batch has 2'):
        build()(make({'s2': samples}, 2))


def test_levels_of_another_backbone_are_named():
    with pytest.raises(ValueError, match=r'has levels of \(3, 5\) channels, but in_channels'):
        build(in_channels=(3, 6))(make())


def test_wrong_features():
    features = make()
    with pytest.raises(ValueError, match='returned s1, but the modalities of the neck are rgb, s2'):
        build(modalities=('rgb', 's2'))(features)
    with pytest.raises(ValueError, match='rgb has 2 levels, but the neck has 1'):
        build(in_channels=(3,), cells=(5.0,))(features)
    with pytest.raises(TypeError, match='got tuple'):
        build()((torch.zeros(1, 3, 4, 4),))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(modalities=()), 'name every modality once'),
        (dict(modalities=('a', 'a')), 'name every modality once'),
        (dict(modalities='rgb'), 'name every modality once'),
        (dict(cells=(10.0,)), 'one entry per level'),
        (dict(cells=(10.0, 0.0)), 'edges of cells in meters'),
        (dict(drop=1.0), 'drop is 1.0'),
        (dict(dates='last'), "dates is 'last'"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        build(**wrong)
