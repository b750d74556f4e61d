"""Token selection for a block that updates few tokens of many (DynamicVis, arXiv 2503.16426).

:func:`token_select` scores all tokens and returns the best of them, normalized and in their order
in the image; a state-space block mixes them; :func:`token_update` adds what it returns back.

The paper's own rule (equations 10 to 13) weights with a softmax over the whole sequence and scans
in descending order: :mod:`mmdynamicvis.models.published_rule`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from mmdynamicvis.ops import triton_support
from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.dispatch import Backend, check_device, choose
from mmdynamicvis.ops.token_select import cpu, eager, naive


def _triton_select(*args: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from mmdynamicvis.ops.token_select import triton

    return triton.token_select(*args)


def _triton_update(*args: Any) -> Tensor:
    from mmdynamicvis.ops.token_select import triton

    return triton.token_update(*args)


SELECT_BACKENDS = (
    triton_support.backend(_triton_select),
    Backend('cpu', cpu.token_select, library.unavailable, library.unsupported),
    Backend('eager', eager.token_select),
    Backend('naive', naive.token_select),
)
UPDATE_BACKENDS = (
    triton_support.backend(_triton_update),
    Backend('cpu', cpu.token_update, library.unavailable, library.unsupported),
    Backend('eager', eager.token_update),
    Backend('naive', naive.token_update),
)

__all__ = ['SELECT_BACKENDS', 'UPDATE_BACKENDS', 'TokenSelection', 'token_select', 'token_update']


class TokenSelection(NamedTuple):
    """What :func:`token_select` returns."""

    normed: Tensor
    """(B, G + K, C) in the dtype of the tokens: RMS norm of the mean of each of the G rows of the
    grid (G = 0 without a grid), then of the selected tokens by ascending index."""
    kept_scores: Tensor
    """(B, K) float32 (float64 for float64 tokens), the scores of the selected tokens."""
    indices: Tensor
    """(B, K) int64, where they stand in the sequence, ascending."""
    scores: Tensor
    """(B, L), the scores of all tokens; without gradient."""


def token_select(
    tokens: Tensor,
    scorer: Tensor,
    norm_weight: Tensor,
    k: int,
    noise: Tensor | None = None,
    grid: tuple[int, int] | None = None,
    eps: float = 1e-5,
    backend: str = 'auto',
) -> TokenSelection:
    """Score all tokens, and return the k best in raster order, normalized, after the row means.

    With x' = x / sqrt(mean(x^2) + eps), the score of a token is ``x' @ scorer``, free of the
    token's scale, and what is returned of it is ``x' * norm_weight`` (RMSNorm, arXiv 1910.07467).
    Of equal scores the lower index is taken. Scores, means and norms are computed in float32 at
    least, autocast or not. Gradients flow through what is returned, not through the choice.

    Args:
        tokens: (B, L, C).
        scorer: (C).
        norm_weight: (C).
        k: How many tokens to take, 1 <= k <= L.
        noise: (B, L), added to the scores for the choice only.
        grid: Height and width of the grid whose rows the sequence holds one after another, to have
            their means, L = H * W.
        eps: Of the norm.
        backend: 'auto', 'triton', 'cpu', 'eager' or 'naive' (the float64 oracle, for tests).

    Raises:
        ValueError: A shape, k or the backend does not fit; the message names it.
        RuntimeError: The backend that was asked for cannot run on these tensors.
    """
    if tokens.dim() != 3:
        raise ValueError(f'tokens have shape {tuple(tokens.shape)}; need (B, L, C)')
    n_batch, length, n_channels = tokens.shape
    for name, weight in (('scorer', scorer), ('norm_weight', norm_weight)):
        if tuple(weight.shape) != (n_channels,):
            raise ValueError(
                f'{name} has shape {tuple(weight.shape)}; the tokens need ({n_channels},)'
            )
    if not 1 <= k <= length:
        raise ValueError(f'k is {k}; of {length} tokens 1 to {length} can be selected')
    if noise is not None and tuple(noise.shape) != (n_batch, length):
        raise ValueError(
            f'noise has shape {tuple(noise.shape)}; the tokens need {(n_batch, length)}'
        )
    if grid is not None and (min(grid) < 1 or grid[0] * grid[1] != length):
        raise ValueError(f'grid is {tuple(grid)}; its H * W must be the {length} tokens')
    check_device('token_select', tokens, scorer, norm_weight, noise)
    noise = None if noise is None else noise.detach()
    function = choose('token_select', SELECT_BACKENDS, backend, tokens, scorer, norm_weight)
    return TokenSelection(*function(tokens, scorer, norm_weight, k, noise, grid, eps))


def token_update(
    tokens: Tensor, increment: Tensor, indices: Tensor, weight: Tensor, backend: str = 'auto'
) -> Tensor:
    """Add weighted increments to some tokens, in place: s_i <- s_i + w_i m_i.

    The other tokens are neither read nor written, forward or backward.

    Args:
        tokens: (B, L, C), the sequence s; written to.
        increment: (B, K, C), m.
        indices: (B, K) int64, places of the tokens that change, each at most once.
        weight: (B, K), w.
        backend: 'auto', 'triton', 'cpu', 'eager' or 'naive' (the float64 oracle, for tests).

    Returns:
        ``tokens``. The oracle returns a new tensor.

    Raises:
        ValueError: A shape or the backend does not fit; the message names it.
        RuntimeError: The backend that was asked for cannot run on these tensors.
    """
    if tokens.dim() != 3:
        raise ValueError(f'tokens have shape {tuple(tokens.shape)}; need (B, L, C)')
    n_batch, _, n_channels = tokens.shape
    k = indices.shape[-1]
    expected = {
        'increment': (increment, (n_batch, k, n_channels)),
        'indices': (indices, (n_batch, k)),
        'weight': (weight, (n_batch, k)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f'{name} has shape {tuple(tensor.shape)}; the tokens need {shape}')
    check_device('token_update', tokens, increment, indices, weight)
    function = choose('token_update', UPDATE_BACKENDS, backend, tokens, increment)
    return function(tokens, increment, indices, weight)
