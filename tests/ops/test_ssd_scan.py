"""Every SSD scan against the oracle: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import scan_cases
import torch
from op_backends import device
from scan_cases import by_direction, leaves, on, scatter
from torch import Tensor

from mmdynamicvis.ops import selective_scan, ssd_scan
from mmdynamicvis.ops.ssd_scan import BACKENDS, eager
from mmdynamicvis.ops.strided_rows import strided_rows

OP = 'ssd_scan'
on_cpu = on(BACKENDS, 'cpu')
on_triton = on(BACKENDS, 'triton')
on_kernels = on(BACKENDS, 'cpu', 'triton')
by_backend = on(BACKENDS, 'eager', 'cpu', 'triton')
run = partial(scan_cases.run, ssd_scan)
compare = partial(scan_cases.compare, ssd_scan)


def make_inputs(
    length: int,
    n_heads: int = 3,
    head_dim: int = 4,
    n_state: int = 5,
    n_batch: int = 2,
    direction: str = 'forward',
    dtype: torch.dtype = torch.float64,
    full: bool = True,
) -> dict[str, Tensor]:
    """Inputs as the mixer makes them; ``full`` adds skip, gate and the bias of the step size."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    batch = (n_batch, length)
    lead = (2, *batch) if direction == 'both' else batch
    inputs = {
        'x': normal(*lead, n_heads * head_dim),
        'dt': normal(*batch, n_heads) if full else normal(*batch, n_heads).abs() / 4,
        'A': -1 - normal(n_heads).abs(),
        'B': normal(*lead, n_state),
        'C': normal(*lead, n_state),
    }
    if full:
        inputs['D'] = 1 + 0.1 * normal(n_heads)
        inputs['z'] = normal(*batch, n_heads * head_dim)
        inputs['dt_bias'] = normal(n_heads) - 2
    return leaves(inputs, dtype)


@pytest.mark.parametrize('length', [1, 31, 32, 33, 200])
@by_direction
@pytest.mark.parametrize('full', [False, True], ids=['plain', 'full'])
def test_equals_the_oracle(
    assert_close: Callable, length: int, direction: str, average: bool, full: bool
) -> None:
    inputs = make_inputs(length, direction=direction, full=full)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=full)


@pytest.mark.parametrize('length', [1, 31, 32, 33, 100])
@pytest.mark.parametrize('full', [False, True], ids=['plain', 'full'])
@by_direction
@on_cpu
def test_cpu_equals_the_oracle(
    assert_close: Callable, backend: str, length: int, full: bool, direction: str, average: bool
) -> None:
    inputs = make_inputs(length, 3, 33, 16, direction=direction, dtype=torch.float32, full=full)
    options = dict(direction=direction, average=average, dt_softplus=full)
    compare(assert_close, inputs, backend, **options)


@pytest.mark.parametrize('length', [1, 63, 64, 65, 130])
@by_direction
@on_triton
def test_triton_equals_the_oracle(
    assert_close: Callable, backend: str, length: int, direction: str, average: bool
) -> None:
    inputs = make_inputs(length, 2, 20, 5, direction=direction, dtype=torch.float32)
    compare(assert_close, inputs, backend, direction=direction, average=average, dt_softplus=True)


@pytest.mark.parametrize('half', [torch.float16, torch.bfloat16], ids=['float16', 'bfloat16'])
@on_triton
def test_triton_in_half_precision(assert_close: Callable, backend: str, half: torch.dtype) -> None:
    inputs = make_inputs(70, 3, 16, 16, 1, 'both', half)
    compare(assert_close, inputs, backend, direction='both', average=True, dt_softplus=True)


@pytest.mark.parametrize('n_state', [1, 15, 16, 17, 64])
@pytest.mark.parametrize('tokens', [torch.float32, torch.float16, torch.bfloat16], ids=str)
@on_cpu
def test_cpu_in_every_dtype_and_with_any_number_of_states(
    assert_close: Callable, backend: str, tokens: torch.dtype, n_state: int
) -> None:
    inputs = make_inputs(70, 2, 20, n_state, 2, 'both', tokens)
    compare(assert_close, inputs, backend, direction='both', average=True, dt_softplus=True)


