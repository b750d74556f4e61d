"""The weighted update against the oracle: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from op_backends import Lane, device, lanes
from torch import Tensor

from mmdynamicvis.ops import token_select, token_update
from mmdynamicvis.ops.token_select import UPDATE_BACKENDS

OP = 'token_update'
every_lane = pytest.mark.parametrize('lane', lanes(UPDATE_BACKENDS))
every_backend = pytest.mark.parametrize('lane', lanes(UPDATE_BACKENDS, (torch.float32,)))
triton_only = pytest.mark.parametrize('lane', lanes(UPDATE_BACKENDS, (torch.float32,), 'triton'))


def make_inputs(
    length: int,
    k: int,
    n_channels: int = 5,
    n_batch: int = 2,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    order = normal(n_batch, length).argsort()
    wide = torch.promote_types(dtype, torch.float32)
    return {
        'tokens': normal(n_batch, length, n_channels).to(dtype).requires_grad_(),
        'increment': normal(n_batch, k, n_channels).to(dtype).requires_grad_(),
        'indices': order[:, :k],
        'weight': (1 + 0.2 * normal(n_batch, k)).to(wide).requires_grad_(),
    }


def run(inputs: dict[str, Tensor], **options) -> dict[str, Tensor]:
    """Update a copy of the tokens, laid out as they are: they are leaves, and written to."""
    tokens = inputs['tokens'] * 1
    result = token_update(tokens, *list(inputs.values())[1:], **options)
    assert options['backend'] == 'naive' or result is tokens
    weight = torch.linspace(-1, 1, 33).to(result.dtype)  # the same numbers in every dtype
    weight = weight.repeat(result.numel() // 33 + 1)[: result.numel()].view(result.shape)
    leaves = {name: tensor for name, tensor in inputs.items() if tensor.requires_grad}
    grads = torch.autograd.grad(result, list(leaves.values()), weight)
    return {'the result': result, **dict(zip(leaves, grads, strict=True))}


def place(inputs: dict[str, Tensor], backend: str) -> dict[str, Tensor]:
    return {
        name: tensor.detach().to(device(backend)).requires_grad_(tensor.requires_grad)
        for name, tensor in inputs.items()
    }


def compare(assert_close: Callable, backend: str, inputs: dict[str, Tensor]) -> None:
    dtype = inputs['tokens'].dtype
    inputs = place(inputs, backend)
    actual = run(inputs, backend=backend)
    exact = {
        name: tensor.detach().double().requires_grad_() if tensor.requires_grad else tensor
        for name, tensor in inputs.items()
    }
    expected = run(exact, backend='naive')
    assert actual['the result'].dtype == dtype
    for name, tensor in actual.items():
        assert_close(OP, dtype, name, tensor, expected[name])


@pytest.mark.parametrize(('length', 'k'), [(1, 1), (17, 1), (17, 17), (63, 15), (400, 50)])
@every_lane
def test_equals_the_oracle(assert_close: Callable, lane: Lane, length: int, k: int) -> None:
    backend, dtype = lane
    compare(assert_close, backend, make_inputs(length, k, dtype=dtype))


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 97), (2, 384)])
@every_backend
def test_any_number_of_channels_and_images(
    assert_close: Callable, lane: Lane, n_batch: int, n_channels: int
) -> None:
    compare(assert_close, lane[0], make_inputs(50, 12, n_channels, n_batch, torch.float32))


@every_backend
def test_other_tokens_are_not_touched(lane: Lane) -> None:
    arguments = dict(
        tokens=torch.tensor([[[1.0], [torch.nan], [3.0]]]),
        increment=torch.tensor([[[10.0]]]),
        indices=torch.tensor([[2]]),
        weight=torch.tensor([[0.25]]),
    )
    arguments = place(arguments, lane[0])
    result = token_update(**arguments, backend=lane[0]).flatten().tolist()
    assert (result[0], result[2]) == (1, 5.5)
    assert arguments['tokens'].flatten()[2] == 5.5  # in place


@every_backend
def test_non_contiguous_tensors(assert_close: Callable, lane: Lane) -> None:
    inputs = make_inputs(30, 10, dtype=torch.float32)
    for name in ('tokens', 'increment'):
        scattered = inputs[name].detach().transpose(1, 2).contiguous().transpose(1, 2)
        assert not scattered.is_contiguous()
        inputs[name] = scattered.requires_grad_()
    inputs['indices'] = inputs['indices'].repeat_interleave(2, 1)[:, ::2]
    compare(assert_close, lane[0], inputs)


@triton_only
def test_nothing_is_read_that_was_not_written(assert_close: Callable, lane: Lane) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        assert torch.empty(1).isnan().all()
        compare(assert_close, lane[0], make_inputs(63, 20, dtype=torch.float32))
    finally:
        torch.use_deterministic_algorithms(before)


@every_backend
def test_tokens_that_a_gradient_needs_cannot_be_overwritten(lane: Lane) -> None:
    inputs = place(make_inputs(30, 10, dtype=torch.float32), lane[0])
    tokens = inputs['tokens'].exp()  # whose gradient needs its result
    token_update(tokens, *list(inputs.values())[1:], backend=lane[0])
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        tokens.sum().backward()


def test_gradcheck() -> None:
    inputs = make_inputs(6, 3, n_channels=2)

    def function(tokens: Tensor, increment: Tensor, weight: Tensor) -> Tensor:
        return token_update(tokens * 1, increment, inputs['indices'], weight, backend='eager')

    leaves = tuple(inputs[name] for name in ('tokens', 'increment', 'weight'))
    assert torch.autograd.gradcheck(function, leaves)


@every_backend
def test_gradients_through_selection_and_update(assert_close: Callable, lane: Lane) -> None:
    """As a unit of the backbone calls them: the tokens that were selected from are overwritten."""
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(2, 12, 5, generator=generator), *torch.randn(2, 5, generator=generator)]

    def gradients(backend: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
        inputs = [x.to(device(backend), dtype).requires_grad_() for x in leaves]
        tokens = inputs[0] * 1
        chosen = token_select(tokens, *inputs[1:], 4, grid=(3, 4), backend=backend)
        weight = 1 + chosen.kept_scores.tanh()
        increment = chosen.normed.sin().cumsum(1)[:, 3:]
        tokens = token_update(tokens, increment, chosen.indices, weight, backend=backend)
        return torch.autograd.grad(tokens.square().sum(), inputs)

    actual, expected = gradients(lane[0], torch.float32), gradients('naive', torch.float64)
    for name, *pair in zip(('tokens', 'scorer', 'norm weight'), actual, expected, strict=True):
        assert_close('token_select', torch.float32, f'the gradient of the {name}', *pair)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(tokens=torch.zeros(9, 5)), r'tokens have shape \(9, 5\); need \(B, L, C\)'),
        (
            dict(increment=torch.zeros(2, 4, 5)),
            r'increment has shape \(2, 4, 5\).*need \(2, 3, 5\)',
        ),
        (
            dict(indices=torch.zeros(1, 3, dtype=torch.long)),
            r'indices has shape \(1, 3\).* need \(2, 3\)',
        ),
        (dict(weight=torch.zeros(2, 9)), r'weight has shape \(2, 9\).* need \(2, 3\)'),
        (dict(backend='abacus'), "token_update: unknown backend 'abacus'"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        token_update(**{**make_inputs(9, 3), **change})
