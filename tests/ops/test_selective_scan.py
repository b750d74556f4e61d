"""The eager selective scan against the oracle: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmdynamicvis.ops import selective_scan
from mmdynamicvis.ops.selective_scan import eager

OP = 'selective_scan'
DIRECTIONS = [('forward', False), ('reverse', False), ('both', False), ('both', True)]
DIRECTION_IDS = ['forward', 'reverse', 'both', 'average']
by_direction = pytest.mark.parametrize(('direction', 'average'), DIRECTIONS, ids=DIRECTION_IDS)


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
    weight = torch.linspace(-1, 1, 33).to(y.dtype).repeat(y.numel() // 33 + 1)[: y.numel()]
    weight = weight.view(y.shape)
    grads = torch.autograd.grad(y, list(inputs.values()), weight)
    return {'y': y, **{f'the gradient of {n}': g for n, g in zip(inputs, grads, strict=True)}}


def compare(assert_close: Callable, inputs: dict[str, Tensor], **options) -> None:
    dtype = inputs['x'].dtype
    actual = run(inputs, backend='eager', **options)
    exact_inputs = {n: t.detach().double().requires_grad_() for n, t in inputs.items()}
    expected = run(exact_inputs, backend='naive', **options)
    assert actual['y'].dtype == dtype
    for name, tensor in actual.items():
        assert_close(OP, dtype, name, tensor, expected[name])


@pytest.mark.parametrize('length', [1, 15, 16, 17, 63, 129, 400])
@by_direction
@pytest.mark.parametrize('full', [False, True], ids=['plain', 'full'])
def test_equals_the_oracle(
    assert_close: Callable, length: int, direction: str, average: bool, full: bool
) -> None:
    inputs = make_inputs(length, direction=direction, full=full)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=full)


@by_direction
def test_equals_the_oracle_in_every_dtype(
    assert_close: Callable, dtype: torch.dtype, direction: str, average: bool
) -> None:
    inputs = make_inputs(129, n_channels=48, n_state=16, direction=direction, dtype=dtype)
    compare(assert_close, inputs, direction=direction, average=average, dt_softplus=True)


@pytest.mark.parametrize('optional', ['D', 'z', 'dt_bias'])
def test_every_optional_input_can_stand_alone(assert_close: Callable, optional: str) -> None:
    inputs = make_inputs(33, full=True)
    inputs = {n: t for n, t in inputs.items() if n in ('x', 'dt', 'A', 'B', 'C', optional)}
    compare(assert_close, inputs, dt_softplus=True)


@pytest.mark.parametrize(('n_batch', 'n_channels'), [(1, 1), (3, 7), (2, 193), (5, 400)])
def test_any_number_of_channels_and_images(
    assert_close: Callable, n_batch: int, n_channels: int
) -> None:
    inputs = make_inputs(100, n_channels, 16, n_batch, dtype=torch.float32)
    compare(assert_close, inputs, direction='reverse', dt_softplus=True)


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


def test_non_contiguous_inputs(assert_close: Callable) -> None:
    def scatter(tensor: Tensor) -> Tensor:
        """The same values, channels first in memory and every second one unused."""
        apart = tensor.new_full((tensor.shape[-1], 2, *tensor.shape[:-1]), float('nan'))
        apart[:, 0] = tensor.movedim(-1, 0)
        return apart[:, 0].movedim(0, -1)

    inputs = {n: t.detach() for n, t in make_inputs(40, direction='both').items()}
    scattered = {n: scatter(t) for n, t in inputs.items()}
    assert not any(t.is_contiguous() for t in scattered.values())
    compare(
        assert_close,
        {n: t.requires_grad_() for n, t in scattered.items()},
        direction='both',
        average=True,
        dt_softplus=True,
    )


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


def test_strong_and_weak_decays_stay_finite(assert_close: Callable, dtype: torch.dtype) -> None:
    inputs = {n: t.detach() for n, t in make_inputs(50, direction='both', full=False).items()}
    inputs['dt'] = inputs['dt'] * torch.logspace(-6, 3, 50).view(1, 1, 50, 1)
    inputs['A'] = inputs['A'] * torch.tensor([1e-4, 1, 50, 1e3, 1e4]).view(5, 1)
    product = inputs['dt'].amax() * inputs['A'].amin()
    assert product < -1e6
    wide = torch.promote_types(dtype, torch.float32)
    inputs = {n: t.to(wide if n == 'A' else dtype).requires_grad_() for n, t in inputs.items()}
    compare(assert_close, inputs, direction='both', average=True)


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