@on_kernels
def test_more_states_than_kernels_hold_are_left_to_plain_torch(backend: str) -> None:
    inputs = make_inputs(2, 2, 2, 65, 1, dtype=torch.float32)
    if backend == 'triton':
        inputs = {n: t.to(device('triton')) for n, t in inputs.items()}
    with pytest.raises(RuntimeError, match='65 states per channel, more than 64'):
        ssd_scan(**inputs, backend=backend)
    assert ssd_scan(**inputs).shape == inputs['x'].shape


@by_direction
def test_equals_the_oracle_in_every_dtype(
    assert_close: Callable, dtype: torch.dtype, direction: str, average: bool
) -> None:
    inputs = make_inputs(129, 3, 16, 16, direction=direction, dtype=dtype)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=True)


@pytest.mark.parametrize('direction', ['forward', 'reverse'])
def test_oracle_is_the_selective_scan_with_equal_decays(direction: str) -> None:
    inputs = {n: t.detach() for n, t in make_inputs(20).items()}
    P, N = 4, inputs['B'].shape[-1]
    per_channel = dict(inputs)
    for name in ('dt', 'A', 'D', 'dt_bias'):
        per_channel[name] = inputs[name].repeat_interleave(P, -1)
    per_channel['A'] = per_channel['A'][:, None].expand(-1, N)
    options = dict(direction=direction, dt_softplus=True, backend='naive')
    actual, expected = ssd_scan(**inputs, **options), selective_scan(**per_channel, **options)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize('optional', ['D', 'z', 'dt_bias'])
@by_backend
def test_every_optional_input_can_stand_alone(
    assert_close: Callable, backend: str, optional: str
) -> None:
    inputs = make_inputs(33, n_batch=1, dtype=torch.float32)
    inputs = {n: t for n, t in inputs.items() if n in ('x', 'dt', 'A', 'B', 'C', optional)}
    compare(assert_close, inputs, backend, dt_softplus=True)


@pytest.mark.parametrize(
    ('n_batch', 'n_heads', 'head_dim', 'n_state'),
    [(1, 1, 1, 1), (3, 7, 3, 2), (2, 5, 64, 16), (1, 2, 130, 20)],
)
@by_backend
def test_any_number_of_heads_channels_states_and_images(
    assert_close: Callable, backend: str, n_batch: int, n_heads: int, head_dim: int, n_state: int
) -> None:
    inputs = make_inputs(70, n_heads, head_dim, n_state, n_batch, dtype=torch.float32)
    compare(assert_close, inputs, backend, direction='reverse', dt_softplus=True)


@pytest.mark.parametrize('chunk', [1, 7, 200])
@by_direction
def test_result_does_not_depend_on_how_it_is_cut(
    assert_close: Callable,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
    direction: str,
    average: bool,
) -> None:
    monkeypatch.setattr(eager, 'CHUNK', chunk)
    inputs = make_inputs(50, direction=direction)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=True)


@by_backend
def test_non_contiguous_inputs(assert_close: Callable, backend: str) -> None:
    made = make_inputs(40, n_batch=1, direction='both', dtype=torch.float32)
    compare(assert_close, scatter(made), backend, direction='both', average=True, dt_softplus=True)


@by_backend
def test_parts_of_projections_are_not_copied(assert_close: Callable, backend: str) -> None:
    """As the mixer makes them: x, B and C lie side by side, and z before dt."""
    made = {n: t.detach() for n, t in make_inputs(7, direction='both', dtype=torch.float32).items()}
    parts = torch.cat([made['x'], made['B'], made['C']], -1).split((12, 5, 5), -1)
    made.update(zip(('x', 'B', 'C'), parts, strict=True))
    made['z'], made['dt'] = torch.cat([made['z'], made['dt']], -1).split((12, 3), -1)
    assert strided_rows(made['x']) == (made['x'], 22)
    inputs = {n: t.requires_grad_() for n, t in made.items()}
    compare(assert_close, inputs, backend, direction='both', average=True, dt_softplus=True)


@pytest.mark.parametrize('average', [False, True])
@on_kernels
def test_nothing_is_read_that_was_not_written(
    assert_close: Callable, monkeypatch: pytest.MonkeyPatch, backend: str, average: bool
) -> None:
    new_empty = Tensor.new_empty

    def poisoned(tensor: Tensor, *args, **kwargs) -> Tensor:
        return new_empty(tensor, *args, **kwargs).fill_(float('nan'))

    monkeypatch.setattr(Tensor, 'new_empty', poisoned)
    inputs = make_inputs(70, n_batch=1, direction='both', dtype=torch.float32)
    compare(assert_close, inputs, backend, direction='both', average=average, dt_softplus=True)


