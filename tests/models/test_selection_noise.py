"""Noise on the scores: in training only, and it decays with the progress of a real Runner."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mmdynamicvis.models import selection_noise
from mmdynamicvis.models.selection_noise import SelectionNoise


def record_scales(noise: SelectionNoise) -> list[float]:
    """Keep the scale of all noise that a module makes from now on."""
    scales = []
    unit_noise = SelectionNoise('fixed', 1.0)

    def seed(module: nn.Module, inputs: tuple[Tensor]) -> None:
        torch.manual_seed(0)

    def compare(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        torch.manual_seed(0)
        ratio = output / unit_noise(*inputs)
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
        scales.append(ratio.mean().item())

    noise.register_forward_pre_hook(seed)
    noise.register_forward_hook(compare)
    return scales


@pytest.mark.parametrize('noise', [dict(type='decay', val=0.1), dict(type='fixed', val=5.0)])
def test_eval_mode_is_deterministic_and_free_of_noise(
    build: Callable, make_images: Callable, noise: dict
) -> None:
    images = make_images(2, 3, 64, 64)
    model = build(selection_noise=noise).eval()
    first, second = model(images), model(images)
    without = build(selection_noise=None).eval()(images)
    for a, b, c in zip(first, second, without, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_training_has_noise_unless_it_is_turned_off(build: Callable, make_images: Callable) -> None:
    images = make_images(2, 3, 64, 64)
    noisy = build(selection_noise=dict(type='fixed', val=1.0)).train()
    quiet = build(selection_noise=None).train()
    with torch.no_grad():
        chosen = [noisy.forward_with_selection(images)[1][0].indices for _ in range(2)]
        assert not torch.equal(*chosen)
        assert torch.equal(quiet(images)[0], quiet(images)[0])


def test_noise_is_gumbel_of_the_scale() -> None:
    torch.manual_seed(0)
    tokens = torch.zeros(100, 10_000, 1, dtype=torch.bfloat16)
    noise = SelectionNoise('fixed', 0.1)(tokens)
    assert noise.dtype == torch.float32
    assert noise.isfinite().all()
    # a million samples: mean gamma v, standard deviation pi v / sqrt(6)
    assert noise.mean().item() == pytest.approx(0.05772, abs=5e-4)
    assert noise.std().item() == pytest.approx(0.12825, abs=5e-4)


def test_uniform_numbers_of_zero_and_almost_one_give_finite_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extremes = torch.tensor([[0.0, 1 - 2**-24]])
    monkeypatch.setattr(torch, 'rand', lambda *shape, **options: extremes.clone())
    assert SelectionNoise('fixed', 1.0)(torch.zeros(1, 2, 1)).isfinite().all()


def test_outside_a_runner_decaying_noise_has_its_full_scale() -> None:
    noise = SelectionNoise('decay', 0.1)
    scales = record_scales(noise)
    noise(torch.zeros(2, 50, 1))
    assert scales == [pytest.approx(0.1)]


@pytest.mark.parametrize(
    ('train_cfg', 'n_iterations'),
    [
        (dict(by_epoch=True, max_epochs=3), 12),
        (dict(by_epoch=True, max_epochs=2, val_interval=1), 8),
        (dict(by_epoch=False, max_iters=10), 10),
        (dict(by_epoch=False, max_iters=10, val_interval=3), 10),
    ],
    ids=['epochs', 'epochs with validation', 'iterations', 'iterations with validation'],
)
def test_noise_decays_to_zero_with_the_training(
    build: Callable, train: Callable, train_cfg: dict, n_iterations: int
) -> None:
    model = build(img_size=32, selection_noise=dict(type='decay', val=0.1))
    noise = model.stages[0].units[0].noise
    scales = record_scales(noise)
    train(model, **train_cfg)
    expected = [0.1 * (1 - i / n_iterations) for i in range(n_iterations)]
    assert scales == pytest.approx(expected, rel=1e-4)

    noise(torch.zeros(1, 50, 1))  # the training is over
    assert scales[-1] == pytest.approx(0.1)


def test_fixed_noise_keeps_its_scale_in_a_runner(build: Callable, train: Callable) -> None:
    model = build(img_size=32, selection_noise=dict(type='fixed', val=0.2))
    scales = record_scales(model.stages[3].units[0].noise)
    train(model, by_epoch=False, max_iters=3)
    assert scales == pytest.approx([0.2] * 3)


def test_progress_is_a_custom_op_as_torch_asks() -> None:
    torch.library.opcheck(selection_noise.training_remaining, (torch.randn(2, 3),))
