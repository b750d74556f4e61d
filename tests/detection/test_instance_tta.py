from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmdynamicvis.detection import InstanceTTAModel

HEIGHT, WIDTH = 30, 40
BOXES = torch.tensor([[4.0, 6, 12, 20], [20, 2, 38, 9], [5, 21, 30, 29]])
AXES = dict(horizontal=[2], vertical=[1], diagonal=[1, 2])


class Module(BaseModel):
    """Stands for the model, which merging does not call."""

    def forward(self) -> None:
        """Do nothing."""


def view(
    boxes: torch.Tensor, scores: list[float], labels: list[int], direction: str | None = None
) -> DetDataSample:
    """Return what a model finds in an image that is flipped so."""
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
        mask[y1, x1] = False  # a mask that is not its own mirror image
    boxes = boxes.clone()
    if direction in ('horizontal', 'diagonal'):
        boxes[:, [0, 2]] = WIDTH - boxes[:, [2, 0]]
    if direction in ('vertical', 'diagonal'):
        boxes[:, [1, 3]] = HEIGHT - boxes[:, [3, 1]]
    if direction:
        masks = masks.flip(AXES[direction])
    sample = DetDataSample(
        metainfo=dict(
            ori_shape=(HEIGHT, WIDTH), flip=direction is not None, flip_direction=direction
        )
    )
    sample.pred_instances = InstanceData(
        bboxes=boxes, scores=torch.tensor(scores), labels=torch.tensor(labels), masks=masks
    )
    return sample


def merge(*views: DetDataSample, max_per_img: int = 100) -> InstanceData:
    tta_cfg = ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=max_per_img)
    (merged,) = InstanceTTAModel(tta_cfg=tta_cfg, module=Module()).merge_preds([list(views)])
    return merged.pred_instances


@pytest.mark.parametrize('direction', AXES)
def test_a_flipped_view_is_flipped_back(direction):
    plain = view(BOXES, [0.9, 0.8, 0.7], [0, 1, 2])
    expected = plain.pred_instances.clone()
    merged = merge(plain, view(BOXES, [0.6, 0.5, 0.4], [0, 1, 2], direction))
    torch.testing.assert_close(merged.bboxes, expected.bboxes)
    torch.testing.assert_close(merged.scores, expected.scores)
    assert merged.labels.tolist() == [0, 1, 2]
    assert torch.equal(merged.masks, expected.masks)


@pytest.mark.parametrize('direction', AXES)
def test_the_view_that_is_surer_brings_the_mask(direction):
    expected = view(BOXES, [0.9, 0.8, 0.7], [0, 1, 2]).pred_instances
    unsure = view(BOXES + 1, [0.5, 0.4, 0.3], [0, 1, 2])
    merged = merge(unsure, view(BOXES, [0.9, 0.8, 0.7], [0, 1, 2], direction))
    torch.testing.assert_close(merged.bboxes, expected.bboxes)
    assert torch.equal(merged.masks, expected.masks)


def test_what_one_view_alone_finds_is_kept_and_classes_do_not_compete():
    merged = merge(view(BOXES[:1], [0.5], [0]), view(BOXES[:2], [0.9, 0.8], [1, 1], 'vertical'))
    assert merged.labels.tolist() == [1, 1, 0]
    assert len(merge(view(BOXES, [0.9, 0.8, 0.7], [0, 1, 2]), max_per_img=2)) == 2


def test_views_without_instances():
    nothing = torch.zeros(0, 4)
    merged = merge(view(nothing, [], []), view(nothing, [], [], 'horizontal'))
    assert len(merged) == 0
    assert merged.masks.shape == (0, HEIGHT, WIDTH)