@pytest.mark.parametrize('rate', [1e-4, 1.0, 1e4])
@by_backend
def test_long_memory_and_none_are_exact(assert_close: Callable, backend: str, rate: float) -> None:
    """Decays so slow that the first token is remembered to the last, or so fast that none is.

    In between, steps of a few hundred lie beside small ones.
    """
    inputs = make_inputs(130, full=False, dtype=torch.float32)
    with torch.no_grad():
        inputs['A'].mul_(rate)
        if rate == 1:
            inputs['dt'][:, ::3] *= 500
    if backend == 'triton':
        inputs = {n: t.to(device('triton')).detach().requires_grad_() for n, t in inputs.items()}
    actual = run(inputs, backend=backend)
    exact = {n: t.detach().double().requires_grad_() for n, t in inputs.items()}
    expected = run(exact, backend='naive')
    for name in ('y', 'the gradient of x', 'the gradient of B', 'the gradient of C'):
        assert_close(OP, torch.float32, name, actual[name], expected[name])
    assert all(tensor.isfinite().all() for tensor in actual.values())


def test_state_is_kept_in_float32_under_autocast() -> None:
    inputs = make_inputs(200, dtype=torch.float32)
    expected = ssd_scan(**inputs, dt_softplus=True, backend='eager')
    with torch.autocast('cpu', torch.bfloat16):
        actual = ssd_scan(**inputs, dt_softplus=True, backend='eager')
    assert actual.dtype == torch.float32
    assert torch.equal(actual, expected)


def test_inputs_are_left_alone() -> None:
    inputs = make_inputs(20, direction='both', dtype=torch.float32)
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    run(inputs, direction='both', average=True, dt_softplus=True, backend='eager')
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


def test_torch_accepts_the_op() -> None:
    inputs = make_inputs(70, dtype=torch.float64, full=False).values()
    torch.library.opcheck(eager.scan, (*inputs, True))


@on_kernels
def test_torch_accepts_the_kernels(backend: str) -> None:
    made = make_inputs(5, 1, 2, direction='both', dtype=torch.float32)
    inputs = {n: t.to(device(backend)).detach().requires_grad_() for n, t in made.items()}
    ssd_scan(**inputs, direction='both', backend=backend)  # registers it
    op = getattr(torch.ops.mmdynamicvis, f'ssd_scan_{backend}').default
    torch.library.opcheck(op, (*inputs.values(), True, 'both', True))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(direction='back'), r"direction is 'back'.*'forward', 'reverse', 'both'"),
        (dict(average=True), "average=True needs direction='both', not 'forward'"),
        (dict(direction='both'), r"x has shape \(2, 9, 12\); direction='both' needs"),
        (dict(x=torch.zeros(3, 2, 9, 12)), r'x has shape \(3, 2, 9, 12\).* needs \(B, L, D\)'),
        (dict(A=torch.zeros(5)), r'A has shape \(5,\); .* heads that divide its 12 channels'),
        (dict(A=torch.zeros(3, 5)), r'A has shape \(3, 5\); x needs \(H,\)'),
        (dict(dt=torch.zeros(2, 9, 12)), r'dt has shape \(2, 9, 12\).* need \(2, 9, 3\)'),
        (dict(B=torch.zeros(9, 5)), r'B has shape \(9, 5\); x needs \(2, 9, N\)'),
        (dict(C=torch.zeros(2, 8, 5)), r'C has shape \(2, 8, 5\).* need \(2, 9, 5\)'),
        (dict(D=torch.zeros(12)), r'D has shape \(12,\).* need \(3,\)'),
        (dict(z=torch.zeros(1, 9, 12)), r'z has shape \(1, 9, 12\).* need \(2, 9, 12\)'),
        (dict(dt_bias=torch.zeros(12)), r'dt_bias has shape \(12,\).* need \(3,\)'),
        (dict(backend='abacus'), r"unknown backend 'abacus'; choose one of \['auto'.*'naive'\]"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ssd_scan(**{**make_inputs(9), **change})
