"""Fusion of dates: where the tokens of a date go, which modes know the order, sizes, gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdynamicvis.change_detection import PairFusion
from mmdynamicvis.change_detection.date_mixer import DateMixer

SYMMETRIC = ['sum', 'difference']
MAMBA = ['mamba_concat', 'mamba_interleave', 'mamba_side_by_side', 'mamba_all']
MODES = ['concat', *SYMMETRIC, *MAMBA]


def fusion(mode: str, channels: int = 4, num_levels: int = 1, num_dates: int = 2) -> PairFusion:
    torch.manual_seed(0)
    neck = PairFusion(channels, num_levels, mode, num_dates, norm_cfg=None, act_cfg=None)
    neck.init_weights()
    return neck.double()


def joined(maps: list[Tensor], order: str) -> tuple[list[Tensor], list[tuple[int, int, int]]]:
    """Return the tokens (B, C) in the order of the scan, and (date, row, column) of each."""
    _, _, height, width = maps[0].shape
    tokens, places = [], []
    for row in range(height):
        if order == 'interleave':
            columns = [(date, row, x) for x in range(width) for date in range(len(maps))]
        else:
            columns = [(date, row, x) for date in range(len(maps)) for x in range(width)]
        places += columns
    for date, row, x in places:
        tokens.append(maps[date][:, :, row, x])
    return tokens, places


def naive(mixer: DateMixer, maps: list[Tensor]) -> list[Tensor]:
    """The mixing of dates, token by token."""
    if mixer.order == 'concat':
        weight, bias = mixer.join.weight[..., 0, 0], mixer.join.bias
        projected = torch.einsum('bchw,oc->bohw', torch.cat(maps, 1), weight)
        maps = [projected + bias[:, None, None]]
    tokens, places = joined(maps, mixer.order)
    sequence = torch.stack(tokens, 1)
    sequence = sequence + mixer.mixer(mixer.norm(sequence))
    results = [torch.zeros_like(one) for one in maps]
    for i, (date, row, column) in enumerate(places):
        results[date][:, :, row, column] = sequence[:, i]
    return results


@settings(deadline=None, derandomize=True, max_examples=12)
@given(
    st.sampled_from(['concat', 'interleave', 'side_by_side']),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(2, 3),
)
def test_orders_against_loops_with_gradients(order, size, num_dates):
    torch.manual_seed(0)
    mixer = DateMixer(4, num_dates, order).double()
    maps = list(torch.randn(num_dates, 2, 4, *size, dtype=torch.float64).requires_grad_().unbind())
    ours, expected = torch.stack(mixer(maps)), torch.stack(naive(mixer, maps))
    assert len(ours) == mixer.num_maps
    torch.testing.assert_close(ours, expected)
    seed, inputs = torch.randn_like(ours), [*maps, *mixer.parameters()]
    for got, wanted in zip(
        torch.autograd.grad(ours, inputs, seed),
        torch.autograd.grad(expected, inputs, seed),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize('mode', MODES)
def test_gradients_against_finite_differences(mode):
    neck = fusion(mode, channels=2)
    maps = [torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: neck([a], [b])[0], maps)


@pytest.mark.parametrize('mode', MODES)
def test_order_of_the_dates(mode):
    neck = fusion(mode)
    first, second = torch.randn(2, 2, 4, 5, 7, dtype=torch.float64)
    (there,), (back,) = neck([first], [second]), neck([second], [first])
    if mode in SYMMETRIC:
        torch.testing.assert_close(there, back)
    else:
        assert (there - back).abs().max() > 1e-3


@pytest.mark.parametrize('mode', MAMBA)
def test_a_date_reaches_the_tokens_of_the_other(mode):
    """A change at one place of one date changes the fused map at other places."""
    neck = fusion(mode)
    first, second = torch.randn(2, 1, 4, 3, 4, dtype=torch.float64)
    changed = second.clone()
    changed[..., 1, 2] = torch.randn(4)  # a layer norm would not see an equal shift of channels
    difference = (neck([first], [second])[0] - neck([first], [changed])[0]).abs().amax((0, 1))
    assert (difference > 0).all()


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('num_dates', [2, 3])
def test_levels_of_any_size(mode, num_dates):
    neck = fusion(mode, num_levels=3, num_dates=num_dates)
    sizes = [(7, 5), (4, 3), (1, 1)]
    dates = [[torch.randn(2, 4, *size).double() for size in sizes] for _ in range(num_dates)]
    assert [tuple(one.shape) for one in neck(*dates)] == [(2, 4, *size) for size in sizes]


def test_all_orders_are_those_of_the_single_modes():
    """The parameters of 'mamba_all' are those of the three modes, except for the convolution."""

    def count(mode: str) -> int:
        return sum(p.numel() for p in fusion(mode).mixers.parameters())

    assert count('mamba_all') == sum(count(mode) for mode in MAMBA[:3])


@pytest.mark.slow
def test_export_for_any_size():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.neck = fusion('mamba_all').float()

        def forward(self, first, second):
            return self.neck([first], [second])[0]

    model = Model().eval()
    height, width = torch.export.Dim('h', min=2, max=64), torch.export.Dim('w', min=2, max=64)
    dynamic = {2: height, 3: width}
    example = (torch.randn(2, 4, 6, 5), torch.randn(2, 4, 6, 5))
    exported = torch.export.export(model, example, dynamic_shapes=(dynamic, dynamic)).module()
    other = torch.randn(2, 2, 4, 3, 8)
    with torch.no_grad():
        torch.testing.assert_close(exported(*other), model(*other), rtol=1e-4, atol=1e-5)


def test_an_unknown_order_is_an_error():
    with pytest.raises(ValueError, match="order is 'rows'; choose one of"):
        DateMixer(4, 2, 'rows')
