from __future__ import annotations

from itertools import combinations

import pytest
import torch

from mmdynamicvis.models.modalities import MultiModalBatch
from mmdynamicvis.pretraining.modality_losses import cell_info_nce, hidden_patch_loss
from mmdynamicvis.registry import MODELS

from .modalities import SENSORS, build, config, fix_hidden, make

SAMPLES = {'rgb': [0, 1], 's2': [0, 0, 1, 2], 's1': [1, 2]}
NAMES = tuple(SENSORS)


def batch(dtype=None) -> MultiModalBatch:
    return make(SAMPLES, 3, dtype=dtype)


def blocks(pixels, gsd: float):
    """Pixels (C, H, W) -> the pixels of each 10 m cell, in raster order."""
    cells = []
    for row in range(6):
        for column in range(8):
            if gsd <= 10:
                k = int(10 / gsd)
                cells.append(pixels[:, row * k : (row + 1) * k, column * k : (column + 1) * k])
            else:  # 20 m: interpolated
                y = min(max((row + 0.5) / 2 - 0.5, 0), 2)
                x = min(max((column + 0.5) / 2 - 0.5, 0), 3)
                value = 0
                for i in range(3):
                    for j in range(4):
                        weight = max(1 - abs(y - i), 0) * max(1 - abs(x - j), 0)
                        value = value + weight * pixels[:, i, j]
                cells.append(value)
    return cells


def test_losses_equal_a_plain_computation():
    """Cell by cell, for samples without some modalities and with two dates."""
    model, data = build().double(), batch(torch.float64)
    hidden = fix_hidden(model, data)
    losses = model(data, mode='loss')

    images = {
        name: x._replace(pixels=x.pixels * ~hidden[name][x.samples][:, None])
        for name, x in data.images.items()
    }
    features = model.backbone(data._replace(images=images))
    fused = model.neck(features)[0].flatten(2)
    aligned = model.neck.align(features, 0)
    # whether all of a cell is hidden
    gone = {
        name: [
            [bool((b >= 0.9).all()) for b in blocks(mask[None].double(), SENSORS[name]['gsd'])]
            for mask in hidden[name]
        ]
        for name in NAMES
    }
    terms = []
    for name in NAMES:
        rows = data.images[name]
        predicted, targets, flags = [], [], []
        for sample in range(3):
            dates = [x for x, s in zip(rows.pixels, rows.samples, strict=True) if s == sample]
            if not dates:
                continue
            cells = blocks(sum(dates) / len(dates), SENSORS[name]['gsd'])
            matrix = getattr(model, f'projection_{name}')
            targets.append(torch.stack([cell.flatten() @ matrix for cell in cells]))
            predicted.append(model.predictors[name](fused[sample].t()))
            flags.append(gone[name][sample])
        flags = torch.tensor(flags)
        assert 0 < flags.sum() < flags.numel()
        terms.append(hidden_patch_loss(torch.stack(predicted), torch.stack(targets), flags))
    torch.testing.assert_close(losses['loss_hidden'], sum(terms) / 3)

    terms = []
    for first, second in combinations(NAMES, 2):
        cells = [
            (sample, cell)
            for sample in range(3)
            if all(sample in SAMPLES[name] for name in (first, second))
            for cell in range(48)
            if not gone[first][sample][cell] and not gone[second][sample][cell]
        ]
        embeddings = [
            torch.stack(
                [model.projectors[name](aligned[name][s].flatten(0, 1)[cell]) for s, cell in cells]
            )
            for name in (first, second)
        ]
        terms.append(cell_info_nce(*embeddings))
    torch.testing.assert_close(losses['loss_contrast'], sum(terms) / 3)


def test_the_backbone_sees_zeros_where_pixels_are_hidden_in_all_dates():
    model = build(hidden_size=2)
    data = batch()
    model(data, mode='loss')
    drawn = {}
    for name, images in model.backbone.seen.images.items():
        original = data.images[name].pixels
        zero = (images.pixels == 0).all(1)
        assert torch.equal(images.pixels, original * ~zero[:, None])
        k = max(int(20 / images.gsd), 1)  # patches of 20 m
        patches = zero.unfold(1, k, k).unfold(2, k, k).flatten(3)
        assert torch.equal(patches.all(-1), patches.any(-1))
        assert 0 < patches.all(-1).sum() < patches[..., 0].numel()
        drawn[name] = patches.all(-1)
    assert torch.equal(drawn['s2'][0], drawn['s2'][1])  # dates of one sample
    assert not torch.equal(drawn['s2'][2], drawn['s2'][3])
    assert not torch.equal(drawn['s2'][2:], drawn['s1'])


def test_what_is_hidden_does_not_reach_the_features():
    """Neither loss_contrast nor the predictions see hidden pixels, and the targets do."""
    model, data = build(contrast_weight=1.0), batch()
    hidden = fix_hidden(model, data)
    losses = model(data, mode='loss')
    images = data.images['s2']
    noise = hidden['s2'][images.samples][:, None] * torch.randn_like(images.pixels)
    changed = images._replace(pixels=images.pixels + noise)
    other = data._replace(images={**data.images, 's2': changed})
    found = model(other, mode='loss')
    torch.testing.assert_close(found['loss_contrast'], losses['loss_contrast'])
    assert not torch.isclose(found['loss_hidden'], losses['loss_hidden'])


