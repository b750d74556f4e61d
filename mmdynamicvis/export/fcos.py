"""FCOS for export, without non-maximum suppression, and the function that finishes its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdynamicvis.engine.config import (
    load_config_file,
    metainfo_of,
    scope_of,
    test_dataset,
    type_name,
)
from mmdynamicvis.export.image_models import ImageModel, load_for_export, size_of
from mmdynamicvis.export.segmentation import pad_to_multiple

OUTPUTS = ('boxes', 'scores', 'centerness')
HEAD = 'FCOSHead'


class _RawBoxes(nn.Module):
    """Boxes and scores at all points of FCOS."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        height, width = x_BCHW.shape[2:]
        preprocessor, head = self.detector.data_preprocessor, self.detector.bbox_head
        padded = pad_to_multiple(x_BCHW, preprocessor.pad_size_divisor, preprocessor.pad_value)
        scores, distances, centerness = head(self.detector.extract_feat(padded))
        sizes = [level.shape[2:] for level in scores]
        points_P2 = torch.cat(head.prior_generator.grid_priors(sizes, device=x_BCHW.device))
        x, y = points_P2.unbind(1)
        left, top, right, bottom = _of_points(distances).unbind(2)
        sides = (x - left) / width, (y - top) / height, (x + right) / width, (y + bottom) / height
        boxes_BP4 = torch.stack(sides, 2).clamp(0, 1)
        return boxes_BP4, _of_points(scores).sigmoid(), _of_points(centerness).sigmoid().squeeze(2)


def _of_points(levels: Sequence[Tensor]) -> Tensor:
    """Return the maps of all levels, (B, C, H, W) each, as (B, points, C)."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)


def detector(config: str | Path | Config, checkpoint: str | Path) -> ImageModel:
    """Return an FCOS of mmdet up to its boxes; :func:`select_boxes` finishes them.

    The outputs are, for the P points of all levels, ``boxes``, (B, P, 4) x1, y1, x2, y2 as
    fractions of width and height of the image, ``scores``, (B, P, classes), and ``centerness``,
    (B, P), both between 0 and 1. Resizing in the config's test is not part of the model.

    Args:
        config: Config with a DynamicVis backbone.
        checkpoint: Complete weights of its model.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The config is not an FCOS with a DynamicVis backbone, or the checkpoint does not
            fit the model.
    """
    cfg = config if isinstance(config, Config) else load_config_file(config)
    why = _why_not(cfg)
    if why is not None:
        raise ValueError(
            f'the model of {cfg.filename} is not exported: {why}. Export its backbone, or a model '
            f'of mmdet with {HEAD}'
        )
    model, inputs = load_for_export(cfg, checkpoint)
    facts = dict(
        classes=list(metainfo_of(cfg, test_dataset(cfg)).get('classes') or ()),
        bands=inputs.bands,
        test_cfg=cfg.model.test_cfg.to_dict(),
    )
    step = max(model.bbox_head.strides)
    return ImageModel(
        inputs.network(_RawBoxes(model)),
        inputs.mean,
        inputs.std,
        OUTPUTS,
        size_of(model.backbone),
        facts,
        step,
    )


def _why_not(cfg: Config) -> str | None:
    """Return why a config's model cannot be exported; None if it can."""
    scope = scope_of(cfg)
    if scope == 'mmrotate':
        return 'rotated boxes are decoded and suppressed by compiled ops, which files cannot have'
    if scope != 'mmdet':
        return f'its default_scope is {scope!r}, not mmdet'
    if 'roi_head' in cfg.model:
        return (
            'its second stage crops the maps at the boxes that suppression leaves of the first, '
            'whose number differs between images'
        )
    head = type_name(cfg.model.bbox_head) if 'bbox_head' in cfg.model else None
    if head != HEAD:
        return f'its head is {head}, and each head decodes boxes in its own way'
    if not cfg.model.bbox_head.get('loss_cls', {}).get('use_sigmoid', True):
        return 'its classes are exclusive (use_sigmoid=False)'
    return None


def select_boxes(
    boxes: Tensor | np.ndarray,
    scores: Tensor | np.ndarray,
    centerness: Tensor | np.ndarray,
    size: tuple[int, int],
    score_thr: float = 0.05,
    iou_threshold: float = 0.6,
    max_per_img: int = 100,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the objects in one image from the outputs of an exported FCOS.

    As in the host's test, a class is a candidate at each point where its score exceeds
    ``score_thr``; candidates are ranked by score times centerness, and suppressed by better ones of
    their class. The host also limits the candidates per level (``nms_pre``), which only matters
    with more than a thousand.

    Args:
        boxes: (P, 4), one image of the output.
        scores: (P, classes).
        centerness: (P,).
        size: (height, width) of the image in pixels.
        score_thr: As in the model's ``test_cfg``, which is a fact in the file.
        iou_threshold: Intersection over union above which a box is suppressed.
        max_per_img: Largest number of objects.

    Returns:
        Boxes (N, 4) x1, y1, x2, y2 in pixels, labels (N,) int64 and scores (N,), the best first.
    """
    from torchvision.ops import batched_nms

    boxes_P4, scores_PK, centerness_P = map(torch.as_tensor, (boxes, scores, centerness))
    height, width = size
    points, labels = (scores_PK > score_thr).nonzero().unbind(1)
    found_N4 = boxes_P4[points] * torch.tensor([width, height, width, height])
    ranks_N = scores_PK[points, labels] * centerness_P[points]
    there = (found_N4[:, 2:] > found_N4[:, :2]).all(1)
    found_N4, labels, ranks_N = found_N4[there], labels[there], ranks_N[there]
    kept = batched_nms(found_N4, ranks_N, labels, iou_threshold)[:max_per_img]
    return found_N4[kept], labels[kept], ranks_N[kept]
