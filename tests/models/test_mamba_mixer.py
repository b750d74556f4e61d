"""The mixer against two plain passes with shared weights, as the paper has them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv1d, linear, silu

from mmdynamicvis.models import STIM, MambaMixer
from mmdynamicvis.ops import selective_scan


def one_pass(mixer: MambaMixer, tokens: Tensor) -> Tensor:
    """A whole Mamba mixer, forward (arXiv 2312.00752, figure 3)."""
    x, z = mixer.in_proj(tokens).chunk(2, dim=-1)
    conv = mixer.conv1d
    x = conv1d(x.transpose(1, 2), conv.weight, conv.bias, padding=3, groups=x.shape[-1])
    x = silu(x[..., : tokens.shape[1]]).transpose(1, 2)
    dt, B, C = mixer.x_proj(x).split(mixer.split, dim=-1)
    y = selective_scan(
        x,
        linear(dt, mixer.dt_proj.weight),
        -mixer.A_log.exp(),
        B,
        C,
        D=mixer.D,
        z=z,
        dt_bias=mixer.dt_proj.bias,
        dt_softplus=True,
        backend='naive',
    )
    return mixer.out_proj(y)


@pytest.mark.parametrize('scan_mode', ['forward', 'mean', 'gate'])
@pytest.mark.parametrize('length', [1, 3, 40])
@pytest.mark.parametrize('dim', [16, 21])
def test_sharing_projections_changes_nothing(scan_mode: str, length: int, dim: int) -> None:
    torch.manual_seed(0)
    mixer = MambaMixer(dim, scan_mode).double()
    with torch.no_grad():  # A is computed in float32: take numbers that are exact there
        mixer.A_log.zero_()
    tokens = torch.randn(2, length, dim, dtype=torch.float64)
    forward = one_pass(mixer, tokens)
    reverse = one_pass(mixer, tokens.flip(1)).flip(1)
    if scan_mode == 'gate':
        means = torch.cat([forward.mean(1), reverse.mean(1)], dim=-1)
        weight = mixer.direction_gate(means).softmax(-1)
        expected = weight[:, :1, None] * forward + weight[:, 1:, None] * reverse
    else:
        expected = forward if scan_mode == 'forward' else (forward + reverse) / 2
    torch.testing.assert_close(mixer(tokens), expected)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 70_000), st.integers(1, 64))
def test_number_of_kept_tokens_is_the_papers(length: int, rate: int) -> None:
    unit = STIM(2, 1 - 1 / rate, {}, selection_noise=None)
    assert unit.num_kept(length) == max(1, length // rate)
