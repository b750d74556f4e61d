"""How the tests call both scans, and compare them with their oracles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from op_backends import device, marks
from torch import Tensor

from mmdynamicvis.ops.dispatch import Backend
from mmdynamicvis.ops.triton_support import INTERPRETED

DIRECTIONS = [('forward', False), ('reverse', False), ('both', False), ('both', True)]
by_direction = pytest.mark.parametrize(
    ('direction', 'average'), DIRECTIONS, ids=['forward', 'reverse', 'both', 'average']
)


def on(backends: tuple[Backend, ...], *names: str) -> pytest.MarkDecorator:
    """Run a test with each of these backends, where it can run."""
    params = [pytest.param(b.name, marks=marks(b)) for b in backends if b.name in names]
    return pytest.mark.parametrize('backend', params)


def run(op: Callable[..., Tensor], inputs: dict[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """Return the output and the gradient of every input, for some fixed gradient of the output."""
    y = op(**inputs, **options)
    # Multiples of 1/16 are the same numbers in every dtype.
    weight = torch.linspace(-1, 1, 33).to(y).repeat(y.numel() // 33 + 1)[: y.numel()]
    grads = torch.autograd.grad(y, list(inputs.values()), weight.view(y.shape))
    return {'y': y, **{f'the gradient of {n}': g for n, g in zip(inputs, grads, strict=True)}}


def compare(
    op: Callable[..., Tensor],
    assert_close: Callable,
    inputs: dict[str, Tensor],
    backend: str = 'eager',
    **options: Any,
) -> None:
    """Compare the output and every gradient with the float64 oracle, which gets the same inputs."""
    dtype = inputs['x'].dtype
    if backend == 'triton':
        inputs = {n: t.to(device(backend)).detach().requires_grad_() for n, t in inputs.items()}
    actual = run(op, inputs, backend=backend, **options)
    exact_inputs = {n: t.detach().double().requires_grad_() for n, t in inputs.items()}
    expected = run(op, exact_inputs, backend='naive', **options)
    assert actual['y'].dtype == dtype
    for name, tensor in actual.items():
        cut = name == 'y' and backend == 'triton' and INTERPRETED
        assert_close(op.__name__, dtype, name, tensor, expected[name], interpreted=cut)


def leaves(inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Convert inputs to a dtype; parameters stay in float32 at least, as under autocast."""
    parameters = dict.fromkeys(('A', 'D', 'dt_bias'), torch.promote_types(dtype, torch.float32))
    return {n: t.to(parameters.get(n, dtype)).requires_grad_() for n, t in inputs.items()}


def scatter(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the same values, channels first in memory and every second one unused."""
    scattered = {}
    for name, tensor in inputs.items():
        apart = tensor.new_full((tensor.shape[-1], 2, *tensor.shape[:-1]), float('nan'))
        apart[:, 0] = tensor.detach().movedim(-1, 0)
        scattered[name] = apart[:, 0].movedim(0, -1).requires_grad_()
    assert not any(t.is_contiguous() for t in scattered.values())
    return scattered
