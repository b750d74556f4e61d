"""Region-aware token selection (DynamicVis, arXiv 2503.16426, equations 10 to 13).

:func:`token_select` takes the most important tokens out of a sequence; a state-space block updates
them; :func:`token_update` adds the weighted increment back to the whole sequence.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from mmdynamicvis.ops import triton_support
from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.dispatch import Backend, check_device, choose
from mmdynamicvis.ops.token_select import cpu, eager, naive


def _triton_select(*args: Any) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
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

    tokens: Tensor
    """(B, K, C), the selected tokens, the highest score first."""
    indices: Tensor
    """(B, K) int64, where they stand in the sequence."""
    importance: Tensor
    """(B, L) float32 (float64 for float64 tokens), softmax of the scores over the sequence."""
    row_means: Tensor | None = None
    """(B, H, C) in the dtype of the tokens, the mean of each row of the grid; None without grid."""


def token_select(
    tokens: Tensor,
    weight: Tensor,
    k: int,
    noise: Tensor | None = None,
    grid: tuple[int, int] | None = None,
    backend: str = 'auto',
) -> TokenSelection:
    """Score all tokens and take the k most important ones, in descending order of importance.

    The order matters: it is the order in which the tokens are scanned. Of equal importance the
    lower index comes first. Tokens whose importance underflows to zero come last: on a GPU the
    lower index first, on the CPU in the order of the published implementation, torch.topk's.
    Scores, importance and means are computed in float32 at least, autocast or not.
    Gradients flow through the tokens, the importance and the means, not through the choice.

    Args:
        tokens: (B, L, C).
        weight: (C), the scorer w; the scores are ``tokens @ w``.
        k: How many tokens to take, 1 <= k <= L.
        noise: (B, L), added to the scores for the choice only; the importance is free of it.
        grid: Height and width of the grid whose rows the sequence holds one after another, to have
            their means, L = H * W.
        backend: 'auto', 'triton', 'cpu', 'eager' or 'naive' (the float64 oracle, for tests).

    Raises:
        ValueError: A shape, k or the backend does not fit; the message names it.
        RuntimeError: The backend that was asked for cannot run on these tensors.
    """
    if tokens.dim() != 3:
        raise ValueError(f'tokens have shape {tuple(tokens.shape)}; need (B, L, C)')
    n_batch, length, n_channels = tokens.shape
    if tuple(weight.shape) != (n_channels,):
        raise ValueError(f'weight has shape {tuple(weight.shape)}; the tokens need ({n_channels},)')
    if not 1 <= k <= length:
        raise ValueError(f'k is {k}; of {length} tokens 1 to {length} can be selected')
    if noise is not None and tuple(noise.shape) != (n_batch, length):
        raise ValueError(
            f'noise has shape {tuple(noise.shape)}; the tokens need {(n_batch, length)}'
        )
    if grid is not None and (min(grid) < 1 or grid[0] * grid[1] != length):
        raise ValueError(f'grid is {tuple(grid)}; its H * W must be the {length} tokens')
    check_device('token_select', tokens, weight, noise)
    noise = None if noise is None else noise.detach()
    function = choose('token_select', SELECT_BACKENDS, backend, tokens, weight)
    return TokenSelection(*function(tokens, weight, k, noise, grid))


def token_update(
    tokens: Tensor,
    updated: Tensor,
    indices: Tensor,
    importance: Tensor,
    update_unselected: bool = True,
    backend: str = 'auto',
) -> Tensor:
    """Add the weighted increment.

    The result is s + w x' where a token was selected and updated to x', and s + w s elsewhere.

    Args:
        tokens: (B, L, C), the sequence s.
        updated: (B, K, C), the selected tokens after the state-space block.
        indices: (B, K) int64, their places, each at most once.
        importance: (B, L), the weights w.
        update_unselected: If False, tokens that were not selected stay as they are.
        backend: 'auto', 'triton', 'cpu', 'eager' or 'naive' (the float64 oracle, for tests).

    Returns:
        (B, L, C) in the dtype of ``tokens``.

    Raises:
        ValueError: A shape or the backend does not fit; the message names it.
        RuntimeError: The backend that was asked for cannot run on these tensors.
    """
    if tokens.dim() != 3:
        raise ValueError(f'tokens have shape {tuple(tokens.shape)}; need (B, L, C)')
    n_batch, length, n_channels = tokens.shape
    expected = {
        'updated': (updated, (n_batch, indices.shape[-1], n_channels)),
        'indices': (indices, (n_batch, indices.shape[-1])),
        'importance': (importance, (n_batch, length)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f'{name} has shape {tuple(tensor.shape)}; the tokens need {shape}')
    check_device('token_update', tokens, updated, indices, importance)
    function = choose('token_update', UPDATE_BACKENDS, backend, tokens, updated)
    return function(tokens, updated, indices, importance, update_unselected)
