"""The calls that DynamicVis makes to each op in each stage, and lower bounds of their cost."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdynamicvis.models.dynamicvis import ARCHS, DynamicVis
from mmdynamicvis.models.mamba_mixer import MambaMixer
from mmdynamicvis.ops import causal_conv1d, selective_scan, token_select, token_update

BACKBONE = {name: p.default for name, p in inspect.signature(DynamicVis).parameters.items()}
MIXER = {name: p.default for name, p in inspect.signature(MambaMixer).parameters.items()}
N_STATE, WIDTH, EXPAND = MIXER['d_state'], MIXER['d_conv'], MIXER['expand']
DIRECTIONS = 2

Randn = Callable[..., Tensor]


@dataclass(frozen=True)
class Stage:
    """Sizes of the inputs of the units in a stage, for one image."""

    number: int
    grid: int
    channels: int
    kept: int

    @property
    def length(self) -> int:
        """Number of tokens of the stage."""
        return self.grid**2

    @property
    def mixed(self) -> int:
        """Number of tokens that go through the mixer: one per row, and the kept ones."""
        return self.grid + self.kept

    @property
    def inner(self) -> int:
        """Number of channels in the mixer."""
        return EXPAND * self.channels


def stages(arch: str, size: int) -> list[Stage]:
    """Return the stages of an arch for a square image of ``size`` pixels."""
    found, grid = [], size
    for i, channels in enumerate(ARCHS[arch]['embed_dims']):
        grid = -(-grid // BACKBONE['strides'][i])
        kept = grid**2 // round(1 / (1 - BACKBONE['reduction_ratios'][i]))
        found.append(Stage(i + 1, grid, channels, max(1, kept)))
    return found


@dataclass(frozen=True)
class OpCase:
    """How an op is called, and lower bounds of the cost of its forward pass.

    Args:
        inputs: Function that returns the tensors for a stage, with the model's strides.
        call: Function that calls a backend; returns the outputs, those with gradients first.
        compared: Function from the outputs to the tensors in which backends must agree.
        flops: Arithmetic of a stage.
        exponentials: Number of exponentials of a stage that cannot be avoided.
        moved: Function from a stage and the bytes per number to the bytes that the forward and the
            backward pass must move; None if these are all inputs, outputs and their gradients.
        writes: Whether the op writes to its first input, which then requires no gradient.
    """

    inputs: Callable[[Stage, Randn], tuple[Tensor, ...]]
    call: Callable[[Stage, Sequence[Tensor], str], tuple[Tensor, ...]]
    flops: Callable[[Stage], int]
    exponentials: Callable[[Stage], int] = lambda stage: 0
    compared: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]] = lambda outputs: outputs
    moved: Callable[[Stage, int], tuple[int, int]] | None = None
    writes: bool = False


def _scan_inputs(stage: Stage, randn: Randn) -> tuple[Tensor, ...]:
    length, inner, rank = stage.mixed, stage.inner, math.ceil(stage.channels / 16)
    projected = randn(DIRECTIONS, 1, length, rank + 2 * N_STATE)
    _, B, C = projected.split((rank, N_STATE, N_STATE), dim=-1)
    z = randn(1, length, 2 * inner).chunk(2, dim=-1)[1]
    rates = torch.arange(1, N_STATE + 1, device=z.device, dtype=torch.float32)
    x, dt = (randn(DIRECTIONS, 1, length, inner) for _ in range(2))
    # like Mamba's initialization: step sizes of about exp(-4), decay rates of 1 to N
    return x, dt, -rates.repeat(inner, 1), B, C, randn(inner), z, randn(inner) - 4


def _scan(stage: Stage, inputs: Sequence[Tensor], backend: str) -> tuple[Tensor, ...]:
    options = dict(dt_softplus=True, direction='both', average=True, backend=backend)
    return (selective_scan(*inputs, **options),)


def _conv_inputs(stage: Stage, randn: Randn) -> tuple[Tensor, ...]:
    x = randn(1, stage.mixed, 2 * stage.inner).chunk(2, dim=-1)[0]
    return x, randn(stage.inner, WIDTH), randn(stage.inner)


def _conv(stage: Stage, inputs: Sequence[Tensor], backend: str) -> tuple[Tensor, ...]:
    return (causal_conv1d(*inputs, direction='both', backend=backend),)


def _select_inputs(stage: Stage, randn: Randn) -> tuple[Tensor, ...]:
    scorer, norm_weight = randn(stage.channels) / stage.channels**0.5, randn(stage.channels)
    return randn(1, stage.length, stage.channels), scorer, norm_weight


def _select(stage: Stage, inputs: Sequence[Tensor], backend: str) -> tuple[Tensor, ...]:
    grid = (stage.grid, stage.grid)
    selection = token_select(*inputs, k=stage.kept, grid=grid, backend=backend)
    return tuple(selection)


def _same_selection(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # compare scores, not indices: of tokens with nearly equal scores either may be selected
    normed, kept_scores, _, scores = outputs
    n_means = normed.shape[1] - kept_scores.shape[1]
    return scores, kept_scores.sort().values, normed[:, :n_means]


def _update_inputs(stage: Stage, randn: Randn) -> tuple[Tensor, ...]:
    tokens = randn(1, stage.length, stage.channels)
    increment = randn(1, stage.kept, stage.channels)
    indices = randn(1, stage.length).float().topk(stage.kept).indices.sort().values
    return tokens, increment, indices, randn(1, stage.kept).float()


def _update(stage: Stage, inputs: Sequence[Tensor], backend: str) -> tuple[Tensor, ...]:
    tokens, *others = inputs
    # detached, because otherwise the tokens would keep the autograd graph of the previous update
    return (token_update(tokens.detach(), *others, backend=backend),)


CASES = {
    'selective_scan': OpCase(
        _scan_inputs,
        _scan,
        # decay times state, step times input, output map times state
        flops=lambda s: 2 * 3 * DIRECTIONS * s.mixed * s.inner * N_STATE,
        # Two per token, channel and state: a scan of few rows has to be cut into chunks; one pass
        # computes the final state of each chunk, a second the outputs. Step sizes need one more
        # exponential in each pass, but as many decays of the first pass are computed by products.
        # The kernels issue 8 instructions per exponential, which take equally long.
        exponentials=lambda s: 2 * DIRECTIONS * s.mixed * s.inner * N_STATE,
    ),
    'causal_conv1d': OpCase(
        _conv_inputs,
        _conv,
        flops=lambda s: 2 * WIDTH * DIRECTIONS * s.mixed * s.inner,
        exponentials=lambda s: DIRECTIONS * s.mixed * s.inner,
    ),
    'token_select': OpCase(
        _select_inputs,
        _select,
        # score, squares, row mean
        flops=lambda s: (2 + 2 + 1) * s.length * s.channels,
        compared=_same_selection,
        # forward: all tokens, the returned rows and the scores; backward: values of the rows and
        # two gradients
        moved=lambda s, size: (
            size * s.channels * (s.length + s.mixed) + 4 * s.length + 12 * s.kept,
            size * s.channels * (s.length + 2 * s.mixed) + 12 * s.kept,
        ),
    ),
    'token_update': OpCase(
        _update_inputs,
        _update,
        flops=lambda s: 2 * s.kept * s.channels,
        # forward: tokens in and out, and increments; backward: gradients, and increments again
        moved=lambda s, size: (3 * size * s.channels * s.kept + 12 * s.kept,) * 2,
        writes=True,
    ),
}
"""One entry per op of mmdynamicvis.ops.__main__.OPS."""


def make_inputs(case: OpCase, stage: Stage, dtype: torch.dtype, device: str) -> list[Tensor]:
    """Return random inputs; floating-point inputs require gradients unless they are written to."""

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    inputs = [tensor.detach() for tensor in case.inputs(stage, randn)]
    for x in inputs[case.writes :]:
        x.requires_grad_(x.is_floating_point())
    return inputs
