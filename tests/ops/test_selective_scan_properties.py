"""What holds for every selective scan, for shapes that hypothesis chooses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdynamicvis.ops import selective_scan
from mmdynamicvis.ops.triton_support import INTERPRETED, unavailable

SHAPES = st.tuples(
    st.integers(1, 3),  # images
    st.integers(1, 70),  # tokens
    st.integers(1, 5),  # channels
    st.integers(1, 4),  # states
    st.integers(0, 10**6),  # seed
)
steady = settings(deadline=None, max_examples=30, derandomize=True)


def make_inputs(shape: tuple[int, ...], lead: tuple[int, ...] = ()) -> dict[str, Tensor]:
    n_batch, length, n_channels, n_state, seed = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return {
        'x': normal(*lead, n_batch, length, n_channels),
        'dt': normal(*lead, n_batch, length, n_channels).abs(),
        'A': -normal(n_channels, n_state).abs(),
        'B': normal(*lead, n_batch, length, n_state),
        'C': normal(*lead, n_batch, length, n_state),
    }


@steady
@given(
    SHAPES, st.sampled_from(['forward', 'reverse']), st.sets(st.sampled_from(['D', 'z', 'bias']))
)
def test_eager_equals_the_oracle(
    assert_close: Callable, shape: tuple[int, ...], direction: str, extras: set[str]
) -> None:
    inputs = make_inputs(shape)
    if 'D' in extras:
        inputs['D'] = inputs['x'][0, 0].clone()
    if 'z' in extras:
        inputs['z'] = inputs['dt'] - 1
    if 'bias' in extras:
        inputs.update(dt_bias=inputs['x'][0, 0].clone(), dt_softplus=True)
    y, expected = (
        selective_scan(**inputs, direction=direction, backend=backend)
        for backend in ('eager', 'naive')
    )
    # Outputs may cancel to almost nothing, against which no error is small.
    scale = 1 + expected.abs().max()
    assert_close('selective_scan', torch.float64, 'y', y + scale, expected + scale)


@pytest.mark.interpreter
@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
@settings(deadline=None, max_examples=5 if INTERPRETED else 100, derandomize=True)
@given(
    st.tuples(
        st.integers(1, 2),
        st.integers(1, 5 if INTERPRETED else 300),
        st.integers(1, 40),
        st.integers(1, 5),
        st.integers(0, 10**6),
    ),
    st.booleans(),
)
def test_triton_equals_the_oracle(
    assert_close: Callable, shape: tuple[int, ...], average: bool
) -> None:
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    inputs = {n: t.float().to(device) for n, t in make_inputs(shape, lead=(2,)).items()}
    exact = {n: t.double() for n, t in inputs.items()}
    options = dict(direction='both', average=average)
    y = selective_scan(**inputs, **options, backend='triton')
    expected = selective_scan(**exact, **options, backend='naive')
    scale = 1 + expected.abs().max()
    assert_close('selective_scan', torch.float32, 'y', y + scale, expected + scale)


@steady
@given(SHAPES)
def test_reverse_is_forward_on_the_flipped_sequence(shape: tuple[int, ...]) -> None:
    inputs = make_inputs(shape)
    flipped = {n: t if n == 'A' else t.flip(1) for n, t in inputs.items()}
    forward = selective_scan(**flipped, direction='forward', backend='eager')
    reverse = selective_scan(**inputs, direction='reverse', backend='eager')
    torch.testing.assert_close(reverse, forward.flip(1))


@steady
@given(SHAPES)
def test_both_directions_are_the_two_single_ones(shape: tuple[int, ...]) -> None:
    inputs = make_inputs(shape, lead=(2,))
    both = selective_scan(**inputs, direction='both', backend='eager')
    for k, direction in enumerate(('forward', 'reverse')):
        one = {n: t if n == 'A' else t[k] for n, t in inputs.items()}
        torch.testing.assert_close(
            both[k], selective_scan(**one, direction=direction, backend='eager')
        )
    average = selective_scan(**inputs, direction='both', average=True, backend='eager')
    torch.testing.assert_close(average, both.mean(0))


@steady
@given(SHAPES, st.data())
def test_no_token_sees_a_later_one(shape: tuple[int, ...], data: st.DataObject) -> None:
    inputs = make_inputs(shape)
    t = data.draw(st.integers(0, shape[1] - 1), label='changed token')
    before = selective_scan(**inputs, backend='eager')
    for name in ('x', 'dt', 'B', 'C'):
        inputs[name][:, t] += 1
    after = selective_scan(**inputs, backend='eager')
    assert torch.equal(after[:, :t], before[:, :t])
    assert not torch.equal(after[:, t], before[:, t])


@steady
@given(SHAPES)
def test_linear_in_x(shape: tuple[int, ...]) -> None:
    inputs = make_inputs(shape)
    other = torch.roll(inputs['x'], 1, dims=1) - 0.5
    y = selective_scan(**inputs, backend='eager')
    y_other = selective_scan(**{**inputs, 'x': other}, backend='eager')
    y_sum = selective_scan(**{**inputs, 'x': 2 * inputs['x'] - other}, backend='eager')
    torch.testing.assert_close(y_sum, 2 * y - y_other)
