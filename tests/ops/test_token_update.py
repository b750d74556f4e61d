"""The weighted increment against the oracle: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmdynamicvis.ops import token_select, token_update

OP = 'token_update'
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


def compare(assert_close: Callable, inputs: dict[str, Tensor], **options) -> None:
    dtype = inputs['tokens'].dtype
    actual = run(inputs, backend='eager', **options)
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
def test_equals_the_oracle(
    assert_close: Callable, dtype: torch.dtype, length: int, k: int, update_unselected: bool
) -> None:
    inputs = make_inputs(length, k, dtype=dtype)
    compare(assert_close, inputs, update_unselected=update_unselected)


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 97), (2, 384)])
@update_modes
def test_any_number_of_channels_and_images(
    assert_close: Callable, n_batch: int, n_channels: int, update_unselected: bool
) -> None:
    inputs = make_inputs(50, 12, n_channels, n_batch, torch.float32)
    compare(assert_close, inputs, update_unselected=update_unselected)


def test_increment_is_the_papers() -> None:
    tokens = torch.tensor([[[1.0], [2.0], [3.0]]])
    arguments = dict(
        updated=torch.tensor([[[10.0]]]),
        indices=torch.tensor([[2]]),
        importance=torch.tensor([[0.5, 0.25, 0.25]]),
    )
    assert token_update(tokens, **arguments).flatten().tolist() == [1.5, 2.5, 5.5]
    alone = token_update(tokens, **arguments, update_unselected=False)
    assert alone.flatten().tolist() == [1, 2, 5.5]


@update_modes
def test_non_contiguous_tokens(assert_close: Callable, update_unselected: bool) -> None:
    inputs = make_inputs(30, 10)
    for name in ('tokens', 'updated'):
        scattered = inputs[name].detach().transpose(1, 2).contiguous().transpose(1, 2)
        assert not scattered.is_contiguous()
        inputs[name] = scattered.requires_grad_()
    compare(assert_close, inputs, update_unselected=update_unselected)


@update_modes
def test_inputs_are_left_alone(update_unselected: bool) -> None:
    inputs = make_inputs(30, 10)
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    run(inputs, update_unselected=update_unselected, backend='eager')
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