def test_it_learns():
    model, data = build(), batch()
    fix_hidden(model, data)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    history = []
    for _ in range(60):
        losses = model(data, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    for name, first in history[0].items():
        assert history[-1][name] < 0.7 * first, name


@pytest.mark.parametrize('absent', ['', 'hidden', 'contrast'])
@pytest.mark.parametrize('samples', [SAMPLES, {'s1': [0, 1, 2]}], ids=['all', 's1'])
def test_every_parameter_gets_a_finite_gradient(samples, absent):
    model = build(**({f'{absent}_weight': 0} if absent else {}))
    losses = model(make(samples, 3), mode='loss')
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_subset_of_bands_equals_the_mean_of_the_others():
    model, data = build(contrast_weight=0), batch()
    images = data.images['s2']
    subset = images._replace(pixels=images.pixels[:, [3, 0]], bands=('b8', 'B02'))
    zeros = images.pixels.clone()
    zeros[:, [1, 2]] = 0
    expected, found = (
        model._targets('s2', data._replace(images={'s2': given}), (6, 8))
        for given in (images._replace(pixels=zeros), subset)
    )
    torch.testing.assert_close(found, expected)
    wrong = images._replace(bands=('B02', 'B03', 'B04', 'B11'))
    with pytest.raises(ValueError, match='s2 has 4 channels with the bands B02, B03, B04, B11;'):
        model._targets('s2', data._replace(images={'s2': wrong}), (6, 8))


def test_cells_without_content_are_not_predicted():
    """Nodata that preprocessing sets to 0: neither patches to predict nor negatives."""
    model, data = build(contrast_weight=0), make({'s2': [0]}, 1)
    images = data.images['s2']
    images.pixels[:, :, :, 4:] = 0
    everything = torch.ones(1, 6, 8).bool()
    model.draw_hidden = lambda own, name: everything
    found = model(data, mode='loss')['loss_hidden']
    half = everything.clone()
    half[:, :, 4:] = False
    model.draw_hidden = lambda own, name: half
    torch.testing.assert_close(model(data, mode='loss')['loss_hidden'], found)


@pytest.mark.parametrize('absent', ['hidden', 'contrast'])
def test_a_loss_of_weight_zero_has_no_modules(absent):
    model = build(**{f'{absent}_weight': 0})
    (name,) = model(batch(), mode='loss')
    assert name == {'hidden': 'loss_contrast', 'contrast': 'loss_hidden'}[absent]
    assert not hasattr(model, {'hidden': 'predictors', 'contrast': 'projectors'}[absent])
    if absent == 'hidden':
        seen = model.backbone.seen.images
        assert all(torch.equal(seen[name].pixels, batch().images[name].pixels) for name in NAMES)


def test_losses_are_weighted():
    results = []
    for hidden_weight, contrast_weight in ((1.0, 1.0), (0.5, 3.0)):
        model = build(hidden_weight=hidden_weight, contrast_weight=contrast_weight)
        fix_hidden(model, batch())
        results.append(model(batch(), mode='loss'))
    torch.testing.assert_close(results[1]['loss_hidden'], 0.5 * results[0]['loss_hidden'])
    torch.testing.assert_close(results[1]['loss_contrast'], 3 * results[0]['loss_contrast'])


def test_random_cells_of_each_sample():
    model = build(cells_per_sample=20)
    cells = model._draw_cells(5, (6, 8), torch.device('cpu'))
    assert cells.shape == (5, 20)
    assert all(len(row.unique()) == 20 for row in cells)
    assert len(cells.unique()) > 40
    assert all(loss.isfinite() for loss in model(batch(), mode='loss').values())


def test_targets_are_frozen_and_saved():
    model = build()
    saved = model.state_dict()
    assert {f'projection_{name}' for name in NAMES} <= saved.keys()
    assert not any(name.startswith('projection_') for name, _ in model.named_parameters())
    torch.manual_seed(7)
    other = MODELS.build(config())
    other.load_state_dict(saved)
    assert torch.equal(other.projection_rgb, model.projection_rgb)


def test_bf16_autocast_is_finite():
    model = build()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(batch(), mode='loss')
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_modes():
    model = build()
    (maps,) = model(batch())
    assert maps.shape == (3, 8, 6, 8)
    with pytest.raises(ValueError, match="mode is 'predict'"):
        model(batch(), mode='predict')


def test_a_sample_without_any_modality_is_named():
    with pytest.raises(ValueError, match='sample 2 of the batch of 3'):
        build()(make({'s2': [0, 1]}, 3), mode='loss')


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(hidden_weight=0, contrast_weight=0), 'nor both 0'),
        (dict(hidden_weight=-1.0), 'must not be negative'),
        (dict(hidden_ratio=1.0), 'hidden_ratio is 1.0'),
        (dict(hidden_size=0), 'hidden_size is 0'),
        (dict(temperature=0.0), 'temperature 0.0'),
        (dict(neck=dict(modalities=('rgb', 's2'))), 'neck rgb, s2: give both the same'),
    ],
)
def test_wrong_arguments(wrong, message):
    own = config()
    neck = {**own['neck'], **wrong.pop('neck', {})}
    with pytest.raises(ValueError, match=message):
        MODELS.build({**own, 'neck': neck, **wrong})


def test_the_contrast_needs_two_modalities():
    own = config()
    own['backbone']['modalities'] = {'s2': SENSORS['s2']}
    own['neck']['modalities'] = ('s2',)
    with pytest.raises(ValueError, match='s2 is the only modality'):
        MODELS.build(own)
    own['contrast_weight'] = 0
    losses = MODELS.build(own)(make({'s2': [0]}, 1), mode='loss')
    assert losses['loss_hidden'] > 0
