"""Half precision stays finite; recomputed activations give the same gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmdynamicvis import DynamicVis
from mmdynamicvis.models import STIM

halves = pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=['bf16', 'fp16'])


def loss_of(outputs: tuple[Tensor, ...]) -> Tensor:
    """A loss that norms do not make constant."""
    ramps = (torch.linspace(-1, 1, x.numel()).view(x.shape) for x in outputs)
    return sum((x.float() * ramp).mean() for x, ramp in zip(outputs, ramps, strict=True))


def train_step(model: DynamicVis, images: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return the gradients of a step in train mode."""
    torch.manual_seed(seed)
    model.train().zero_grad()
    loss_of(model(images)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@halves
@pytest.mark.parametrize('contrast', [1, 100])
@pytest.mark.parametrize('scan_mode', ['mean', 'gate', 'forward'])
def test_autocast_stays_finite(
    build: Callable, make_images: Callable, dtype: torch.dtype, contrast: float, scan_mode: str
) -> None:
    model = build(scan_mode=scan_mode).train()
    for stage in model.stages:  # scores of a hundred: exp overflows, even in float32
        stage.units[0].scorer.weight.data.mul_(contrast)
    images = contrast * make_images(2, 3, 64, 80)
    with torch.autocast('cpu', dtype):
        outputs, selections = model.forward_with_selection(images)
    assert all(output.isfinite().all() for output in outputs)
    assert all(selection.importance.dtype == torch.float32 for selection in selections)
    loss_of(outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@halves
def test_autocast_is_close_to_float32(
    build: Callable, make_images: Callable, dtype: torch.dtype
) -> None:
    # Without selection: which of two almost equal scores is the larger is beyond half precision.
    model, images = build(reduction_ratios=None).eval(), make_images(1, 3, 64, 64)
    with torch.autocast('cpu', dtype):
        outputs = model(images)
    for output, expected in zip(outputs, model(images), strict=True):
        error = (output.float() - expected).square().mean().sqrt()  # outputs are of variance one
        assert error < (2e-2 if dtype == torch.bfloat16 else 4e-3)


def test_a_model_of_bfloat16_weights_runs(build: Callable, make_images: Callable) -> None:
    model = build().train().bfloat16()
    outputs = model(make_images(2, 3, 45, 64).bfloat16())
    assert all(output.dtype == torch.bfloat16 for output in outputs)
    loss_of(outputs).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(selection_noise=None),
        dict(reduction_ratios=None),
        dict(selection_noise=dict(type='fixed', val=1.0), drop_path_rate=0.5),
    ],
    ids=['default', 'no noise', 'dense', 'strong noise and drop path'],
)
def test_checkpointed_activations_give_the_same_gradients(
    build: Callable, make_images: Callable, options: dict
) -> None:
    images = make_images(4, 3, 64, 64)
    expected = train_step(build(**options), images)
    actual = train_step(build(with_cp=True, **options), images)
    for name, grad in expected.items():
        torch.testing.assert_close(
            actual[name], grad, msg=lambda text, name=name: f'{name}: {text}'
        )
    if options.get('selection_noise', True) and 'reduction_ratios' not in options:
        other_seed = train_step(build(**options), images, seed=1)
        scorer = 'stages.0.units.0.scorer.weight'
        assert not torch.allclose(other_seed[scorer], expected[scorer])


def test_checkpointed_activations_are_computed_again(
    build: Callable, make_images: Callable
) -> None:
    for with_cp, n_calls in ((False, 1), (True, 2)):
        model, calls = build(with_cp=with_cp).train(), []
        model.stages[0].units[0].mixer.register_forward_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        loss_of(model(make_images(1, 3, 64, 64))).backward()
        assert len(calls) == n_calls


def test_selection_is_returned_with_checkpointed_activations(
    build: Callable, make_images: Callable
) -> None:
    images = make_images(1, 3, 64, 64)
    expected = build().eval().forward_with_selection(images)[1]
    actual = build(with_cp=True).eval().forward_with_selection(images)[1]
    for a, b in zip(actual, expected, strict=True):
        assert a.grid == b.grid
        assert torch.equal(a.indices, b.indices)


@pytest.mark.parametrize('autocast', [False, True], ids=['pure', 'autocast'])
def test_a_new_unit_changes_what_it_selects_in_bfloat16(autocast: bool) -> None:
    """At the length of the first stage at 512 pixels, where the published rule does nothing."""
    grid, changes = (128, 128), {}
    for published in (False, True):
        torch.manual_seed(0)
        unit = STIM(96, 7 / 8, {}, None, published=published).eval()
        tokens = torch.randn(1, 128 * 128, 96)
        unit, tokens = (unit, tokens) if autocast else (unit.bfloat16(), tokens.bfloat16())
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            result, (indices, *_), _ = unit(tokens, grid)
            before = tokens if published else unit.mix_locally(tokens, grid)
        place = indices.unsqueeze(-1).expand(-1, -1, 96)
        before, after = (x.gather(1, place).float() for x in (before, result))
        changes[published] = ((after - before).norm() / before.norm()).item()
    assert changes[False] > 0.02
    assert changes[True] < 1e-3
