"""Region-aware token selection (DynamicVis, arXiv 2503.16426, equations 10 to 13).

:func:`token_select` takes the most important tokens out of a sequence; a state-space block updates
them; :func:`token_update` adds the weighted increment back to the whole sequence.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mmdynamicvis.ops.dispatch import Backend, choose
from mmdynamicvis.ops.token_select import eager, naive

SELECT_BACKENDS = (
    Backend('eager', eager.token_select),
    Backend('naive', naive.token_select),
)
UPDATE_BACKENDS = (
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


def token_select(
    tokens: Tensor,
    weight: Tensor,
    k: int,
    noise: Tensor | None = None,
    backend: str = 'auto',
) -> TokenSelection:
    """Score all tokens and take the k most important ones, in descending order of importance.

    The order matters: it is the order in which the tokens are scanned. Of equal importance the
    lower index comes first. Tokens whose importance underflows to zero come last, in an order that
    is deterministic on a device but not specified (the published implementation's, torch.topk).
    Scores and importance are computed in float32 at least, autocast or not.
    Gradients flow through the tokens and the importance, not through the choice.

    Args:
        tokens: (B, L, C).
        weight: (C), the scorer w; the scores are ``tokens @ w``.
        k: How many tokens to take, 1 <= k <= L.
        noise: (B, L), added to the scores for the choice only; the importance is free of it.
        backend: 'auto', 'eager' or 'naive' (the float64 oracle, for tests).

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
    function = choose('token_select', SELECT_BACKENDS, backend, tokens, weight)
    return TokenSelection(*function(tokens, weight, k, noise))


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
        backend: 'auto', 'eager' or 'naive' (the float64 oracle, for tests).

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
    function = choose('token_update', UPDATE_BACKENDS, backend, tokens, updated)
    return function(tokens, updated, indices, importance, update_unselected)
