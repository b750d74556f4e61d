"""Test-time augmentation of rotated detection."""

from __future__ import annotations

import torch
from mmdet.models import DetTTAModel
from mmdet.structures.bbox import get_box_type
from torch import Tensor

from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class RotatedTTAModel(DetTTAModel):
    """mmdet's ``DetTTAModel`` for rotated boxes, which mmrotate lacks.

    Views may be flipped and of different sizes, but not rotated. ``tta_cfg`` is as in mmdet, with
    ``nms=dict(type='nms_rotated', iou_threshold=...)``.
    """

    def merge_aug_bboxes(
        self, aug_bboxes: list[Tensor], aug_scores: list[Tensor], img_metas: list[dict]
    ) -> tuple[Tensor, Tensor]:
        """Map the boxes of all views to the coordinates of the original image and concatenate them.

        Args:
            aug_bboxes: (n, 5) per view: center x and y, width and height in pixels of the original
                size, and angle in radians, clockwise.
            aug_scores: (n,) per view.
            img_metas: Metainfo of each view, with its flip.

        Returns:
            The boxes (N, 5) and scores (N,) of all views.
        """
        _, rotated_boxes = get_box_type('rbox')
        views = []
        for boxes, meta in zip(aug_bboxes, img_metas, strict=True):
            view = rotated_boxes(boxes)
            if meta['flip']:
                view.flip_(meta['ori_shape'], meta['flip_direction'])
            views.append(view.tensor)
        return torch.cat(views), torch.cat(aug_scores)
