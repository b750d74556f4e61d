"""Choice of tokens: indices first, then values and gradients on the same indices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_backends import Lane, device, lanes
from torch import Tensor

from mmdynamicvis.ops import TokenSelection, token_select
from mmdynamicvis.ops.token_select import SELECT_BACKENDS
from mmdynamicvis.ops.token_select.ranking import rank
from mmdynamicvis.ops.triton_support import INTERPRETED

OP = 'token_select'
every_lane = pytest.mark.parametrize('lane', lanes(SELECT_BACKENDS))
every_backend = pytest.mark.parametrize('lane', lanes(SELECT_BACKENDS, (torch.float32,)))
triton_only = pytest.mark.parametrize('lane', lanes(SELECT_BACKENDS, (torch.float32,), 'triton'))


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
    for output in (selection.tokens, selection.importance, selection.row_means):
        if output is not None:
            weight = steps.to(output).repeat(output.numel() // 33 + 1)[: output.numel()]
            loss = loss + (output * weight.view(output.shape)).double().sum()
    return list(torch.autograd.grad(loss, inputs))


def place(inputs: tuple[Tensor, Tensor], backend: str) -> tuple[Tensor, Tensor]:
    return tuple(x.detach().to(device(backend)).requires_grad_() for x in inputs)


def compare(
    assert_close: Callable,
    backend: str,
    inputs: tuple[Tensor, Tensor],
    k: int,
    noise: Tensor | None = None,
    grid: tuple[int, int] | None = None,
) -> None:
    dtype, interpreted = inputs[0].dtype, backend == 'triton' and INTERPRETED
    inputs = place(inputs, backend)
    actual = token_select(*inputs, k, noise, grid, backend)
    exact = tuple(tensor.detach().double().requires_grad_() for tensor in inputs)
    expected = token_select(*exact, k, noise, grid, 'naive')
    assert torch.equal(actual.indices, expected.indices)
    assert actual.tokens.dtype == dtype
    assert actual.importance.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.equal(actual.tokens.double(), expected.tokens)
    assert_close(OP, dtype, 'importance', actual.importance, expected.importance)
    if grid is None:
        assert actual.row_means is None
    else:
        assert actual.row_means.dtype == dtype
        assert_close(OP, dtype, 'row means', actual.row_means, expected.row_means, interpreted)
    d_tokens, d_weight = gradients(actual, inputs)
    exact_d_tokens, exact_d_weight = gradients(expected, exact)
    assert (d_tokens.dtype, d_weight.dtype) == (dtype, inputs[1].dtype)
    name = 'the gradient of the tokens'
    assert_close(OP, dtype, name, d_tokens, exact_d_tokens, interpreted)
    assert_close(OP, dtype, 'the gradient of the weight', d_weight, exact_d_weight)


@pytest.mark.parametrize(
    ('length', 'k'), [(1, 1), (15, 1), (16, 8), (17, 17), (63, 7), (129, 64), (400, 50), (400, 400)]
)
@every_lane
def test_equals_the_oracle(assert_close: Callable, lane: Lane, length: int, k: int) -> None:
    backend, dtype = lane
    compare(assert_close, backend, make_inputs(length, dtype=dtype), k)


@pytest.mark.parametrize('grid', [(1, 1), (2, 2), (7, 9), (1, 129), (17, 1), (2, 150)])
@every_lane
def test_row_means_equal_the_oracle(
    assert_close: Callable, lane: Lane, grid: tuple[int, int]
) -> None:
    backend, dtype = lane
    length = grid[0] * grid[1]
    inputs = make_inputs(length, n_batch=3, dtype=dtype)
    compare(assert_close, backend, inputs, (length + 1) // 2, grid=grid)


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 97), (2, 384)])
@every_backend
def test_any_number_of_channels_and_images(
    assert_close: Callable, lane: Lane, n_batch: int, n_channels: int
) -> None:
    tokens, weight = make_inputs(100, n_channels, n_batch, torch.float32)
    # scores of a spread that a trained scorer has
    weight = (weight.detach() / n_channels**0.5).requires_grad_()
    compare(assert_close, lane[0], (tokens, weight), 25, grid=(4, 25))


@every_lane
def test_noise_changes_the_choice_only(assert_close: Callable, lane: Lane) -> None:
    backend, dtype = lane
    inputs = place(make_inputs(60, dtype=dtype), backend)
    noise = 5 * torch.randn(2, 60, generator=torch.Generator().manual_seed(0))
    noise = noise.to(inputs[0].device)
    compare(assert_close, backend, inputs, 15, noise, (6, 10))
    plain = token_select(*inputs, 15, backend=backend)
    noisy = token_select(*inputs, 15, noise, backend=backend)
    assert not torch.equal(noisy.indices, plain.indices)
    assert torch.equal(noisy.importance, plain.importance)
    torch.testing.assert_close(noisy.tokens[0], inputs[0][0, noisy.indices[0]])


@every_backend
def test_no_gradient_flows_through_the_choice(lane: Lane) -> None:
    tokens, weight = place(make_inputs(30, dtype=torch.float32), lane[0])
    noise = torch.randn(2, 30, device=tokens.device, requires_grad=True)
    selection = token_select(tokens, weight, 5, noise, backend=lane[0])
    assert not selection.indices.requires_grad
    grads = torch.autograd.grad(selection.tokens.sum(), (weight, noise), allow_unused=True)
    assert grads == (None, None)


@pytest.mark.parametrize('part', [False, True])
@every_backend
def test_non_contiguous_tokens(assert_close: Callable, lane: Lane, part: bool) -> None:
    tokens, weight = make_inputs(40, dtype=torch.float32)
    if part:  # evenly strided rows, which the kernels take as they are
        scattered = torch.cat([tokens.detach(), tokens.detach()], dim=2)[..., : tokens.shape[2]]
    else:
        scattered = tokens.detach().transpose(1, 2).contiguous().transpose(1, 2)
    assert not scattered.is_contiguous()
    compare(assert_close, lane[0], (scattered.requires_grad_(), weight), 10, grid=(4, 10))


@every_backend
def test_each_output_alone_has_a_gradient(assert_close: Callable, lane: Lane) -> None:
    inputs = place(make_inputs(30, dtype=torch.float32), lane[0])
    exact = tuple(tensor.detach().double().requires_grad_() for tensor in inputs)
    for part, leaves in (('tokens', 1), ('importance', 2), ('row_means', 1)):
        outputs = (
            getattr(token_select(*leaf, 8, grid=(5, 6), backend=backend), part).square().sum()
            for leaf, backend in ((inputs, lane[0]), (exact, 'naive'))
        )
        grads = (
            torch.autograd.grad(output, leaf[:leaves])
            for output, leaf in zip(outputs, (inputs, exact), strict=True)
        )
        for actual, expected in zip(*grads, strict=True):
            assert_close(OP, torch.float32, f'a gradient of {part}', actual, expected)


@triton_only
def test_tiles_that_do_not_fit(
    assert_close: Callable, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmdynamicvis.ops.token_select import triton

    # as many chunks, and parts of them, as sequences have that are too long for the interpreter
    monkeypatch.setattr(triton, 'chunk', lambda length: dict(BLOCK=16))
    monkeypatch.setattr(triton, 'DOTS_BLOCK', 4)
    monkeypatch.setattr(triton, 'RANKS_BLOCK', 8)
    inputs = make_inputs(75, dtype=torch.float32)
    noise = torch.rand(2, 75, device=device(lane[0]))
    compare(assert_close, lane[0], inputs, 25, noise, (25, 3))
    compare(assert_close, lane[0], inputs, 25)


@triton_only
def test_nothing_is_read_that_was_not_written(assert_close: Callable, lane: Lane) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        assert torch.empty(1).isnan().all()
        for grid in ((7, 9), None):
            compare(assert_close, lane[0], make_inputs(63, dtype=torch.float32), 20, grid=grid)
    finally:
        torch.use_deterministic_algorithms(before)


@every_backend
def test_equal_rows_are_ties(lane: Lane) -> None:
    tokens = torch.randn(1, 1, 96, generator=torch.Generator().manual_seed(0)).repeat(1, 300, 1)
    weight = torch.randn(96, generator=torch.Generator().manual_seed(1))
    selection = token_select(*place((tokens, weight), lane[0]), 150, backend=lane[0])
    assert selection.indices[0].tolist() == list(range(150))
    assert len(selection.importance.unique()) == 1


@triton_only
def test_offsets_beyond_32_bits(lane: Lane) -> None:
    # The second tile starts 2^31 elements from the first. Few pages of that memory are touched.
    length, row_stride = 130, 2**24
    try:
        memory = torch.empty(length * row_stride, dtype=torch.float16, device=device(lane[0]))
    except RuntimeError:
        pytest.skip('no 4 GiB of address space')
    far = memory.as_strided((1, length, 3), (0, row_stride, 1))
    near, weight = make_inputs(length, 3, 1, torch.float16)
    far.copy_(near.detach())
    near, weight = place((near, weight), lane[0])
    results = []
    for tokens in (far.requires_grad_(), near):
        selection = token_select(tokens, weight, 65, grid=(1, length), backend=lane[0])
        results.append((*selection, *gradients(selection, (tokens, weight))))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)  # sums differ in order on a GPU


@triton_only
def test_registration(lane: Lane) -> None:
    from mmdynamicvis.ops.token_select import triton

    assert triton.token_select is not None  # importing it registers the ops
    ops = torch.ops.mmdynamicvis
    for n_batch, width in ((2, 5), (1, 0)):
        tokens, weight = place(make_inputs(20, 4, n_batch, torch.float32), lane[0])
        noise = torch.rand(n_batch, 20, device=tokens.device) if width else None
        torch.library.opcheck(ops.token_select_triton.default, (tokens, weight, 6, noise, width))


def test_a_million_tokens() -> None:
    length = 2**20
    tokens = torch.randn(1, length, 2, generator=torch.Generator().manual_seed(0))
    selection = token_select(
        tokens, torch.tensor([1.0, 0]), length // 8, grid=(1024, 1024), backend='eager'
    )
    expected = rank(tokens[..., 0].softmax(-1), length // 8)
    assert torch.equal(selection.indices, expected)
    assert selection.row_means.shape == (1, 1024, 2)
    assert selection.importance.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='torch sees no GPU')
def test_on_a_gpu_the_lower_index_comes_first_among_zeros() -> None:
    importance = torch.tensor([[0, 0.5, 0, 0, 0.5, 0]], device='cuda')
    assert rank(importance, 6).tolist() == [[1, 4, 0, 2, 3, 5]]


def test_gradcheck() -> None:
    tokens, weight = make_inputs(9, n_channels=3)

    def function(tokens: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        selection = token_select(tokens, weight, 4, backend='eager')
        return selection.tokens, selection.importance

    assert torch.autograd.gradcheck(function, (tokens, weight))


@pytest.mark.parametrize(
    'lane', [*lanes(SELECT_BACKENDS, (torch.float32,)), ('naive', torch.float32)]
)
def test_of_tied_tokens_the_lower_index_comes_first(lane: Lane) -> None:
    backend = lane[0]
    inputs = place(tokens_of_scores([[1, 3, 1, 3, 2, 1], [0] * 6]), backend)
    selection = token_select(*inputs, 6, backend=backend)
    assert selection.indices.tolist() == [[1, 3, 4, 0, 2, 5], [0, 1, 2, 3, 4, 5]]
    for k in range(1, 6):
        fewer = token_select(*inputs, k, backend=backend)
        assert torch.equal(fewer.indices, selection.indices[:, :k])


@pytest.mark.parametrize('length', [100, 1000, 5000])
@every_backend
def test_ties_in_long_sequences(lane: Lane, length: int) -> None:
    scores = [[i % 3 for i in range(length)]]
    inputs = place(tokens_of_scores(scores), lane[0])
    selection = token_select(*inputs, length // 2, backend=lane[0])
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
@every_backend
def test_scores_so_far_apart_that_importance_underflows(lane: Lane, k: int) -> None:
    scores = [[-1000.0 * i for i in range(64)]]
    scores[0][3] = 500.0
    tokens, weight = place(tokens_of_scores(scores), lane[0])
    selection = token_select(tokens, weight, k, backend=lane[0])
    assert selection.indices[0, 0] == 3
    assert len(set(selection.indices[0].tolist())) == k
    assert selection.importance.tolist()[0] == [float(i == 3) for i in range(64)]
    (selection.tokens.sum() + selection.importance.square().sum()).backward()
    assert tokens.grad.isfinite().all()
    again = token_select(tokens, weight, k, backend=lane[0])
    assert torch.equal(again.indices, selection.indices)


@every_backend
def test_order_where_only_a_part_underflows(lane: Lane) -> None:
    scores = [[-200.0, 0.0, -5.0, -300.0, -5.0, 2.0]]
    selection = token_select(*place(tokens_of_scores(scores), lane[0]), 6, backend=lane[0])
    assert selection.indices[0, :4].tolist() == [5, 1, 2, 4]
    assert sorted(selection.indices[0, 4:].tolist()) == [0, 3]
    assert (selection.importance[0, [0, 3]] == 0).all()


@every_lane
def test_large_scores_do_not_overflow(lane: Lane) -> None:
    backend, dtype = lane
    tokens = torch.full((1, 8, 4), 2e4).to(dtype)
    tokens[0, 5] *= 2
    inputs = place((tokens, torch.full((4,), 1e3).to(dtype)), backend)
    selection = token_select(*inputs, 1, backend=backend)
    assert selection.indices.tolist() == [[5]]
    assert selection.importance.isfinite().all()


def test_scores_are_computed_in_float32_under_autocast() -> None:
    tokens, weight = make_inputs(200, n_channels=96, dtype=torch.float32)
    expected = token_select(tokens, weight, 50, backend='eager')
    with torch.autocast('cpu', torch.bfloat16):
        actual = token_select(tokens, weight, 50, backend='eager')
    assert all(torch.equal(a, b) for a, b in zip(actual[:3], expected[:3], strict=True))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(k=0), 'k is 0; of 9 tokens 1 to 9 can be selected'),
        (dict(k=10), 'k is 10; of 9 tokens 1 to 9'),
        (dict(tokens=torch.zeros(9, 7)), r'tokens have shape \(9, 7\); need \(B, L, C\)'),
        (dict(weight=torch.zeros(1, 7)), r'weight has shape \(1, 7\); the tokens need \(7,\)'),
        (dict(noise=torch.zeros(2, 7)), r'noise has shape \(2, 7\); the tokens need \(2, 9\)'),
        (dict(grid=(2, 4)), r'grid is \(2, 4\); its H \* W must be the 9 tokens'),
        (dict(grid=(-3, -3)), r'grid is \(-3, -3\); its H \* W must be the 9 tokens'),
        (dict(backend='abacus'), "token_select: unknown backend 'abacus'"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    tokens, weight = make_inputs(9)
    with pytest.raises(ValueError, match=message):
        token_select(**{'tokens': tokens, 'weight': weight, 'k': 2, **change})
