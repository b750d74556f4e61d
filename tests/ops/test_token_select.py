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
from mmdynamicvis.ops.token_select.ranking import best
from mmdynamicvis.ops.triton_support import INTERPRETED

OP = 'token_select'
every_lane = pytest.mark.parametrize('lane', lanes(SELECT_BACKENDS))
every_backend = pytest.mark.parametrize('lane', lanes(SELECT_BACKENDS, (torch.float32,)))
triton_only = pytest.mark.parametrize('lane', lanes(SELECT_BACKENDS, (torch.float32,), 'triton'))

Inputs = tuple[Tensor, Tensor, Tensor]


def make_inputs(
    length: int, n_channels: int = 7, n_batch: int = 2, dtype: torch.dtype = torch.float64
) -> Inputs:
    """Make tokens of different scales, a scorer, and the weight of the norm."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    tokens = normal(n_batch, length, n_channels) * (0.3 * normal(n_batch, length, 1)).exp()
    scorer, norm_weight = normal(n_channels) / n_channels**0.5, 1 + 0.2 * normal(n_channels)
    wide = torch.promote_types(dtype, torch.float32)
    made = tokens.to(dtype), scorer.to(wide), norm_weight.to(wide)
    return tuple(x.requires_grad_() for x in made)


def tokens_of_scores(scores: list[list[float]]) -> Inputs:
    """Tokens of one norm whose scores have this order; of equal ones exactly equal scores."""
    score_BL = torch.tensor(scores, dtype=torch.float32)
    rest_BL = (100 - score_BL.square()).sqrt()
    # unlike each other by a sign and a place, which no sum sees
    number_BL = torch.arange(score_BL.numel()).view(score_BL.shape)
    rest_BL = torch.where(number_BL % 2 == 0, rest_BL, -rest_BL)
    others = [torch.where(number_BL % 4 // 2 == place, rest_BL, 0) for place in (0, 1)]
    return torch.stack([score_BL, *others], dim=-1), torch.eye(3)[0], torch.ones(3)


def weighted_sum(selection: TokenSelection) -> Tensor:
    steps = torch.linspace(-1, 1, 33)  # multiples of 1/16: the same in every dtype
    loss = 0
    for output in (selection.normed, selection.kept_scores):
        weight = steps.to(output).repeat(output.numel() // 33 + 1)[: output.numel()]
        loss = loss + (output * weight.view(output.shape)).double().sum()
    return loss


def place(inputs: Inputs, backend: str) -> Inputs:
    return tuple(x.detach().to(device(backend)).requires_grad_() for x in inputs)


def compare(
    assert_close: Callable,
    backend: str,
    inputs: Inputs,
    k: int,
    noise: Tensor | None = None,
    grid: tuple[int, int] | None = None,
) -> None:
    dtype, interpreted = inputs[0].dtype, backend == 'triton' and INTERPRETED
    wide = torch.promote_types(dtype, torch.float32)
    inputs = place(inputs, backend)
    actual = token_select(*inputs, k, noise, grid, backend=backend)
    exact = tuple(tensor.detach().double().requires_grad_() for tensor in inputs)
    expected = token_select(*exact, k, noise, grid, backend='naive')
    assert torch.equal(actual.indices, expected.indices)
    assert [x.dtype for x in actual] == [dtype, wide, torch.int64, wide]
    assert_close(OP, dtype, 'normed', actual.normed, expected.normed, interpreted)
    # scores are computed in float32 from half floats, too
    assert_close(OP, wide, 'kept scores', actual.kept_scores, expected.kept_scores)
    assert_close(OP, wide, 'scores', actual.scores, expected.scores)
    grads = torch.autograd.grad(weighted_sum(actual), inputs)
    exact_grads = torch.autograd.grad(weighted_sum(expected), exact)
    names = ('tokens', 'scorer', 'norm weight')
    for name, grad, exact_grad, leaf in zip(names, grads, exact_grads, inputs, strict=True):
        assert grad.dtype == leaf.dtype
        name = f'the gradient of the {name}'
        assert_close(OP, dtype, name, grad, exact_grad, interpreted)


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


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 2), (3, 97), (2, 384)])
@every_backend
def test_any_number_of_channels_and_images(
    assert_close: Callable, lane: Lane, n_batch: int, n_channels: int
) -> None:
    inputs = make_inputs(100, n_channels, n_batch, torch.float32)
    compare(assert_close, lane[0], inputs, 25, grid=(4, 25))


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
    assert torch.equal(noisy.scores, plain.scores)
    torch.testing.assert_close(noisy.kept_scores, noisy.scores.gather(1, noisy.indices))


@every_backend
def test_no_gradient_flows_through_the_choice(lane: Lane) -> None:
    inputs = place(make_inputs(30, dtype=torch.float32), lane[0])
    noise = torch.randn(2, 30, device=inputs[0].device, requires_grad=True)
    selection = token_select(*inputs, 5, noise, backend=lane[0])
    assert not selection.indices.requires_grad
    assert not selection.scores.requires_grad
    (grad,) = torch.autograd.grad(selection.kept_scores.sum(), noise, allow_unused=True)
    assert grad is None


@pytest.mark.parametrize('part', [False, True])
@every_backend
def test_non_contiguous_tokens(assert_close: Callable, lane: Lane, part: bool) -> None:
    tokens, *weights = make_inputs(40, dtype=torch.float32)
    if part:  # evenly strided rows, which the kernels take as they are
        scattered = torch.cat([tokens.detach(), tokens.detach()], dim=2)[..., : tokens.shape[2]]
    else:
        scattered = tokens.detach().transpose(1, 2).contiguous().transpose(1, 2)
    assert not scattered.is_contiguous()
    compare(assert_close, lane[0], (scattered.requires_grad_(), *weights), 10, grid=(4, 10))


@every_backend
def test_each_output_alone_has_a_gradient(assert_close: Callable, lane: Lane) -> None:
    inputs = place(make_inputs(30, dtype=torch.float32), lane[0])
    exact = tuple(tensor.detach().double().requires_grad_() for tensor in inputs)
    for part, leaves in (('normed', (0, 2)), ('kept_scores', (0, 1))):
        grads = []
        for leaf, backend in ((inputs, lane[0]), (exact, 'naive')):
            output = getattr(token_select(*leaf, 8, grid=(5, 6), backend=backend), part)
            grads.append(torch.autograd.grad(output.pow(3).sum(), [leaf[i] for i in leaves]))
        for actual, expected in zip(*grads, strict=True):
            assert_close(OP, torch.float32, f'a gradient of {part}', actual, expected)


@triton_only
def test_ranks_of_several_programs(
    assert_close: Callable, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmdynamicvis.ops.token_select import triton

    # as many programs as sequences have that are too long for the interpreter
    monkeypatch.setattr(triton, 'RANKS_BLOCK', 8)
    compare(assert_close, lane[0], make_inputs(75, dtype=torch.float32), 25, None, (25, 3))


@pytest.mark.parametrize('length', [1, 7, 1025, 5000])
@pytest.mark.parametrize('in_tiles', [False, True])
@triton_only
def test_the_best_are_those_of_a_stable_sort(
    lane: Lane, monkeypatch: pytest.MonkeyPatch, in_tiles: bool, length: int
) -> None:
    """In one program, and in as many as sequences have that are too long for the interpreter."""
    from mmdynamicvis.ops.token_select import top_k

    if in_tiles:
        if INTERPRETED and length != 1025:
            pytest.skip('the interpreter takes its time for three histograms')
        monkeypatch.setattr(top_k, 'SHORT', 0)
        monkeypatch.setattr(top_k, 'TILE', 512)
    scores = torch.randn(2, length, generator=torch.Generator().manual_seed(length))
    ties = (2 * scores[1]).round()  # of each sign, and zeros of both
    special = torch.tensor([float('nan'), float('inf'), -float('inf'), -0.0, 0.0, 1e-40, -1e-40])
    scores[1] = torch.where(torch.arange(length) % 3 == 0, ties, special.repeat(length)[:length])
    scores = scores.to(device(lane[0]))
    for k in {1, (length + 1) // 2, length}:
        counts = torch.zeros(2 * top_k.COUNTS, dtype=torch.int32, device=scores.device)
        assert torch.equal(top_k.top_k(scores, k, counts), best(scores, k))


@triton_only
def test_counts_begin_at_zero(
    assert_close: Callable, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmdynamicvis.ops.token_select import top_k

    monkeypatch.setattr(top_k, 'SHORT', 0)
    compare(assert_close, lane[0], make_inputs(75, dtype=torch.float32), 25, None, (25, 3))


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
    tokens, *weights = make_inputs(1, 96, 1, torch.float32)
    inputs = place((tokens.repeat(1, 300, 1), *weights), lane[0])
    selection = token_select(*inputs, 150, backend=lane[0])
    assert selection.indices[0].tolist() == list(range(150))
    assert len(selection.scores.unique()) == 1


@triton_only
def test_offsets_beyond_32_bits(lane: Lane) -> None:
    # The second tile starts 2^31 elements from the first. Few pages of that memory are touched.
    length, row_stride = 130, 2**24
    try:
        memory = torch.empty(length * row_stride, dtype=torch.float16, device=device(lane[0]))
    except RuntimeError:
        pytest.skip('no 4 GiB of address space')
    far = memory.as_strided((1, length, 3), (0, row_stride, 1))
    near, *weights = make_inputs(length, 3, 1, torch.float16)
    far.copy_(near.detach())
    near, *weights = place((near, *weights), lane[0])
    results = []
    for tokens in (far.requires_grad_(), near):
        inputs = (tokens, *weights)
        selection = token_select(*inputs, 65, grid=(1, length), backend=lane[0])
        results.append((*selection, *torch.autograd.grad(weighted_sum(selection), inputs)))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)  # sums differ in order on a GPU


@pytest.mark.parametrize(
    'lane',
    [
        pytest.param(lane, marks=mark)
        for backend in ('triton', 'cpu')
        for lane, mark in [
            (param.values[0], param.marks)
            for param in lanes(SELECT_BACKENDS, (torch.float32,), backend)
        ]
    ],
)
def test_registration(lane: Lane) -> None:
    backend = lane[0]
    for n_batch, width in ((2, 5), (1, 0)):
        inputs = place(make_inputs(20, 4, n_batch, torch.float32), backend)
        token_select(*inputs, 6, backend=backend)  # registers the op
        op = getattr(torch.ops.mmdynamicvis, f'token_select_{backend}').default
        noise = torch.rand(n_batch, 20, device=inputs[0].device) if width else None
        torch.library.opcheck(op, (*inputs, 6, noise, width, 1e-5, True))


def test_a_million_tokens() -> None:
    length = 2**20
    tokens = torch.randn(1, length, 2, generator=torch.Generator().manual_seed(0))
    selection = token_select(
        tokens, torch.tensor([1.0, 0]), torch.ones(2), length // 8, grid=(1024, 1024)
    )
    ranked = selection.scores[0].sort(descending=True, stable=True).indices[: length // 8]
    assert torch.equal(selection.indices[0], ranked.sort().values)
    assert selection.normed.shape == (1, 1024 + length // 8, 2)


def test_gradcheck() -> None:
    inputs = make_inputs(9, n_channels=3)

    def function(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        selection = token_select(*inputs, 4, grid=(3, 3), backend='eager')
        return selection.normed, selection.kept_scores

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize('length', [6, 100, 1000, 5000])
@every_backend
def test_of_tied_tokens_the_lower_index_is_taken(lane: Lane, length: int) -> None:
    scores = [[i % 3 - 1.0 for i in range(length)]]
    inputs = place(tokens_of_scores(scores), lane[0])
    for k in (1, length // 2, length):
        selection = token_select(*inputs, k, backend=lane[0])
        in_order = sorted(range(length), key=lambda i: (-scores[0][i], i))
        assert selection.indices[0].tolist() == sorted(in_order[:k])


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_equals_the_oracle_with_many_ties(data: st.DataObject) -> None:
    n_batch, length = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 40)), label='shape')
    row = st.lists(st.integers(-4, 4), min_size=length, max_size=length)
    scores = data.draw(st.lists(row, min_size=n_batch, max_size=n_batch), label='scores')
    k = data.draw(st.integers(1, length), label='k')
    inputs = tokens_of_scores(scores)
    cpu, eager, naive = (token_select(*inputs, k, backend=b) for b in ('cpu', 'eager', 'naive'))
    for actual in (cpu, eager):
        assert torch.equal(actual.indices, naive.indices)
        torch.testing.assert_close(actual.normed, naive.normed)


@every_lane
def test_scores_are_free_of_the_scale_of_a_token(lane: Lane) -> None:
    backend, dtype = lane
    tokens = torch.full((1, 8, 4), 200.0).to(dtype)
    tokens[0, :4] *= 100
    tokens[0, 5, 0] = -200
    inputs = place((tokens, torch.tensor([-1.0, 0, 0, 0]), torch.ones(4)), backend)
    selection = token_select(*inputs, 1, backend=backend)
    assert selection.indices.tolist() == [[5]]
    expected = torch.tensor([1.0 if i == 5 else -1.0 for i in range(8)])
    torch.testing.assert_close(selection.scores[0].cpu().float(), expected)


def test_scores_are_computed_in_float32_under_autocast() -> None:
    inputs = make_inputs(200, n_channels=96, dtype=torch.float32)
    expected = token_select(*inputs, 50, backend='eager')
    with torch.autocast('cpu', torch.bfloat16):
        actual = token_select(*inputs, 50, backend='eager')
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(k=0), 'k is 0; of 9 tokens 1 to 9 can be selected'),
        (dict(k=10), 'k is 10; of 9 tokens 1 to 9'),
        (dict(tokens=torch.zeros(9, 7)), r'tokens have shape \(9, 7\); need \(B, L, C\)'),
        (dict(scorer=torch.zeros(1, 7)), r'scorer has shape \(1, 7\); the tokens need \(7,\)'),
        (dict(norm_weight=torch.zeros(3)), r'norm_weight has shape \(3,\); the tokens need \(7,\)'),
        (dict(noise=torch.zeros(2, 7)), r'noise has shape \(2, 7\); the tokens need \(2, 9\)'),
        (dict(grid=(2, 4)), r'grid is \(2, 4\); its H \* W must be the 9 tokens'),
        (dict(grid=(-3, -3)), r'grid is \(-3, -3\); its H \* W must be the 9 tokens'),
        (dict(backend='abacus'), "token_select: unknown backend 'abacus'"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    tokens, scorer, norm_weight = make_inputs(9)
    arguments = dict(tokens=tokens, scorer=scorer, norm_weight=norm_weight, k=2)
    with pytest.raises(ValueError, match=message):
        token_select(**{**arguments, **change})
