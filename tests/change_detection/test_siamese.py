from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmdynamicvis.registry import MODELS

from .models import batch, small_model


def build(cfg: dict) -> torch.nn.Module:
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    # as after some training: means and scales of the norms are not those of the start
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(std=0.1)
    return model.eval()


@torch.no_grad()
def logits(model: torch.nn.Module, pairs: torch.Tensor) -> torch.Tensor:
    return model(pairs, mode='tensor')


def test_dates_go_through_the_backbone_as_one_batch():
    model = build(small_model())
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pairs = torch.randn(3, 6, 64, 64)
    logits(model, pairs)
    (images,) = seen
    torch.testing.assert_close(images, torch.cat([pairs[:, :3], pairs[:, 3:]]))


@pytest.mark.parametrize('mode', ['sum', 'difference'])
def test_exchanging_the_dates_gives_the_same_map(mode):
    model = build(small_model(mode))
    first, second = torch.randn(2, 2, 3, 64, 64)
    there = logits(model, torch.cat([first, second], 1))
    back = logits(model, torch.cat([second, first], 1))
    torch.testing.assert_close(there, back, rtol=1e-5, atol=1e-5)


def test_concatenation_knows_the_order():
    model = build(small_model())
    first, second = torch.randn(2, 2, 3, 64, 64)
    there = logits(model, torch.cat([first, second], 1))
    back = logits(model, torch.cat([second, first], 1))
    assert (there - back).abs().max() > 1e-3


@pytest.mark.parametrize('mode', ['concat', 'sum', 'difference'])
def test_three_dates(mode):
    model = build(small_model(mode, num_dates=3))
    data = model.data_preprocessor(batch(num_dates=3), training=True)
    losses = model(**data, mode='loss')
    assert losses['decode.loss_ce'].isfinite()


@pytest.mark.parametrize('size', [(64, 64), (65, 97), (33, 40)])
def test_any_size_gives_a_map_of_that_size(size):
    model = build(small_model())
    data = dict(batch(size, n=1))
    (sample,) = model.test_step(data)
    assert sample.pred_sem_seg.data.shape == (1, *size)
    assert sample.seg_logits.data.shape == (2, *size)


def test_every_parameter_learns():
    model = build(small_model()).train()
    data = model.data_preprocessor(batch(n=4), training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_sliding_windows_equal_the_whole_image_that_fits():
    slide = build(small_model())
    slide.test_cfg = ConfigDict(mode='slide', stride=(32, 32), crop_size=(64, 64))
    whole = build(small_model())
    whole.load_state_dict(slide.state_dict())
    fits = batch((64, 64), n=1)
    results = [model.test_step(dict(fits))[0].seg_logits.data.clone() for model in (slide, whole)]
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)
    larger = batch((80, 112), n=1)
    assert slide.test_step(larger)[0].seg_logits.data.shape == (2, 80, 112)


def test_wrong_channels_are_an_error():
    model = build(small_model())
    with pytest.raises(ValueError, match='inputs have 3 channels, not those of two images of 3'):
        logits(model, torch.randn(1, 3, 64, 64))
    with pytest.raises(ValueError, match='inputs have 8 channels'):
        logits(model, torch.randn(1, 8, 64, 64))


def test_a_neck_is_needed():
    cfg = small_model()
    del cfg['neck']
    with pytest.raises(ValueError, match=r'neck is None; .*PairNeck'):
        build(cfg)


def test_an_unknown_fusion_is_an_error():
    with pytest.raises(ValueError, match="mode is 'product'; choose one of"):
        build(small_model('product'))
