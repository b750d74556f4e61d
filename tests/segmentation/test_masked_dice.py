"""Dice of the pixels that count."""

from __future__ import annotations

import pytest
import torch
from mmseg.models.losses import DiceLoss

from mmdynamicvis.segmentation import MaskedDiceLoss


@pytest.fixture
def logits():
    return torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.randint(0, 3, (2, 8, 9), generator=torch.Generator().manual_seed(1))


def test_without_ignored_pixels_it_is_the_loss_of_mmseg(logits, labels):
    ours = MaskedDiceLoss(loss_weight=3.0)(logits, labels)
    torch.testing.assert_close(ours, DiceLoss(use_sigmoid=False, loss_weight=3.0)(logits, labels))


@pytest.mark.parametrize('ignore_index', [255, -1])
def test_ignored_pixels_have_no_part(logits, labels, ignore_index):
    labels[:, 5:] = ignore_index
    logits.requires_grad_()
    loss = MaskedDiceLoss()(logits, labels, ignore_index=ignore_index)
    cut = MaskedDiceLoss()(logits[:, :, :5].contiguous(), labels[:, :5])
    torch.testing.assert_close(loss, cut)
    loss.backward()
    assert (logits.grad[:, :, 5:] == 0).all()
    assert (logits.grad[:, :, :5] != 0).all()


def test_perfect_and_empty(logits, labels):
    perfect = 100 * torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    assert MaskedDiceLoss()(perfect, labels) == pytest.approx(0, abs=1e-4)
    assert MaskedDiceLoss()(logits, torch.full_like(labels, 255)).isfinite()
