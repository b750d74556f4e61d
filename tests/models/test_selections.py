"""What stages select, recorded from inside any model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.selections import find_backbone, record_selections

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 2, 1))


class Wrapped(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.inner = nn.ModuleDict(dict(backbone=backbone))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner['backbone'](images * 2)[-1]


def test_records_the_last_pass_by_stride() -> None:
    torch.manual_seed(0)
    backbone = DynamicVis(ARCH, reduction_ratios=(0.5, None, 0.5, 0.75)).eval()
    first, second = torch.randn(2, 3, 64, 96), torch.randn(1, 3, 50, 40)
    model = Wrapped(backbone)
    with torch.no_grad(), record_selections(model) as record:
        model(first)
        model(second)
        expected = backbone.forward_with_selection(second * 2)[1]
    assert list(record.selections) == [4, 16, 32]
    assert torch.equal(record.images_BCHW, second * 2)
    for recorded, stage in zip(record.selections.values(), (0, 2, 3), strict=True):
        assert recorded.grid == expected[stage].grid
        assert torch.equal(recorded.indices, expected[stage].indices)
        assert torch.equal(recorded.importance, expected[stage].importance)


def test_nothing_is_left_behind() -> None:
    model = Wrapped(DynamicVis(ARCH).eval())
    with pytest.raises(ZeroDivisionError), record_selections(model) as record:
        _ = 1 / 0
    with torch.no_grad():
        model(torch.randn(1, 3, 32, 32))
    assert record.images_BCHW is None and not record.selections


def test_a_model_without_the_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match='Linear has no DynamicVis backbone'):
        record_selections(nn.Linear(1, 1)).__enter__()


class Pair(nn.Module):
    """As in distillation; only the teacher runs."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = (DynamicVis(ARCH, img_size=64).eval() for _ in range(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.teacher(images)[-1]


def test_of_several_backbones_one_must_be_named() -> None:
    model, images = Pair(), torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match="backbones student, teacher: name one, as in backbone='s"):
        find_backbone(model)
    with pytest.raises(ValueError, match="student, teacher, 0 of them by the name 'head'"):
        find_backbone(model, 'head')
    wrapped = nn.ModuleDict(dict(module=model))
    for name in ('teacher', 'module.teacher'):
        assert find_backbone(wrapped, name) is model.teacher
    with torch.no_grad(), record_selections(model, 'teacher') as record:
        model(images)
    assert torch.equal(record.images_BCHW, images) and list(record.selections) == [4, 8, 16]
    with (
        pytest.raises(RuntimeError, match="backbone 'student' of Pair did not run"),
        torch.no_grad(),
        record_selections(model, 'student'),
    ):
        model(images)


def test_a_backbone_that_is_shared_is_one() -> None:
    model = Pair()
    model.student = model.teacher
    assert find_backbone(model) is model.teacher
