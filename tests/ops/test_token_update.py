"""The weighted increment against the oracle: values and every gradient."""

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
update_modes = pytest.mark.parametrize('update_unselected', [True, False])


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
        'updated': normal(n_batch, k, n_channels).to(dtype).requires_grad_(),
        'indices': order[:, :k],
        # of few tokens, so that the increment weighs
        'importance': normal(n_batch, length).softmax(-1).to(wide).requires_grad_(),
    }


def run(inputs: dict[str, Tensor], **options) -> dict[str, Tensor]:
    result = token_update(**inputs, **options)
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


def compare(assert_close: Callable, backend: str, inputs: dict[str, Tensor], **options) -> None:
    dtype = inputs['tokens'].dtype
    inputs = place(inputs, backend)
    actual = run(inputs, backend=backend, **options)
    exact = {
        name: tensor.detach().double().requires_grad_() if tensor.requires_grad else tensor
        for name, tensor in inputs.items()
    }
    expected = run(exact, backend='naive', **options)
    assert actual['the result'].dtype == dtype
    for name, tensor in actual.items():
        assert_close(OP, dtype, name, tensor, expected[name])


@pytest.mark.parametrize(('length', 'k'), [(1, 1), (17, 1), (17, 17), (63, 15), (400, 50)])
@update_modes
@every_lane
def test_equals_the_oracle(
    assert_close: Callable, lane: Lane, length: int, k: int, update_unselected: bool
) -> None:
    backend, dtype = lane
    inputs = make_inputs(length, k, dtype=dtype)
    compare(assert_close, backend, inputs, update_unselected=update_unselected)


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 97), (2, 384)])
@update_modes
@every_backend
def test_any_number_of_channels_and_images(
    assert_close: Callable, lane: Lane, n_batch: int, n_channels: int, update_unselected: bool
) -> None:
    inputs = make_inputs(50, 12, n_channels, n_batch, torch.float32)
    compare(assert_close, lane[0], inputs, update_unselected=update_unselected)


@every_backend
def test_increment_is_the_papers(lane: Lane) -> None:
    arguments = dict(
        tokens=torch.tensor([[[1.0], [2.0], [3.0]]]),
        updated=torch.tensor([[[10.0]]]),
        indices=torch.tensor([[2]]),
        importance=torch.tensor([[0.5, 0.25, 0.25]]),
    )
    arguments = dict(place(arguments, lane[0]), backend=lane[0])
    assert token_update(**arguments).flatten().tolist() == [1.5, 2.5, 5.5]
    alone = token_update(**arguments, update_unselected=False)
    assert alone.flatten().tolist() == [1, 2, 5.5]


@update_modes
@every_backend
def test_non_contiguous_tokens(assert_close: Callable, lane: Lane, update_unselected: bool) -> None:
    inputs = make_inputs(30, 10, dtype=torch.float32)
    for name in ('tokens', 'updated'):
        scattered = inputs[name].detach().transpose(1, 2).contiguous().transpose(1, 2)
        assert not scattered.is_contiguous()
        inputs[name] = scattered.requires_grad_()
    compare(assert_close, lane[0], inputs, update_unselected=update_unselected)


@every_backend
def test_evenly_strided_rows(assert_close: Callable, lane: Lane) -> None:
    inputs = make_inputs(30, 10, dtype=torch.float32)
    tokens = inputs['tokens'].detach()
    inputs['tokens'] = torch.cat([tokens, tokens], dim=2)[..., : tokens.shape[2]].requires_grad_()
    inputs['indices'] = inputs['indices'].repeat_interleave(2, 1)[:, ::2]
    compare(assert_close, lane[0], inputs)


@update_modes
@triton_only
def test_nothing_is_read_that_was_not_written(
    assert_close: Callable, lane: Lane, update_unselected: bool
) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        assert torch.empty(1).isnan().all()
        inputs = make_inputs(63, 20, dtype=torch.float32)
        compare(assert_close, lane[0], inputs, update_unselected=update_unselected)
    finally:
        torch.use_deterministic_algorithms(before)


@update_modes
@triton_only
def test_registration(lane: Lane, update_unselected: bool) -> None:
    from mmdynamicvis.ops.token_select import triton

    assert triton.token_update is not None  # importing it registers the ops
    inputs = place(make_inputs(20, 6, dtype=torch.float32), lane[0])
    op = torch.ops.mmdynamicvis.token_update_triton.default
    torch.library.opcheck(op, (*inputs.values(), update_unselected))


@update_modes
@every_backend
def test_inputs_are_left_alone(lane: Lane, update_unselected: bool) -> None:
    inputs = place(make_inputs(30, 10, dtype=torch.float32), lane[0])
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    run(inputs, update_unselected=update_unselected, backend=lane[0])
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


@update_modes
def test_gradcheck(update_unselected: bool) -> None:
    inputs = make_inputs(6, 3, n_channels=2)

    def function(tokens: Tensor, updated: Tensor, importance: Tensor) -> Tensor:
        return token_update(
            tokens, updated, inputs['indices'], importance, update_unselected, backend='eager'
        )

    leaves = tuple(inputs[name] for name in ('tokens', 'updated', 'importance'))
    assert torch.autograd.gradcheck(function, leaves)


def test_gradients_through_selection_and_update() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)

    def function(tokens: Tensor, weight: Tensor) -> Tensor:
        chosen = token_select(tokens, weight, 2, backend='eager')
        return token_update(
            tokens, chosen.tokens.sin(), chosen.indices, chosen.importance, backend='eager'
        )

    assert torch.autograd.gradcheck(function, (tokens, weight))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(tokens=torch.zeros(9, 5)), r'tokens have shape \(9, 5\); need \(B, L, C\)'),
        (dict(updated=torch.zeros(2, 4, 5)), r'updated has shape \(2, 4, 5\).* need \(2, 3, 5\)'),
        (
            dict(indices=torch.zeros(1, 3, dtype=torch.long)),
            r'indices has shape \(1, 3\).* need \(2, 3\)',
        ),
        (dict(importance=torch.zeros(2, 3)), r'importance has shape \(2, 3\).* need \(2, 9\)'),
        (dict(backend='abacus'), "token_update: unknown backend 'abacus'"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        token_update(**{**make_inputs(9, 3), **change})
