from __future__ import annotations

import pytest
import torch

from mmdynamicvis.engine.hooks.selection_statistics import selection_statistics
from mmdynamicvis.registry import MODELS

from .regions import CHANNELS, CONFIG, N_CLASSES, batch, build


def test_embeds_every_box_in_order():
    model, data = build().eval(), batch([2, 0, 3])
    regions = model(**data)
    assert regions.shape == (5, CHANNELS)
    for i, n in ((0, 2), (2, 3)):
        alone = dict(inputs=data['inputs'][i : i + 1], data_samples=[data['data_samples'][i]])
        first = 0 if i == 0 else 2
        torch.testing.assert_close(model(**alone), regions[first : first + n])


def test_a_box_sees_its_part_of_the_image():
    """Two boxes of different content differ, and the mean over 7 x 7 of the extractor is meant."""
    model, data = build().eval(), batch([2])
    boxes = data['data_samples'][0].gt_instances.bboxes
    features = model.neck(model.backbone(data['inputs']))[:4]
    rois = torch.cat([torch.zeros(2, 1), boxes], dim=1)
    expected = model.roi_extractor(features, rois).mean((2, 3))
    torch.testing.assert_close(model(**data), expected)
    assert not torch.allclose(expected[0], expected[1])


@pytest.mark.parametrize('counts', [[0, 0], [2, 3]], ids=['no boxes', 'boxes'])
def test_every_parameter_gets_a_finite_gradient(counts):
    model = build()
    losses = model(**batch(counts), mode='loss')
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_predicts_a_category_per_box():
    model, data = build().eval(), batch([2, 0])
    first, second = model(**data, mode='predict')
    assert first.pred_instances.scores.shape == (2, N_CLASSES)
    torch.testing.assert_close(first.pred_instances.scores.sum(-1), torch.ones(2))
    assert torch.equal(first.pred_instances.labels, first.pred_instances.scores.argmax(-1))
    assert torch.equal(first.pred_instances.bboxes, first.gt_instances.bboxes)
    assert len(second.pred_instances) == 0


def test_bf16_autocast_is_finite():
    model, data = build(), batch([2, 3])
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(**data, mode='loss')
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode is 'losses'"):
        build()(**batch([1]), mode='losses')


def test_the_selection_learns_to_look_at_boxes():
    model = MODELS.build({**CONFIG, 'selection_weight': 1.0}).train()
    data = batch([2, 3])
    boxes = [sample.gt_instances.bboxes for sample in data['data_samples']]
    for image, corners in zip(data['inputs'], boxes, strict=True):
        for x1, y1, x2, y2 in corners.int().tolist():
            image[:, y1:y2, x1:x2] += 3  # targets can be told from the rest

    def share() -> float:
        _, selections = model.backbone.forward_with_selection(data['inputs'])
        statistics = selection_statistics(selections[0], boxes, stride=4)
        return (statistics['in_boxes'] / statistics['by_chance']).item()

    before = share()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        losses = model(**data, mode='loss')
        sum(losses.values()).backward()
        optimizer.step()
    assert share() > max(1.5, before)


def test_a_selection_that_cannot_learn_is_refused():
    with pytest.raises(ValueError, match='selection_weight is 1, but no stage'):
        dense = dict(CONFIG['backbone'], reduction_ratios=None)
        MODELS.build({**CONFIG, 'backbone': dense, 'selection_weight': 1})
    published = dict(CONFIG['backbone'], published=True)
    model = MODELS.build({**CONFIG, 'backbone': published, 'selection_weight': 1})
    with pytest.raises(ValueError, match='selection_weight needs the default design'):
        model(**batch([1]), mode='loss')
