from __future__ import annotations

import pytest
import torch

from .regions import CHANNELS, N_CLASSES, batch, build


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
