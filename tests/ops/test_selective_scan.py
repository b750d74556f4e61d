"""Every selective scan against the oracle: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from mmdynamicvis.ops import selective_scan
from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.selective_scan import eager
from mmdynamicvis.ops.strided_rows import strided_rows
from mmdynamicvis.ops.triton_support import INTERPRETED, unavailable

OP = 'selective_scan'
DIRECTIONS = [('forward', False), ('reverse', False), ('both', False), ('both', True)]
DIRECTION_IDS = ['forward', 'reverse', 'both', 'average']
by_direction = pytest.mark.parametrize(('direction', 'average'), DIRECTIONS, ids=DIRECTION_IDS)

TRITON = pytest.param(
    'triton',
    marks=[
        pytest.mark.interpreter,
        pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
    ],
)
CPU = pytest.param(
    'cpu',
    marks=pytest.mark.skipif(library.unavailable() is not None, reason=str(library.unavailable())),
)
by_backend = pytest.mark.parametrize('backend', ['eager', CPU, TRITON])
on_cpu = pytest.mark.parametrize('backend', [CPU])
on_kernels = pytest.mark.parametrize('backend', [CPU, TRITON])
on_triton = pytest.mark.parametrize('backend', [TRITON])
TRITON_DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def device(backend: str) -> str:
    return TRITON_DEVICE if backend == 'triton' else 'cpu'


def interpreted(few: Any, many: Any) -> Any:
    """What Triton's interpreter has the time for, else what a GPU has."""
    return few if INTERPRETED else many


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 8 tokens: in a few tokens, all that happens from chunk to chunk."""
    from mmdynamicvis.ops.selective_scan import triton

    monkeypatch.setattr(triton, 'CHUNK', 8)


@pytest.fixture(autouse=True)
def short_groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes as long for chunks that do not exist."""
    if request.node.get_closest_marker('interpreter') and INTERPRETED:
        from mmdynamicvis.ops.selective_scan import triton

        monkeypatch.setitem(triton.PASSING, 'GROUP', 2)


