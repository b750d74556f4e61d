"""Region pretraining on the boxes of places with images of several sensors."""

from __future__ import annotations

import copy

import pytest
import torch

from mmdynamicvis.models.modalities import ModalityImages, MultiModalBatch
from mmdynamicvis.registry import MODELS

from . import regions

MODALITIES = dict(
    sentinel2=dict(bands=('B02', 'B03', 'B04'), gsd=10.0),
    sentinel1=dict(bands=('VV', 'VH'), gsd=20.0),
)


def build(**arguments):
    torch.manual_seed(0)
    config = copy.deepcopy({**regions.CONFIG, **arguments})
    config['backbone'].update(
        type='mmdynamicvis.MultiModalDynamicVis', modalities=MODALITIES, primary='sentinel2'
    )
    fusion = dict(
        type='mmdynamicvis.ModalityNeck',
        in_channels=regions.ARCH['embed_dims'],
        modalities=tuple(MODALITIES),
        cells=(40.0, 80.0, 160.0, 320.0),
    )
    config['neck'] = [fusion, config['neck']]
    return MODELS.build(config)


def batch(optical: list[int], radar: list[int], gsd: float = 10.0) -> dict:
    data = regions.batch([2, 3, 1])
    generator = torch.Generator().manual_seed(1)
    images = dict(
        sentinel2=(torch.randn(len(optical), 3, 64, 64, generator=generator), optical, gsd),
        sentinel1=(torch.randn(len(radar), 2, 32, 32, generator=generator), radar, 2 * gsd),
    )
    entries = {
        name: ModalityImages(pixels, torch.tensor(rows), meters)
        for name, (pixels, rows, meters) in images.items()
        if rows
    }
    return dict(data, inputs=MultiModalBatch(entries, 3))


@pytest.mark.parametrize('optical', [[0, 1], []], ids=['with primary', 'without'])
def test_every_parameter_learns_from_boxes(optical):
    model = build().train()
    losses = model(**batch(optical, [0, 1, 2]), mode='loss')
    sum(losses.values()).backward()
    assert set(losses) == {'loss_cls', 'loss_mil'}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert model.backbone.tokenizers['sentinel1'].projection.weight.grad.abs().max() > 0
    of_stem = model.backbone.stages[0].merger.projection.weight.grad.abs().max()
    assert of_stem > 0 if optical else of_stem == 0


def test_boxes_are_in_pixels_of_the_primary_sensor():
    model, data = build().eval(), batch([0, 1, 2], [1])
    features = model.neck(model.backbone(data['inputs']))[:4]
    assert [tuple(level.shape[2:]) for level in features] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    boxes = [sample.gt_instances.bboxes for sample in data['data_samples']]
    rois = [torch.cat([torch.full((len(b), 1), i), b], dim=1) for i, b in enumerate(boxes)]
    expected = model.roi_extractor(features, torch.cat(rois)).mean((2, 3))
    torch.testing.assert_close(model(**data), expected)
    _, second, _ = model(**data, mode='predict')
    assert second.pred_instances.scores.shape == (3, regions.N_CLASSES)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r'selection_weight is 0.5, but the tokens of several'):
        build(selection_weight=0.5)
    with pytest.raises(ValueError, match='sentinel2 have 12 m per pixel'):
        build()(**batch([0, 1, 2], [], gsd=12.0), mode='loss')
