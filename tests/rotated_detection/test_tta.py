from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmrotate.structures import RotatedBoxes

SHAPE = (100, 60)  # height, width in pixels


class NoModel(BaseModel):
    def forward(self, inputs: list, data_samples: list, mode: str) -> list:
        return []


@pytest.fixture(scope='module')
def tta_model():
    return MODELS.build(
        dict(
            type='mmdynamicvis.RotatedTTAModel',
            module=NoModel(),
            tta_cfg=dict(nms=dict(type='nms_rotated', iou_threshold=0.1), max_per_img=10),
        )
    )


def test_boxes_of_flipped_views_come_back(tta_model):
    boxes = torch.tensor([[20.0, 30, 16, 6, 0.4], [40.0, 70, 10, 8, -1.2]])
    views, metas = [], []
    for direction in (None, 'horizontal', 'vertical', 'diagonal'):
        view = RotatedBoxes(boxes.clone())
        if direction is not None:
            view.flip_(SHAPE, direction)
        views.append(view.tensor)
        metas.append(dict(flip=direction is not None, flip_direction=direction, ori_shape=SHAPE))
    scores = [torch.full((2,), 0.5)] * 4
    merged, merged_scores = tta_model.merge_aug_bboxes(views, scores, metas)
    torch.testing.assert_close(merged, boxes.repeat(4, 1))
    assert merged_scores.shape == (8,)