def make_inputs(
    length: int,
    n_channels: int = 5,
    n_state: int = 3,
    n_batch: int = 2,
    direction: str = 'forward',
    dtype: torch.dtype = torch.float64,
    full: bool = True,
) -> dict[str, Tensor]:
    """Inputs as the mixer makes them; ``full`` adds skip, gate and the bias of the step size."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    lead = (2, n_batch, length) if direction == 'both' else (n_batch, length)
    inputs = {
        'x': normal(*lead, n_channels),
        'dt': normal(*lead, n_channels) if full else normal(*lead, n_channels).abs() / 4,
        'A': -torch.arange(1, n_state + 1) * (1 + 0.1 * normal(n_channels, n_state)),
        'B': normal(*lead, n_state),
        'C': normal(*lead, n_state),
    }
    if full:
        inputs['D'] = 1 + 0.1 * normal(n_channels)
        inputs['z'] = normal(n_batch, length, n_channels)
        inputs['dt_bias'] = normal(n_channels) - 2
    # parameters stay in float32 beside half precision tokens, as under autocast
    parameter_dtype = torch.promote_types(dtype, torch.float32)
    parameters = ('A', 'D', 'dt_bias')
    return {
        name: tensor.to(parameter_dtype if name in parameters else dtype).requires_grad_()
        for name, tensor in inputs.items()
    }


def run(inputs: dict[str, Tensor], **options) -> dict[str, Tensor]:
    """Return the output and the gradient of every input, for some fixed gradient of the output."""
    y = selective_scan(**inputs, **options)
    # Multiples of 1/16 are the same numbers in every dtype.
    weight = torch.linspace(-1, 1, 33).to(y).repeat(y.numel() // 33 + 1)[: y.numel()]
    weight = weight.view(y.shape)
    grads = torch.autograd.grad(y, list(inputs.values()), weight)
    return {'y': y, **{f'the gradient of {n}': g for n, g in zip(inputs, grads, strict=True)}}


def compare(
    assert_close: Callable, inputs: dict[str, Tensor], backend: str = 'eager', **options
) -> None:
    dtype = inputs['x'].dtype
    if backend == 'triton':
        inputs = {n: t.to(TRITON_DEVICE).detach().requires_grad_() for n, t in inputs.items()}
    actual = run(inputs, backend=backend, **options)
    exact_inputs = {n: t.detach().double().requires_grad_() for n, t in inputs.items()}
    expected = run(exact_inputs, backend='naive', **options)
    assert actual['y'].dtype == dtype
    for name, tensor in actual.items():
        cut = name == 'y' and backend == 'triton' and INTERPRETED
        assert_close(OP, dtype, name, tensor, expected[name], interpreted=cut)


@pytest.mark.parametrize('length', [1, 15, 16, 17, 63, 129, 400])
@by_direction
@pytest.mark.parametrize('full', [False, True], ids=['plain', 'full'])
def test_equals_the_oracle(
    assert_close: Callable, length: int, direction: str, average: bool, full: bool
) -> None:
    inputs = make_inputs(length, direction=direction, full=full)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=full)


@pytest.mark.parametrize(
    ('length', 'direction', 'average'),
    interpreted(
        [(1, 'both', True), (65, 'reverse', False)],
        [(n, *way) for n, way in product((1, 63, 64, 129, 999), DIRECTIONS)],
    ),
)
@on_triton
def test_triton_equals_the_oracle(
    assert_close: Callable, backend: str, length: int, direction: str, average: bool
) -> None:
    n_batch = interpreted(1, 3)
    inputs = make_inputs(length, n_batch=n_batch, direction=direction, dtype=torch.float32)
    options = dict(direction=direction, average=average, dt_softplus=True)
    compare(assert_close, inputs, backend, **options)


@pytest.mark.parametrize('full', interpreted([True], [False, True]))
@by_direction
@on_triton
def test_chunks_pass_their_states_on(
    assert_close: Callable,
    short_chunks: None,
    backend: str,
    direction: str,
    average: bool,
    full: bool,
) -> None:
    length, n_batch = interpreted((17, 1 + (direction == 'reverse')), (130, 3))
    inputs = make_inputs(length, 3, 2, n_batch, direction, torch.float32, full)
    options = dict(direction=direction, average=average, dt_softplus=full)
    compare(assert_close, inputs, backend, **options)


@by_direction
def test_equals_the_oracle_in_every_dtype(
    assert_close: Callable, dtype: torch.dtype, direction: str, average: bool
) -> None:
    inputs = make_inputs(129, n_channels=48, n_state=16, direction=direction, dtype=dtype)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=True)


@pytest.mark.parametrize('length', [1, 17, 63, 64, 65, 129, 400])
@pytest.mark.parametrize('full', [False, True], ids=['plain', 'full'])
@by_direction
@on_cpu
def test_cpu_equals_the_oracle(
    assert_close: Callable, backend: str, length: int, full: bool, direction: str, average: bool
) -> None:
    inputs = make_inputs(length, 33, 16, direction=direction, dtype=torch.float32, full=full)
    options = dict(direction=direction, average=average, dt_softplus=full)
    compare(assert_close, inputs, backend, **options)


@pytest.mark.parametrize('n_state', [1, 15, 16, 17, 64])
@pytest.mark.parametrize('tokens', [torch.float32, torch.float16, torch.bfloat16], ids=str)
@on_cpu
def test_cpu_in_every_dtype_and_with_any_number_of_states(
    assert_close: Callable, backend: str, tokens: torch.dtype, n_state: int
) -> None:
    inputs = make_inputs(70, 20, n_state, 2, 'both', tokens)
    compare(assert_close, inputs, backend, direction='both', average=True, dt_softplus=True)


@pytest.mark.parametrize('half', [torch.float16, torch.bfloat16], ids=['float16', 'bfloat16'])
@on_triton
def test_triton_in_half_precision(
    assert_close: Callable, short_chunks: None, backend: str, half: torch.dtype
) -> None:
    length, n_channels, n_state = interpreted((9, 17, 1), (300, 96, 16))
    inputs = make_inputs(length, n_channels, n_state, 1, 'both', half)
    compare(assert_close, inputs, backend, direction='both', average=True, dt_softplus=True)


@on_kernels
def test_tokens_and_step_sizes_of_different_dtypes(assert_close: Callable, backend: str) -> None:
    inputs = make_inputs(5, n_batch=1, dtype=torch.float32)
    for name, dtype in dict(dt=torch.bfloat16, B=torch.float16, D=torch.bfloat16).items():
        inputs[name] = inputs[name].detach().to(dtype).requires_grad_()
    inputs = {n: t.detach().to(device(backend)).requires_grad_() for n, t in inputs.items()}
    actual = run(inputs, backend=backend, dt_softplus=True)
    exact = {n: t.detach().double().requires_grad_() for n, t in inputs.items()}
    expected = run(exact, backend='naive', dt_softplus=True)
    for (name, tensor), given in zip(actual.items(), (inputs['x'], *inputs.values()), strict=True):
        assert tensor.dtype == given.dtype, name
        assert_close(OP, given.dtype, name, tensor, expected[name])


@pytest.mark.parametrize('optional', ['D', 'z', 'dt_bias'])
@by_backend
def test_every_optional_input_can_stand_alone(
    assert_close: Callable, backend: str, optional: str
) -> None:
    length, dtype = (33, torch.float64) if backend == 'eager' else (3, torch.float32)
    inputs = make_inputs(length, n_batch=1, dtype=dtype)
    inputs = {n: t for n, t in inputs.items() if n in ('x', 'dt', 'A', 'B', 'C', optional)}
    compare(assert_close, inputs, backend, dt_softplus=True)


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 7), (2, 193), (5, 400)])
@by_backend
def test_any_number_of_channels_and_images(
    assert_close: Callable, backend: str, n_batch: int, n_channels: int
) -> None:
    length, n_state = 100, 16
    if backend == 'triton' and INTERPRETED:
        length, n_state, n_batch, n_channels = 1, 2, min(n_batch, 2), min(n_channels, 65)
    inputs = make_inputs(length, n_channels, n_state, n_batch, dtype=torch.float32)
    compare(assert_close, inputs, backend, direction='reverse', dt_softplus=True)


@on_kernels
def test_more_states_than_kernels_hold_are_left_to_plain_torch(backend: str) -> None:
    inputs = make_inputs(2, 2, 65, 1, dtype=torch.float32)
    inputs = {n: t.to(device(backend)) for n, t in inputs.items()}
    with pytest.raises(RuntimeError, match='65 states per channel, more than 64'):
        selective_scan(**inputs, backend=backend)


@pytest.mark.parametrize(
    ('n_rows', 'length', 'n_channels', 'expected'),
    # one image of 2048 pixels, at the first stage; then eight; then as many as there may be
    [(2, 33280, 192, 64), (16, 33280, 192, 512), (512, 33280, 192, 512), (2, 1, 1, 64)],
)
@on_triton
def test_chunks_are_as_long_as_the_work_allows(
    backend: str, n_rows: int, length: int, n_channels: int, expected: int
) -> None:
    from mmdynamicvis.ops.selective_scan import triton

    assert triton.chunk_length(n_rows, length, n_channels) == expected


def test_long_sequences_pass_their_state_from_segment_to_segment(assert_close: Callable) -> None:
    # Slow decay: the state at the end still depends on the first tokens.
    inputs = make_inputs(1500, n_channels=130, n_state=16, n_batch=1, full=False)
    inputs = {n: t.detach() for n, t in inputs.items()}
    inputs['dt'] /= 1000
    y = selective_scan(**inputs, backend='eager')
    expected = selective_scan(**inputs, backend='naive')
    assert_close(OP, torch.float64, 'y', y, expected)
    inputs['x'][:, 0] += 1
    assert (selective_scan(**inputs, backend='eager')[:, -1] - y[:, -1]).abs().max() > 1e-6


@pytest.mark.parametrize(('step_numel', 'channels'), [(1, 1), (64, 2), (300, 3)])
@by_direction
def test_result_does_not_depend_on_how_it_is_cut(
    assert_close: Callable,
    monkeypatch: pytest.MonkeyPatch,
    step_numel: int,
    channels: int,
    direction: str,
    average: bool,
) -> None:
    monkeypatch.setattr(eager, 'STEP_NUMEL', step_numel)
    monkeypatch.setattr(eager, 'CHANNELS', channels)
    monkeypatch.setattr(eager, 'MIN_CHUNKS', 2)
    inputs = make_inputs(150, n_batch=3, direction=direction)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=True)


@by_backend
def test_non_contiguous_inputs(assert_close: Callable, backend: str) -> None:
    def scatter(tensor: Tensor) -> Tensor:
        """The same values, channels first in memory and every second one unused."""
        apart = tensor.new_full((tensor.shape[-1], 2, *tensor.shape[:-1]), float('nan'))
        apart[:, 0] = tensor.movedim(-1, 0)
        return apart[:, 0].movedim(0, -1)

    length, dtype = (40, torch.float64) if backend == 'eager' else (5, torch.float32)
    made = make_inputs(length, n_batch=1, direction='both', dtype=dtype)
    inputs = {n: t.detach() for n, t in made.items()}
    scattered = {n: scatter(t) for n, t in inputs.items()}
    assert not any(t.is_contiguous() for t in scattered.values())
    compare(
        assert_close,
        {n: t.requires_grad_() for n, t in scattered.items()},
        backend,
        direction='both',
        average=True,
        dt_softplus=True,
    )


@on_kernels
def test_parts_of_projections_are_not_copied(assert_close: Callable, backend: str) -> None:
    """As the mixer makes them: x, z and dt, B, C lie side by side."""
    made = {n: t.detach() for n, t in make_inputs(3, 4, 2, 2, 'both', torch.float32).items()}
    parts = torch.cat([made['dt'], made['B'], made['C']], -1).split((4, 2, 2), -1)
    made.update(zip(('dt', 'B', 'C'), parts, strict=True))
    made['z'] = torch.cat([made['z'], made['z']], -1).chunk(2, -1)[1]
    assert strided_rows(made['z'])[0].data_ptr() == made['z'].data_ptr()
    assert strided_rows(made['dt']) == (made['dt'], 8)
    inputs = {n: t.requires_grad_() for n, t in made.items()}
    compare(assert_close, inputs, backend, direction='both', average=True, dt_softplus=True)


@pytest.mark.parametrize('average', [False, True])
@on_kernels
def test_nothing_is_read_that_was_not_written(
    assert_close: Callable,
    monkeypatch: pytest.MonkeyPatch,
    short_chunks: None,
    backend: str,
    average: bool,
) -> None:
    new_empty = Tensor.new_empty

    def poisoned(tensor: Tensor, *args, **kwargs) -> Tensor:
        return new_empty(tensor, *args, **kwargs).fill_(float('nan'))

    empty = torch.empty
    monkeypatch.setattr(Tensor, 'new_empty', poisoned)
    monkeypatch.setattr(torch, 'empty', lambda *args: empty(*args).fill_(float('nan')))
    inputs = make_inputs(11, n_batch=1, direction='both', dtype=torch.float32)
    compare(assert_close, inputs, backend, direction='both', average=average, dt_softplus=True)


def test_a_gradient_that_is_expanded(assert_close: Callable) -> None:
    inputs = make_inputs(20)
    for backend in ('eager', 'naive'):
        y = selective_scan(**inputs, dt_softplus=True, backend=backend)
        grad = torch.autograd.grad(y.sum(), inputs['x'])[0]
        if backend == 'eager':
            actual = grad
    assert_close(OP, torch.float64, 'the gradient of x', actual, grad)


@by_direction
def test_gradcheck(direction: str, average: bool) -> None:
    inputs = make_inputs(18, n_channels=2, n_state=2, n_batch=1, direction=direction)

    def function(*tensors: Tensor) -> Tensor:
        named = dict(zip(inputs, tensors, strict=True))
        return selective_scan(
            **named, dt_softplus=True, direction=direction, average=average, backend='eager'
        )

    assert torch.autograd.gradcheck(function, tuple(inputs.values()))


@pytest.mark.parametrize('reverse', [False, True])
def test_custom_ops_are_registered_as_torch_asks(reverse: bool) -> None:
    inputs = make_inputs(35, dtype=torch.float32, full=False)
    torch.library.opcheck(eager.scan, (*inputs.values(), reverse))
    tensors = [tensor.detach() for tensor in inputs.values()]
    y, enter = eager.scan(*tensors, reverse)
    arguments = (torch.randn_like(y), *tensors, enter, reverse)
    torch.library.opcheck(eager.scan_backward, arguments)


@pytest.mark.parametrize('average', [False, True])
@on_cpu
def test_cpu_ops_are_registered_as_torch_asks(backend: str, average: bool) -> None:
    tensors = list(make_inputs(70, 3, 2, 2, 'both', torch.float32).values())
    options = (True, 'both', average)
    op = torch.ops.mmdynamicvis.selective_scan_cpu.default
    torch.library.opcheck(op, (*tensors, *options))
    tensors = [tensor.detach() for tensor in tensors]
    y, states = op(*tensors, *options)
    backward = torch.ops.mmdynamicvis.selective_scan_cpu_backward.default
    torch.library.opcheck(backward, (torch.randn_like(y), states, *tensors, *options))


@pytest.mark.parametrize('average', interpreted([True], [False, True]))
@on_triton
def test_triton_ops_are_registered_as_torch_asks(backend: str, average: bool) -> None:
    from mmdynamicvis.ops.selective_scan import triton

    made = make_inputs(2, 3, 1, 1, 'both', torch.float32)
    tensors = [tensor.detach().to(TRITON_DEVICE).requires_grad_() for tensor in made.values()]
    options = (True, 'both', average)
    op = torch.ops.mmdynamicvis.selective_scan_triton.default
    torch.library.opcheck(op, (*tensors, *options))
    tensors = [tensor.detach() for tensor in tensors]
    y, states = op(*tensors, *options)
    backward = torch.ops.mmdynamicvis.selective_scan_triton_backward.default
    torch.library.opcheck(backward, (torch.randn_like(y), states, *tensors, *options))
    assert {variant.kernel.__name__ for variant in triton.variants()} == {
        name for name in vars(triton) if name.endswith('_kernel')
    }


def test_strong_and_weak_decays_stay_finite(assert_close: Callable, dtype: torch.dtype) -> None:
    inputs = {n: t.detach() for n, t in make_inputs(50, direction='both', full=False).items()}
    inputs['dt'] = inputs['dt'] * torch.logspace(-6, 3, 50).view(1, 1, 50, 1)
    inputs['A'] = inputs['A'] * torch.tensor([1e-4, 1, 50, 1e3, 1e4]).view(5, 1)
    product = inputs['dt'].amax() * inputs['A'].amin()
    assert product < -1e6
    wide = torch.promote_types(dtype, torch.float32)
    inputs = {n: t.to(wide if n == 'A' else dtype).requires_grad_() for n, t in inputs.items()}
    compare(assert_close, inputs, direction='both', average=True)


@on_kernels
def test_kernels_stay_finite(assert_close: Callable, short_chunks: None, backend: str) -> None:
    made = make_inputs(10, n_batch=1, direction='both', full=False)
    inputs = {n: t.detach() for n, t in made.items()}
    inputs['dt'] = inputs['dt'] * torch.logspace(-6, 3, 10).view(1, 1, 10, 1)
    inputs['A'] = inputs['A'] * torch.tensor([1e-4, 1, 50, 1e3, 1e4]).view(5, 1)
    inputs = {n: t.float().requires_grad_() for n, t in inputs.items()}
    compare(assert_close, inputs, backend, direction='both', average=True)


@on_kernels
def test_softplus_of_any_step_size(assert_close: Callable, backend: str) -> None:
    """Small ones keep their digits, large ones and their exponentials do not overflow."""
    made = make_inputs(5, 40, 1, 1, dtype=torch.float32)
    inputs = {n: t.detach() for n, t in made.items() if n not in ('z', 'D')}
    inputs['dt'] = torch.linspace(-60, 90, 200).view(1, 5, 40)
    inputs = {n: t.to(device(backend)) for n, t in inputs.items()}
    inputs['A'] = torch.zeros_like(inputs['A']) - 1e-3
    y = selective_scan(**inputs, dt_softplus=True, backend=backend)
    exact = {n: t.double() for n, t in inputs.items()}
    expected = selective_scan(**exact, dt_softplus=True, backend='naive')
    torch.testing.assert_close(y.double(), expected, rtol=2e-5, atol=0)


def test_state_is_kept_in_float32_under_autocast() -> None:
    inputs = make_inputs(200, dtype=torch.float32)
    expected = selective_scan(**inputs, dt_softplus=True, backend='eager')
    with torch.autocast('cpu', torch.bfloat16):
        actual = selective_scan(**inputs, dt_softplus=True, backend='eager')
    assert actual.dtype == torch.float32
    assert torch.equal(actual, expected)


def test_inputs_are_left_alone() -> None:
    inputs = make_inputs(20, direction='both', dtype=torch.float32)
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    run(inputs, direction='both', average=True, dt_softplus=True, backend='eager')
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(direction='back'), r"direction is 'back'.*'forward', 'reverse', 'both'"),
        (dict(average=True), "average=True needs direction='both', not 'forward'"),
        (dict(direction='both'), r"x has shape \(2, 9, 5\); direction='both' needs \(2, B, L, D\)"),
        (dict(x=torch.zeros(3, 2, 9, 5)), r'x has shape \(3, 2, 9, 5\).* needs \(B, L, D\)'),
        (dict(A=torch.zeros(4, 3)), r'A has shape \(4, 3\); x needs \(5, N\)'),
        (dict(dt=torch.zeros(2, 9, 1)), r'dt has shape \(2, 9, 1\).* need \(2, 9, 5\)'),
        (dict(B=torch.zeros(2, 9, 5)), r'B has shape \(2, 9, 5\).* need \(2, 9, 3\)'),
        (dict(C=torch.zeros(2, 8, 3)), r'C has shape \(2, 8, 3\).* need \(2, 9, 3\)'),
        (dict(D=torch.zeros(1)), r'D has shape \(1,\).* need \(5,\)'),
        (dict(z=torch.zeros(1, 9, 5)), r'z has shape \(1, 9, 5\).* need \(2, 9, 5\)'),
        (dict(dt_bias=torch.zeros(5, 1)), r'dt_bias has shape \(5, 1\).* need \(5,\)'),
        (dict(backend='abacus'), r"unknown backend 'abacus'; choose one of \['auto'.*'naive'\]"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selective_scan(**{**make_inputs(9), **change})
