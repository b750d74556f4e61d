"""Choice of tokens: indices first, then values and gradients on the same indices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdynamicvis.ops import TokenSelection, token_select

OP = 'token_select'


def make_inputs(
    length: int, n_channels: int = 7, n_batch: int = 2, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randn(n_batch, length, n_channels, generator=generator, dtype=torch.float64)
    weight = torch.randn(n_channels, generator=generator, dtype=torch.float64)
    parameter_dtype = torch.promote_types(dtype, torch.float32)
    return tokens.to(dtype).requires_grad_(), weight.to(parameter_dtype).requires_grad_()


def tokens_of_scores(scores: list[list[float]], n_channels: int = 3) -> tuple[Tensor, Tensor]:
    """Tokens with exactly these scores in float32, and different from each other otherwise."""
    score_BL = torch.tensor(scores, dtype=torch.float32)
    tokens = torch.arange(score_BL.numel(), dtype=torch.float32).view(*score_BL.shape, 1)
    tokens = tokens.repeat(1, 1, n_channels)
    tokens[..., 0] = score_BL
    return tokens, torch.eye(n_channels)[0]


def gradients(selection: TokenSelection, inputs: tuple[Tensor, Tensor]) -> list[Tensor]:
    steps = torch.linspace(-1, 1, 33)  # multiples of 1/16: the same in every dtype
    loss = 0
    for output in (selection.tokens, selection.importance):
        weight = steps.to(output.dtype).repeat(output.numel() // 33 + 1)[: output.numel()]
        loss = loss + (output * weight.view(output.shape)).double().sum()
    return list(torch.autograd.grad(loss, inputs))


def compare(
    assert_close: Callable, inputs: tuple[Tensor, Tensor], k: int, noise: Tensor | None = None
) -> None:
    dtype = inputs[0].dtype
    actual = token_select(*inputs, k, noise, backend='eager')
    exact = tuple(tensor.detach().double().requires_grad_() for tensor in inputs)
    expected = token_select(*exact, k, noise, backend='naive')
    assert torch.equal(actual.indices, expected.indices)
    assert actual.tokens.dtype == dtype
    assert actual.importance.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.equal(actual.tokens.double(), expected.tokens)
    assert_close(OP, dtype, 'importance', actual.importance, expected.importance)
    names = ('the gradient of the tokens', 'the gradient of the weight')
    for name, *pair in zip(
        names, gradients(actual, inputs), gradients(expected, exact), strict=True
    ):
        assert_close(OP, dtype, name, *pair)


@pytest.mark.parametrize(
    ('length', 'k'), [(1, 1), (15, 1), (16, 8), (17, 17), (63, 7), (129, 64), (400, 50), (400, 400)]
)
def test_equals_the_oracle(assert_close: Callable, dtype: torch.dtype, length: int, k: int) -> None:
    compare(assert_close, make_inputs(length, dtype=dtype), k)


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 97), (2, 384)])
def test_any_number_of_channels_and_images(
    assert_close: Callable, n_batch: int, n_channels: int
) -> None:
    tokens, weight = make_inputs(100, n_channels, n_batch, torch.float32)
    # scores of a spread that a trained scorer has
    weight = (weight.detach() / n_channels**0.5).requires_grad_()
    compare(assert_close, (tokens, weight), 25)


def test_noise_changes_the_choice_only(assert_close: Callable) -> None:
    inputs = make_inputs(60)
    noise = 5 * torch.randn(2, 60, generator=torch.Generator().manual_seed(0))
    compare(assert_close, inputs, 15, noise)
    plain = token_select(*inputs, 15)
    noisy = token_select(*inputs, 15, noise)
    assert not torch.equal(noisy.indices, plain.indices)
    assert torch.equal(noisy.importance, plain.importance)
    torch.testing.assert_close(noisy.tokens[0], inputs[0][0, noisy.indices[0]])


def test_no_gradient_flows_through_the_choice() -> None:
    tokens, weight = make_inputs(30)
    noise = torch.randn(2, 30, requires_grad=True)
    selection = token_select(tokens, weight, 5, noise)
    assert not selection.indices.requires_grad
    grads = torch.autograd.grad(selection.tokens.sum(), (weight, noise), allow_unused=True)
    assert grads == (None, None)


def test_non_contiguous_tokens(assert_close: Callable) -> None:
    tokens, weight = make_inputs(40)
    scattered = tokens.detach().transpose(1, 2).contiguous().transpose(1, 2)
    assert not scattered.is_contiguous()
    compare(assert_close, (scattered.requires_grad_(), weight), 10)


def test_gradcheck() -> None:
    tokens, weight = make_inputs(9, n_channels=3)

    def function(tokens: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        selection = token_select(tokens, weight, 4, backend='eager')
        return selection.tokens, selection.importance

    assert torch.autograd.gradcheck(function, (tokens, weight))


@pytest.mark.parametrize('backend', ['eager', 'naive'])
def test_of_tied_tokens_the_lower_index_comes_first(backend: str) -> None:
    inputs = tokens_of_scores([[1, 3, 1, 3, 2, 1], [0] * 6])
    selection = token_select(*inputs, 6, backend=backend)
    assert selection.indices.tolist() == [[1, 3, 4, 0, 2, 5], [0, 1, 2, 3, 4, 5]]
    for k in range(1, 6):
        fewer = token_select(*inputs, k, backend=backend)
        assert torch.equal(fewer.indices, selection.indices[:, :k])


@pytest.mark.parametrize('length', [100, 1000, 5000])
def test_ties_in_long_sequences(length: int) -> None:
    scores = [[i % 3 for i in range(length)]]
    selection = token_select(*tokens_of_scores(scores), length // 2, backend='eager')
    in_order = sorted(range(length), key=lambda i: (-scores[0][i], i))
    assert selection.indices[0].tolist() == in_order[: length // 2]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_equals_the_oracle_with_many_ties(data: st.DataObject) -> None:
    n_batch, length = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 40)), label='shape')
    row = st.lists(st.integers(-4, 4), min_size=length, max_size=length)
    scores = data.draw(st.lists(row, min_size=n_batch, max_size=n_batch), label='scores')
    k = data.draw(st.integers(1, length), label='k')
    inputs = tokens_of_scores(scores)
    actual, expected = (token_select(*inputs, k, backend=b) for b in ('eager', 'naive'))
    assert torch.equal(actual.indices, expected.indices)
    assert torch.equal(actual.tokens, expected.tokens)
    torch.testing.assert_close(actual.importance, expected.importance)


@pytest.mark.parametrize('k', [1, 2, 5, 64])
def test_scores_so_far_apart_that_importance_underflows(k: int) -> None:
    scores = [[-1000.0 * i for i in range(64)]]
    scores[0][3] = 500.0
    tokens, weight = tokens_of_scores(scores)
    tokens.requires_grad_()
    selection = token_select(tokens, weight, k, backend='eager')
    assert selection.indices[0, 0] == 3
    assert len(set(selection.indices[0].tolist())) == k
    assert selection.importance.tolist()[0] == [float(i == 3) for i in range(64)]
    (selection.tokens.sum() + selection.importance.square().sum()).backward()
    assert tokens.grad.isfinite().all()
    again = token_select(tokens, weight, k, backend='eager')
    assert torch.equal(again.indices, selection.indices)


def test_order_where_only_a_part_underflows() -> None:
    scores = [[-200.0, 0.0, -5.0, -300.0, -5.0, 2.0]]
    selection = token_select(*tokens_of_scores(scores), 6, backend='eager')
    assert selection.indices[0, :4].tolist() == [5, 1, 2, 4]
    assert sorted(selection.indices[0, 4:].tolist()) == [0, 3]
    assert (selection.importance[0, [0, 3]] == 0).all()


def test_large_scores_do_not_overflow(dtype: torch.dtype) -> None:
    tokens = torch.full((1, 8, 4), 2e4).to(dtype)
    tokens[0, 5] *= 2
    selection = token_select(tokens, torch.full((4,), 1e3).to(dtype), 1, backend='eager')
    assert selection.indices.tolist() == [[5]]
    assert selection.importance.isfinite().all()


def test_scores_are_computed_in_float32_under_autocast() -> None:
    tokens, weight = make_inputs(200, n_channels=96, dtype=torch.float32)
    expected = token_select(tokens, weight, 50, backend='eager')
    with torch.autocast('cpu', torch.bfloat16):
        actual = token_select(tokens, weight, 50, backend='eager')
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(k=0), 'k is 0; of 9 tokens 1 to 9 can be selected'),
        (dict(k=10), 'k is 10; of 9 tokens 1 to 9'),
        (dict(tokens=torch.zeros(9, 7)), r'tokens have shape \(9, 7\); need \(B, L, C\)'),
        (dict(weight=torch.zeros(1, 7)), r'weight has shape \(1, 7\); the tokens need \(7,\)'),
        (dict(noise=torch.zeros(2, 7)), r'noise has shape \(2, 7\); the tokens need \(2, 9\)'),
        (dict(backend='abacus'), "token_select: unknown backend 'abacus'"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    tokens, weight = make_inputs(9)
    with pytest.raises(ValueError, match=message):
        token_select(**{'tokens': tokens, 'weight': weight, 'k': 2, **change})
