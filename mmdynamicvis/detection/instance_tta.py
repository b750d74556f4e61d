"""Test-time augmentation of instance segmentation."""

from __future__ import annotations

import torch
from mmcv.ops import batched_nms
from mmdet.models import DetTTAModel
from mmdet.structures import DetDataSample

from mmdynamicvis.registry import MODELS

FLIPPED = {'horizontal': (-1,), 'vertical': (-2,), 'diagonal': (-2, -1)}


@MODELS.register_module()
class InstanceTTAModel(DetTTAModel):
    """mmdet's ``DetTTAModel`` for models with masks, which mmdet's class does not support.

    The instances of all views are merged by NMS on their boxes and scores, as in mmdet; each keeps
    its mask. Views may be flipped and of different sizes.
    """

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        """Merge the predictions for all views of one image, in its original coordinates."""
        found = [sample.pred_instances for sample in data_samples]
        boxes, scores = self.merge_aug_bboxes(
            [instances.bboxes for instances in found],
            [instances.scores for instances in found],
            [sample.metainfo for sample in data_samples],
        )
        if boxes.numel() == 0:
            return data_samples[0]
        masks = [
            sample.pred_instances.masks.flip(FLIPPED[sample.flip_direction])
            if sample.flip
            else sample.pred_instances.masks
            for sample in data_samples
        ]
        merged = found[0].cat(found)
        merged.bboxes, merged.masks = boxes, torch.cat(masks)
        _, kept = batched_nms(boxes, scores, merged.labels, self.tta_cfg.nms)
        data_samples[0].pred_instances = merged[kept[: self.tta_cfg.max_per_img]]
        return data_samples[0]
