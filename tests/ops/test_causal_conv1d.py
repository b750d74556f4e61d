"""Every causal convolution against the oracle: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from op_backends import device, marks
from torch import Tensor

from mmdynamicvis.ops import causal_conv1d
from mmdynamicvis.ops.causal_conv1d import BACKENDS
from mmdynamicvis.ops.triton_support import INTERPRETED

OP = 'causal_conv1d'
BACKEND_PARAMS = [pytest.param(backend.name, marks=marks(backend)) for backend in BACKENDS[:-1]]
by_backend = pytest.mark.parametrize('backend', BACKEND_PARAMS)
by_direction = pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
on_triton = pytest.mark.parametrize('backend', BACKEND_PARAMS[:1])


def make_inputs(
    backend: str,
    length: int,
    n_channels: int = 5,
    width: int = 4,
    n_batch: int = 2,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Tokens are one half of a projection, as in the mixer; parameters stay in float32."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    parameter_dtype = torch.promote_types(dtype, torch.float32)
    inputs = {
        'x': normal(n_batch, length, 2 * n_channels).to(dtype).chunk(2, -1)[1],
        'weight': normal(n_channels, width).to(parameter_dtype),
        'bias': normal(n_channels).to(parameter_dtype),
    }
    return {n: t.to(device(backend)).detach().requires_grad_() for n, t in inputs.items()}


def run(inputs: dict[str, Tensor], direction: str, backend: str) -> dict[str, Tensor]:
    """Return the output and the gradient of every input, for some fixed gradient of the output."""
    y = causal_conv1d(**inputs, direction=direction, backend=backend)
    # Multiples of 1/16 are the same numbers in every dtype.
    weight = torch.linspace(-1, 1, 33).to(y).repeat(y.numel() // 33 + 1)[: y.numel()]
    grads = torch.autograd.grad(y, list(inputs.values()), weight.view(y.shape))
    return {'y': y, **{f'the gradient of {n}': g for n, g in zip(inputs, grads, strict=True)}}


def compare(
    assert_close: Callable, backend: str, inputs: dict[str, Tensor], direction: str = 'both'
) -> None:
    x, weight = inputs['x'], inputs['weight']
    if reason := next(b for b in BACKENDS if b.name == backend).unsupported(x, weight):
        pytest.skip(reason)
    actual = run(inputs, direction, backend)
    exact = {n: t.detach().double().requires_grad_() for n, t in inputs.items()}
    expected = run(exact, direction, 'naive')
    for (name, tensor), given in zip(actual.items(), (x, *inputs.values()), strict=True):
        assert tensor.dtype == given.dtype, name
        cut = backend == 'triton' and INTERPRETED
        assert_close(OP, x.dtype, name, tensor, expected[name], interpreted=cut)


@pytest.mark.parametrize('length', [1, 3, 16, 63])
@by_direction
@by_backend
def test_equals_the_oracle(
    assert_close: Callable, backend: str, length: int, direction: str
) -> None:
    compare(assert_close, backend, make_inputs(backend, length), direction)


@by_backend
def test_equals_the_oracle_in_every_dtype(
    assert_close: Callable, backend: str, dtype: torch.dtype
) -> None:
    compare(assert_close, backend, make_inputs(backend, 129, 40, dtype=dtype))


@pytest.mark.parametrize('width', [1, 2, 3, 8])
@by_backend
def test_any_width(assert_close: Callable, backend: str, width: int) -> None:
    compare(assert_close, backend, make_inputs(backend, 19, width=width))


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 7), (2, 193)])
@by_backend
def test_any_number_of_channels_and_images(
    assert_close: Callable, backend: str, n_batch: int, n_channels: int
) -> None:
    compare(assert_close, backend, make_inputs(backend, 18, n_channels, n_batch=n_batch))


@by_direction
@by_backend
def test_the_bias_is_optional(assert_close: Callable, backend: str, direction: str) -> None:
    inputs = make_inputs(backend, 9)
    del inputs['bias']
    compare(assert_close, backend, inputs, direction)


@by_backend
def test_non_contiguous_inputs(assert_close: Callable, backend: str) -> None:
    inputs = make_inputs(backend, 21)
    x = inputs['x'].detach().transpose(1, 2).contiguous().transpose(1, 2)
    weight = inputs['weight'].detach().t().contiguous().t()
    assert not x.is_contiguous() and not weight.is_contiguous()
    inputs.update(x=x.requires_grad_(), weight=weight.requires_grad_())
    compare(assert_close, backend, inputs)


@by_backend
def test_a_gradient_that_is_expanded(assert_close: Callable, backend: str) -> None:
    inputs = make_inputs(backend, 20)
    grads = [
        torch.autograd.grad(causal_conv1d(**inputs, backend=name).sum(), inputs['x'])[0]
        for name in (backend, 'naive')
    ]
    assert_close(OP, torch.float32, 'the gradient of x', *grads)


@on_triton
def test_nothing_is_read_that_was_not_written(
    assert_close: Callable, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    new_empty = Tensor.new_empty

    def poisoned(tensor: Tensor, *args, **kwargs) -> Tensor:
        return new_empty(tensor, *args, **kwargs).fill_(float('nan'))

    monkeypatch.setattr(Tensor, 'new_empty', poisoned)
    compare(assert_close, backend, make_inputs(backend, 17))


@by_direction
@on_triton
def test_triton_ops_are_registered_as_torch_asks(backend: str, direction: str) -> None:
    from mmdynamicvis.ops.causal_conv1d import triton

    triton.causal_conv1d  # noqa: B018 - importing it registers the ops
    inputs = make_inputs(backend, 5)
    op = torch.ops.mmdynamicvis.causal_conv1d_triton.default
    torch.library.opcheck(op, (*inputs.values(), direction))
    tensors = [tensor.detach() for tensor in inputs.values()]
    y = op(*tensors, direction)
    backward = torch.ops.mmdynamicvis.causal_conv1d_triton_backward.default
    torch.library.opcheck(backward, (torch.randn_like(y), *tensors, direction))
