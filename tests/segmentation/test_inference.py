"""Sliding windows, scales and flips."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from .makers import write_whu_building
from .small_model import load

TOLERANCE = 1e-5
"""Of logits of order 1: windows are added up and divided by their number, in float32."""


@pytest.fixture
def cfg(tmp_path, checkout):
    write_whu_building(tmp_path / 'data')
    name = 'upernet_dynamicvis-base_1xb8-200e_whu-building-512px.py'
    return load(checkout / 'configs/segmentation' / name, tmp_path / 'data', tmp_path / 'work')


@pytest.fixture
def model(cfg):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    # statistics that are not those of an untrained norm
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 64, 64))
    return model.eval()


@torch.no_grad()
def logits(model, image, **test_cfg):
    model.test_cfg.update(test_cfg)
    return model.predict(image)[0].seg_logits.data


@pytest.mark.parametrize('size', [(64, 64), (48, 60)])
def test_windows_equal_the_whole_where_the_image_fits(model, size):
    image = torch.randn(1, 3, *size)
    whole = logits(model, image, mode='whole')
    slide = logits(model, image, mode='slide', crop_size=(64, 64), stride=(40, 40))
    torch.testing.assert_close(slide, whole, rtol=0, atol=TOLERANCE)


def test_overlapping_windows_are_averaged(model):
    """Two windows of an image that is higher: each alone where it is alone, the mean between."""
    image = torch.randn(1, 3, 100, 64)
    slide = logits(model, image, mode='slide', crop_size=(64, 64), stride=(36, 36))
    top, bottom = (logits(model, image[:, :, y : y + 64], mode='whole') for y in (0, 36))
    torch.testing.assert_close(slide[:, :36], top[:, :36], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(slide[:, 64:], bottom[:, 28:], rtol=0, atol=TOLERANCE)
    middle = (top[:, 36:] + bottom[:, :28]) / 2
    torch.testing.assert_close(slide[:, 36:64], middle, rtol=0, atol=TOLERANCE)


def test_scales_and_flips(cfg, tmp_path):
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.default_hooks.visualization.interval = 1  # mmseg 1.2 draws every 50th otherwise
    metrics = Runner.from_cfg(cfg).test()
    assert 0 <= metrics['aAcc'] <= 100
    assert len(list(tmp_path.glob('work/*/error_maps/*.png'))) == 2
    assert len(list(tmp_path.glob('work/*/vis_data/vis_image/*.png'))) == 2


def test_dice_and_cross_entropy_ignore_the_same_pixels(cfg, checkout, tmp_path):
    """What is predicted at pixels of label 255 changes no gradient."""
    name = 'upernet-dice_dynamicvis-base_1xb8-200e-scratch_mass-roads-512px.py'
    losses = load(checkout / 'configs/segmentation' / name, tmp_path, tmp_path).model.decode_head
    init_default_scope('mmseg')
    logits = torch.randn(2, 2, 8, 8, requires_grad=True)
    labels = torch.randint(0, 2, (2, 8, 8))
    labels[:, :, 3:] = 255
    for loss in losses.loss_decode:
        logits.grad = None
        MODELS.build(loss)(logits, labels, ignore_index=255).backward()
        assert (logits.grad[..., 3:] == 0).all()
        assert (logits.grad[..., :3] != 0).all()
