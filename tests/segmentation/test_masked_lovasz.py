"""Lovász-softmax of the pixels that count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmseg.models.losses import LovaszLoss

from mmdynamicvis.segmentation import MaskedLovaszLoss


@pytest.fixture
def logits():
    return torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.randint(0, 3, (2, 5, 6), generator=torch.Generator().manual_seed(1))


def oracle(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the loss by its definition, (N, C) and (N,): a sum over sets that grow by a pixel."""
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponents / exponents.sum(1, keepdims=True)
    losses = []
    for number in np.unique(labels):
        there = labels == number
        errors = np.abs(there - probabilities[:, number])
        order = np.argsort(-errors)
        wrong, jaccards = np.zeros(len(labels), bool), [0.0]
        for pixel in order:  # the Jaccard loss if these pixels are mispredicted
            wrong[pixel] = True
            jaccards.append(1 - (there & ~wrong).sum() / (there | wrong).sum())
        losses.append((errors[order] * np.diff(jaccards)).sum())
    return float(np.mean(losses))


@pytest.mark.parametrize('ignore_index', [255, -1])
def test_against_the_definition(logits, labels, ignore_index):
    labels[:, 3:] = ignore_index
    logits.requires_grad_()
    loss = MaskedLovaszLoss(loss_weight=0.5)(logits, labels, ignore_index=ignore_index)
    flat = logits.detach().double().movedim(1, -1)[labels != ignore_index].numpy()
    known = labels[labels != ignore_index].numpy()
    assert loss.item() == pytest.approx(0.5 * oracle(flat, known), rel=1e-5)
    loss.backward()
    assert (logits.grad[:, :, 3:] == 0).all()
    pixels = [(0, 0, 1, 2), (1, 2, 0, 4)]
    for pixel in pixels:  # central differences of the definition
        changed = []
        for step in (1e-6, -1e-6):
            moved = logits.detach().double().clone()
            moved[pixel] += step
            changed.append(oracle(moved.movedim(1, -1)[labels != ignore_index].numpy(), known))
        slope = 0.5 * (changed[0] - changed[1]) / 2e-6
        assert logits.grad[pixel].item() == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_it_is_the_loss_of_mmseg(logits, labels):
    labels[0, 0] = 255
    expected = LovaszLoss(reduction='none', loss_weight=0.75)(logits, labels, ignore_index=255)
    torch.testing.assert_close(MaskedLovaszLoss(loss_weight=0.75)(logits, labels), expected)


def test_no_pixel_and_a_single_one(logits, labels):
    labels = torch.full_like(labels, 255)
    logits.requires_grad_()
    loss = MaskedLovaszLoss()(logits, labels)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()
    labels[1, 2, 3] = 1
    probability = logits[1, :, 2, 3].softmax(0)[1]
    torch.testing.assert_close(MaskedLovaszLoss()(logits, labels), 1 - probability)
