"""Segmentors and change detectors for export."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from mmdynamicvis.engine.config import load_config_file, metainfo_of, scope_of, test_dataset
from mmdynamicvis.export.image_models import ImageModel, load_for_export, size_of

SCOPES = ('mmseg', 'opencd')
COARSEST = 32
"""Stride of the backbone's last map."""
PROBABILITIES = 'probabilities'
"""Name of the output of segmentors."""


class _Probabilities(nn.Module):
    """Probabilities of the classes of pixels.

    A head of two classes with one logit and a threshold gets a second logit, so that the second
    class is the more probable one where the head's probability exceeds its threshold.
    """

    def __init__(self, segmentor: nn.Module, divisor: int) -> None:
        super().__init__()
        self.segmentor = segmentor
        self.divisor = divisor

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor]:
        height, width = x_BCHW.shape[2:]
        padded = pad_to_multiple(x_BCHW, self.divisor)
        logits = self.segmentor.encode_decode(padded, [dict(img_shape=padded.shape[2:])])
        logits = logits[..., :height, :width]
        if logits.shape[1] == 1:
            threshold = self.segmentor.decode_head.threshold
            second = logits - math.log(threshold / (1 - threshold))
            logits = torch.cat([torch.zeros_like(second), second], 1)
        return (logits.softmax(1),)


class _Upsample(nn.Module):
    """Enlarges maps by an integer, without converting sizes to float, which would fix them."""

    def __init__(self, scale: int, mode: str, align_corners: bool | None) -> None:
        super().__init__()
        self.scale = scale
        self.mode = mode
        self.align_corners = align_corners

    def forward(self, x_BCHW: Tensor) -> Tensor:
        size = [self.scale * side for side in x_BCHW.shape[2:]]
        return interpolate(x_BCHW, size, mode=self.mode, align_corners=self.align_corners)


def _with_integer_scales(model: nn.Module) -> nn.Module:
    """Replace the layers of mmseg that enlarge by an integer."""
    from mmseg.models.utils import Upsample

    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, Upsample) and not layer.size and layer.scale_factor % 1 == 0:
                new = _Upsample(int(layer.scale_factor), layer.mode, layer.align_corners)
                setattr(module, name, new)
    return model


def pad_to_multiple(x_BCHW: Tensor, divisor: int, value: float = 0.0) -> Tensor:
    """Pad normalized images at the bottom and on the right to multiples of ``divisor``."""
    if divisor == 1:
        return x_BCHW
    height, width = x_BCHW.shape[2:]
    return pad(x_BCHW, (0, -width % divisor, 0, -height % divisor), value=value)


def segmentor(config: str | Path | Config, checkpoint: str | Path) -> ImageModel:
    """Return a segmentor or change detector of mmseg or open-cd.

    The output is ``probabilities``, (B, classes, H, W) at the size of the images. Change detectors
    take the images of both dates as one, (B, 2 x bands, H, W), the first date first. Resizing and
    cutting into crops, which a config's test may do, are not part of the model.

    Args:
        config: Config with a DynamicVis backbone.
        checkpoint: Complete weights of its model.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The config is not a segmentor with a DynamicVis backbone, or one that gives
            several maps, its dataset has another number of classes, or the checkpoint does not fit
            the model.
    """
    cfg = config if isinstance(config, Config) else load_config_file(config)
    if scope_of(cfg) not in SCOPES or 'decode_head' not in cfg.model:
        raise ValueError(
            f'config {cfg.filename} is not that of a segmentor or change detector of mmseg or '
            'open-cd'
        )
    if 'outputs' in cfg.model:
        raise ValueError(
            f'the model of {cfg.filename} gives several maps ({cfg.model.type}), which are not '
            'exported'
        )
    model, inputs = load_for_export(cfg, checkpoint)
    classes = list(metainfo_of(cfg, test_dataset(cfg)).get('classes') or ())
    if len(classes) not in (0, model.num_classes):
        raise ValueError(
            f'the model of {cfg.filename} has {model.num_classes} classes, and its dataset '
            f'{len(classes)}: give num_classes=... of the heads as the metainfo has classes'
        )
    padding = getattr(model.data_preprocessor, 'test_cfg', None) or {}
    if padding.get('size') is not None:
        raise ValueError(
            f'the data preprocessor of {cfg.filename} pads test images to {padding["size"]}, which '
            'is not exported: give test_cfg=dict(size_divisor=...) instead, or none'
        )
    divisor = padding.get('size_divisor') or 1
    # torch.export opens sizes only if the layers that round them need not: a side that is padded
    # or halved to a level beyond the backbone's, or that a decoder cuts off
    rounds = divisor > 1 or inputs.dates > 1 or _coarsest(cfg) > COARSEST
    step = _coarsest(cfg) if rounds else 1
    network = inputs.network(_Probabilities(_with_integer_scales(model), divisor))
    facts = dict(classes=classes, bands=inputs.bands, dates=inputs.dates)
    size = size_of(model.backbone)
    return ImageModel(network, inputs.mean, inputs.std, [PROBABILITIES], size, facts, step)


def _coarsest(cfg: Config) -> int:
    """Return the stride of the coarsest map, which a feature pyramid may add."""
    neck = cfg.model.get('neck') or {}
    fpn = neck.get('fpn', neck)
    extra = fpn.get('num_outs', 0) - len(fpn.get('in_channels', ()))
    return COARSEST << max(0, extra)
