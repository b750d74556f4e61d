"""Losses of several maps against float64 written from the formulas, pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdynamicvis.change_detection import SeKLoss, SemanticConsistencyLoss

DATES = ('semantic_from', 'semantic_to')


def case(seed: int = 0, classes: int = 3, sharp: float = 1.0, n: int = 2) -> tuple[dict, dict]:
    """Return logits and targets; a column has no change that is known, and some class no pixel."""
    generator = torch.Generator().manual_seed(seed)
    change = torch.randint(0, 2, (n, 5, 6), generator=generator)
    change[0, :, 0] = 255
    logits, targets = {}, dict(change=change)
    for date in DATES:
        cover = torch.randint(0, classes - 1, (n, 5, 6), generator=generator)
        targets[date] = torch.where(change == 1, cover, 255)
        noise = torch.randn(n, classes, 5, 6, generator=generator)
        there = torch.nn.functional.one_hot(cover, classes).movedim(-1, 1)
        logits[date] = (noise + sharp * there).requires_grad_()
    return logits, targets


def pixels(logits: torch.Tensor) -> list[torch.Tensor]:
    """Return the probabilities of each pixel, float64."""
    return list(logits.double().softmax(1).movedim(1, -1).reshape(-1, logits.shape[1]))


def consistency(logits: dict, targets: dict, distance: str) -> torch.Tensor:
    total, n = 0.0, 0
    both = (pixels(logits[date]) for date in DATES)
    for a, b, change in zip(*both, targets['change'].flatten().tolist(), strict=True):
        if change == 255:
            continue
        n += 1
        if distance == 'squared':
            total = total + (((a - b) ** 2).mean() if change == 0 else 0)
            continue
        cosine = (a * b).sum() / ((a**2).sum().sqrt() * (b**2).sum().sqrt())
        total = total + (1 - cosine if change == 0 else max(cosine, 0 * cosine))
    return total / n


def separated_kappa(logits: dict, targets: dict, beta: float, gamma: float, floor: float):
    kappas, ious = [], []
    for date in DATES:
        classes = logits[date].shape[1]
        pairs = zip(pixels(logits[date]), targets[date].flatten().tolist(), strict=True)
        known = [(p, t) for p, t in pairs if t != 255]
        q = [
            [sum(p[i] for p, t in known if t == j) for j in range(classes)] for i in range(classes)
        ]
        n = len(known)
        observed = sum(q[i][i] for i in range(classes)) / n
        chance = sum(sum(q[i]) * sum(row[i] for row in q) for i in range(classes)) / n**2
        kappas.append((observed - chance) / (1 - chance + 1e-7))
        parts = []
        for i in range(classes):
            true = sum(t == i for _, t in known)
            if true:
                union = sum(q[i]) + true - q[i][i]
                parts.append((q[i][i] / union, 1 / math.log(true + 1)))
        ious.append(sum(iou * w for iou, w in parts) / sum(w for _, w in parts))
    kappa, iou = sum(kappas) / 2, sum(ious) / 2
    value = kappa * (beta * iou).exp()
    log = value.log() if value > floor else math.log(floor) + value / floor - 1
    loss = -log - gamma * (iou + 1e-6).log()
    return max(loss, 0 * loss)


def compare(loss, oracle, logits, targets, tolerance=1e-5):
    value = loss(logits, targets)
    expected = oracle()
    assert float(value) == pytest.approx(float(expected), rel=tolerance, abs=1e-6)
    both = [logits[date] for date in DATES]
    ours = torch.autograd.grad(value, both, retain_graph=True)
    theirs = torch.autograd.grad(expected, both)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b.to(a), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('distance', ['cosine', 'squared'])
def test_consistency(distance):
    logits, targets = case()
    loss = SemanticConsistencyLoss(distance=distance)
    compare(loss, lambda: consistency(logits, targets, distance), logits, targets)
    doubled = SemanticConsistencyLoss(distance=distance, loss_weight=2)
    assert float(doubled(logits, targets)) == pytest.approx(2 * float(loss(logits, targets)))


def test_consistency_of_hand_made_pixels():
    """Equal and unchanged 0; equal and changed 1; different and changed next to 0."""
    high = 50.0
    same = torch.tensor([[high, 0.0]])
    other = torch.tensor([[0.0, high]])
    first = torch.stack([same, same, same], -1)[..., None]
    second = torch.stack([same, same, other], -1)[..., None]
    targets = dict(change=torch.tensor([[[0], [1], [1]]]))
    value = SemanticConsistencyLoss()(dict(zip(DATES, (first, second), strict=True)), targets)
    assert float(value) == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize('sharp', [0.0, 1.0, 4.0, -2.0], ids=['chance', 'weak', 'good', 'worse'])
def test_separated_kappa(sharp):
    logits, targets = case(sharp=sharp)
    loss = SeKLoss(loss_weight=1)
    compare(loss, lambda: separated_kappa(logits, targets, 1.5, 0.5, 0.1), logits, targets)


def test_separated_kappa_of_perfect_maps_is_nothing():
    logits, targets = case(sharp=200.0)
    value = SeKLoss()(logits, targets)
    assert float(value) == 0


@pytest.mark.parametrize('loss', [SeKLoss(), SemanticConsistencyLoss()])
def test_without_any_label(loss):
    logits, targets = case()
    value = loss(logits, {name: torch.full_like(target, 255) for name, target in targets.items()})
    assert float(value) == 0
    value.backward()  # through the graph, for distributed training
    assert not logits[DATES[0]].grad.any()


@given(st.integers(0, 2**31), st.floats(-30, 30), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_losses_and_gradients_are_finite(seed, sharp, classes):
    for loss in (SeKLoss(), SemanticConsistencyLoss(), SemanticConsistencyLoss(distance='squared')):
        logits, targets = case(seed, classes, sharp, n=1)
        value = loss(logits, targets)
        assert value >= 0
        value.backward()
        assert all(
            logits[date].grad is None or logits[date].grad.isfinite().all() for date in DATES
        )


def test_unknown_distance():
    with pytest.raises(ValueError, match="distance is 'l1'; choose 'cosine' or 'squared'"):
        SemanticConsistencyLoss(distance='l1')
