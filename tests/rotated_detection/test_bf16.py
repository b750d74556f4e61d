"""Rotated heads stay finite in bfloat16, which mmrotate 1.x is known not to guarantee."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS, init_default_scope
from mmengine.structures import InstanceData
from mmrotate.structures import RotatedBoxes
from overfitting import overfit
from torch import nn

from .few_images import dataset_of, resize, write_subset

HEADS = ('oriented-rcnn', 'rotated-fcos', 'rotated-retinanet')
N_STEPS = 200
SIZE = 96  # convolutions in bf16 are slow on most CPUs


@OPTIM_WRAPPERS.register_module()
class CpuAutocastWrapper(OptimWrapper):
    """What mmengine's AmpOptimWrapper does in bf16, which refuses CPUs."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def load(checkout, head: str) -> Config:
    name = f'{head}_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py'
    return Config.fromfile(checkout / 'configs/rotated_detection' / name)


@pytest.mark.exhaustive
@pytest.mark.shared_data
@pytest.mark.parametrize('head', HEADS)
def test_no_loss_is_infinite_in_200_steps(head, shared_data, checkout, tmp_path):
    source = shared_data / 'nwpu_vhr10'
    cfg = load(checkout, head)
    resize(cfg, SIZE)
    cfg.train_dataloader.batch_size = 2
    cfg.optim_wrapper.type = 'CpuAutocastWrapper'
    labels = write_subset(source, tmp_path / 'labels')
    overfit(cfg, dataset_of(source, labels), {}, tmp_path, steps=N_STEPS, lr=1e-3)
    losses, _ = MessageHub.get_current_instance().get_scalar('train/loss').data
    assert losses.shape == (N_STEPS,)
    assert np.isfinite(losses).all()
    assert losses[-20:].mean() < losses[:20].mean()


NOTHING = torch.zeros(0, 5)
# center, width and height in pixels, angle in radians
POINT = torch.tensor([[30.0, 30, 1e-3, 1e-3, 0.3]])
NEEDLE = torch.tensor([[32.0, 32, 90, 0.02, -1.5]])
ON_THE_EDGE = torch.tensor([[63.0, 0, 20, 10, 1.57], [20.0, 20, 16, 16, -1.57]])


@pytest.mark.parametrize('head', HEADS)
def test_degenerate_boxes_give_finite_gradients(head, checkout):
    cfg = load(checkout, head)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    model = MODELS.build(cfg.model)
    model.init_weights()
    for boxes in ([NOTHING, NOTHING], [POINT, NEEDLE], [NOTHING, ON_THE_EDGE]):
        data = model.data_preprocessor(batch(boxes), training=True)
        with torch.autocast('cpu', torch.bfloat16):
            loss, _ = model.parse_losses(model(**data, mode='loss'))
        model.zero_grad()
        loss.backward()
        assert loss.isfinite()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.abs().sum() > 0 for gradient in gradients)


def batch(boxes: list[torch.Tensor]) -> dict:
    """Return images of 64 px, one per set of boxes (N, 5)."""
    samples = []
    for boxes_N5 in boxes:
        sample = DetDataSample(
            metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(
            bboxes=RotatedBoxes(boxes_N5.clone()), labels=torch.zeros(len(boxes_N5)).long()
        )
        samples.append(sample)
    images = torch.randint(256, (len(boxes), 3, 64, 64), dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=samples)
