"""Pairs of images of several modalities: of several resolutions, or of another sensor per date."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmdynamicvis.models import ModalityImages, MultiModalBatch
from mmdynamicvis.registry import MODELS

from .models import small_model

WIDTHS = (8, 12, 16, 20)
SENSORS = dict(
    fine=dict(bands=('B02', 'B03', 'B04', 'B08'), gsd=10.0),
    coarse=dict(bands=('B05', 'B11'), gsd=20.0),
    sar=dict(bands=('VV', 'VH'), gsd=10.0),
)


def build(dates: dict | None = None, experts: dict | None = None) -> torch.nn.Module:
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = small_model()
    cfg.backbone = ConfigDict(
        type='mmdynamicvis.MultiModalDynamicVis',
        arch=dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1)),
        strides=(2, 2, 2, 2),
        patch_sizes=(3, 3, 3, 3),
        modalities=SENSORS,
        primary='fine',
        position_embedding='metric',
        selection_noise=None,
        experts=experts,
    )
    cfg.modality_neck = dict(
        type='mmdynamicvis.ModalityNeck',
        in_channels=WIDTHS,
        modalities=tuple(SENSORS),
        cells=(20.0, 40.0, 80.0, 160.0),
    )
    return MODELS.build(dict(cfg, dates=dates)).eval()


def images(name: str, samples: list[int], seed: int = 0) -> ModalityImages:
    """Return made images of a footprint of 640 m."""
    bands, gsd = SENSORS[name]['bands'], SENSORS[name]['gsd']
    size = round(640 / gsd)
    generator = torch.Generator().manual_seed(seed + len(name))
    pixels = torch.randn(len(samples), len(bands), size, size, generator=generator)
    return ModalityImages(pixels, torch.tensor(samples), gsd)


@torch.no_grad()
def maps_of(model: torch.nn.Module, of_date: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the fused maps of one sample and one date."""
    one = torch.zeros(1, dtype=torch.int64)
    batch = {n: ModalityImages(x, one, SENSORS[n]['gsd']) for n, x in of_date.items()}
    return model.modality_neck(model.backbone(MultiModalBatch(batch, 1)))


@torch.no_grad()
def test_each_date_has_the_maps_that_it_has_alone():
    """Sample 0 has both resolutions, sample 1 the finer alone."""
    model = build()
    fine, coarse = images('fine', [0, 0, 1, 1]), images('coarse', [0, 0])
    first, second = model.extract_dates(MultiModalBatch(dict(fine=fine, coarse=coarse), 2))
    for date, maps in enumerate((first, second)):
        alone = [
            dict(fine=fine.pixels[[date]], coarse=coarse.pixels[[date]]),
            dict(fine=fine.pixels[[2 + date]]),
        ]
        for sample, of_date in enumerate(alone):
            for got, expected in zip(maps, maps_of(model, of_date), strict=True):
                torch.testing.assert_close(got[[sample]], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_another_sensor_after_an_event():
    model = build(dates=dict(fine=[0], sar=[1]))
    fine, sar = images('fine', [0, 1, 2]), images('sar', [0, 1, 2])
    batch = MultiModalBatch(dict(fine=fine, sar=sar), 3)
    dates = model.extract_dates(batch)
    for maps, name, of_name in zip(dates, ('fine', 'sar'), (fine, sar), strict=True):
        for sample in range(3):
            expected = maps_of(model, {name: of_name.pixels[[sample]]})
            for got, level in zip(maps, expected, strict=True):
                torch.testing.assert_close(got[[sample]], level, rtol=1e-4, atol=1e-5)
    assert model(batch, mode='tensor').shape[:2] == (3, 2)


def test_every_parameter_learns():
    model = build().train()
    names = {name: images(name, [0, 0, 1, 1]) for name in SENSORS}
    model(MultiModalBatch(names, 2), mode='tensor').square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_experts_are_balanced_by_the_loss():
    model = build(experts=dict(num=4, balance=0.1)).train()
    batch = MultiModalBatch({name: images(name, [0, 0, 1, 1]) for name in SENSORS}, 2)
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=labels)) for _ in range(2)]
    losses = model.loss(batch, samples)
    # balanced experts have 1, and one expert for all tokens 4
    assert 0.1 <= losses['loss_balance'].item() <= 0.4
    losses['loss_balance'].backward()
    router = [p for name, p in model.named_parameters() if 'router' in name]
    assert router and all(p.grad.any() for p in router)


def test_wrong_numbers_of_images_are_an_error():
    model = build()
    batch = MultiModalBatch(dict(fine=images('fine', [0, 0, 1])), 2)
    with pytest.raises(ValueError, match='sample 1 has 1 images of fine, and there are 2 dates'):
        model.extract_dates(batch)
    with pytest.raises(ValueError, match=r'dates of sar is \(2,\); give some of 0 to 1'):
        build(dates=dict(sar=[2])).extract_dates(MultiModalBatch(dict(sar=images('sar', [0])), 1))


def test_inputs_that_do_not_fit_the_model_are_an_error():
    with pytest.raises(TypeError, match='inputs are a Tensor, and modality_neck is ModalityNeck'):
        build().extract_dates(torch.randn(1, 6, 64, 64))
    cfg = dict(small_model())
    batch = MultiModalBatch(dict(fine=images('fine', [0, 0])), 1)
    with pytest.raises(TypeError, match='inputs are a MultiModalBatch, and modality_neck is None'):
        MODELS.build(cfg).extract_dates(batch)
    with pytest.raises(ValueError, match='give modality_neck'):
        MODELS.build(dict(cfg, dates=dict(sar=[1])))
