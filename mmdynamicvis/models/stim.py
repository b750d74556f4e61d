"""STIM: the selective token incremental modelling unit (DynamicVis, equations 10 to 13)."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d

from mmdynamicvis.models.mamba_mixer import MambaMixer, ScanMode
from mmdynamicvis.models.selection_noise import SelectionNoise
from mmdynamicvis.ops import TokenSelection, token_select, token_update
from mmdynamicvis.ops.token_select import SELECT_BACKENDS

GlobalPosition = Literal['head', 'mid', 'headtail', 'none']


class STIM(nn.Module):
    """Update the most important tokens of a sequence, together with global tokens.

    The kept tokens, in descending order of score, and one mean token per row of the grid go through
    ``z + mix(norm(z))``; the global tokens are dropped; the result is added back weighted with the
    importance. Without selection the unit is that block over the global tokens and all tokens.

    Args:
        dim: Channels C of the tokens.
        reduction_ratio: Share of the tokens that is dropped, in [0, 1); 0 still orders and weights
            the tokens by importance. None: no selection.
        global_tokens: ``position`` of the global tokens in the sequence, 'head', 'mid', 'headtail'
            or 'none', and their ``num``; None is one per row of the grid.
        selection_noise: Arguments of :class:`SelectionNoise`, or None for none.
        scan_mode: See :class:`MambaMixer`.
        update_unselected: Add w s to the tokens that were not selected.
        normalize_importance: Divide the importances of the selected tokens by their sum.
        drop_path_rate: Probability that an image skips the unit in training.
        backend: Backend of the ops.

    Raises:
        ValueError: An argument is out of its range; the message names it.
    """

    def __init__(
        self,
        dim: int,
        reduction_ratio: float | None,
        global_tokens: dict,
        selection_noise: dict | None,
        scan_mode: ScanMode = 'mean',
        update_unselected: bool = True,
        normalize_importance: bool = False,
        drop_path_rate: float = 0.0,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        if reduction_ratio is not None and not 0 <= reduction_ratio < 1:
            raise ValueError(
                f'reduction_ratio is {reduction_ratio}; it is the share of tokens that is dropped, '
                'in [0, 1), or None for no selection'
            )
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate is {drop_path_rate}; it must lie in [0, 1)')
        self.reduction_ratio = reduction_ratio
        self.global_position, self.num_global_tokens = _parse_global_tokens(**global_tokens)
        self.update_unselected = update_unselected
        self.normalize_importance = normalize_importance
        self.drop_path_rate = drop_path_rate
        # Where the mixer has a backend that these ops lack, like mamba_ssm, they choose their own.
        names = [candidate.name for candidate in SELECT_BACKENDS]
        self.selection_backend = backend if backend in names else 'auto'
        if reduction_ratio is not None:
            # The ratio may be a rounded fraction. In integers, an export may leave the length open.
            kept = Fraction(1 - reduction_ratio).limit_denominator(10**6)
            self._kept = kept.numerator, kept.denominator
            self.scorer = nn.Linear(dim, 1, bias=False)
            self.noise = SelectionNoise(**selection_noise) if selection_noise else None
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        self.mixer = MambaMixer(dim, scan_mode, backend=backend)

    def num_kept(self, length: int) -> int:
        """Return how many of ``length`` tokens are selected: L // r, r = 1 / (1 - ratio)."""
        numerator, denominator = self._kept
        return max(1, length * numerator // denominator)

    def forward(
        self, tokens_BLC: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, TokenSelection | None]:
        """Return the new tokens (B, L, C), and what was selected (None without selection).

        Args:
            tokens_BLC: Tokens in row-major order of the grid.
            grid: Height and width of the grid, L = H * W.
        """
        keep_B1 = self._keep(tokens_BLC)
        if self.reduction_ratio is None:
            updated_BLC = self._block(tokens_BLC, self._global_tokens(tokens_BLC, grid))
            if keep_B1 is not None:
                updated_BLC = tokens_BLC + keep_B1.unsqueeze(-1) * (updated_BLC - tokens_BLC)
            return updated_BLC, None

        noise_BL = self.noise(tokens_BLC) if self.training and self.noise is not None else None
        selection = token_select(
            tokens_BLC,
            self.scorer.weight.squeeze(0),
            self.num_kept(tokens_BLC.shape[1]),
            noise_BL,
            grid if self.global_position != 'none' and self.num_global_tokens is None else None,
            self.selection_backend,
        )
        globals_BGC = selection.row_means
        if globals_BGC is None:
            globals_BGC = self._global_tokens(tokens_BLC, grid)
        updated_BKC = self._block(selection.tokens, globals_BGC)
        weight_BL = selection.importance
        if self.normalize_importance:
            kept_BK = weight_BL.gather(1, selection.indices)
            kept_BK = kept_BK / kept_BK.sum(-1, keepdim=True)
            weight_BL = weight_BL.scatter(1, selection.indices, kept_BK)
        if keep_B1 is not None:
            weight_BL = weight_BL * keep_B1
        tokens_BLC = token_update(
            tokens_BLC,
            updated_BKC,
            selection.indices,
            weight_BL,
            self.update_unselected,
            self.selection_backend,
        )
        return tokens_BLC, selection

    def _global_tokens(self, tokens_BLC: Tensor, grid: tuple[int, int]) -> Tensor | None:
        if self.global_position == 'none':
            return None
        if self.num_global_tokens is None:
            return tokens_BLC.unflatten(1, grid).mean(2)
        pooled_BCG = adaptive_avg_pool1d(tokens_BLC.transpose(1, 2), self.num_global_tokens)
        return pooled_BCG.transpose(1, 2)

    def _block(self, tokens_BKC: Tensor, globals_BGC: Tensor | None) -> Tensor:
        """Run z + mix(norm(z)) over tokens and global tokens; return the tokens' part (B, K, C)."""
        if globals_BGC is None:
            return tokens_BKC + self.mixer(self.norm(tokens_BKC))
        n_tokens, n_globals = tokens_BKC.shape[1], globals_BGC.shape[1]
        if self.global_position == 'mid':
            middle = n_tokens // 2
            parts = [tokens_BKC[:, :middle], globals_BGC, tokens_BKC[:, middle:]]
        elif self.global_position == 'headtail':
            parts = [globals_BGC, tokens_BKC, globals_BGC]
        else:
            parts = [globals_BGC, tokens_BKC]
        z_BLC = torch.cat(parts, dim=1)
        if self.global_position == 'mid':
            z_BLC = z_BLC + self.mixer(self.norm(z_BLC))
            # The published implementation puts the global tokens before token K // 2 and drops as
            # many from (K + G) // 2 on. Its checkpoints are trained with this, so it stays.
            start = (n_tokens + n_globals) // 2
            return torch.cat([z_BLC[:, :start], z_BLC[:, start + n_globals :]], dim=1)
        kept = slice(n_globals, n_globals + n_tokens)
        return tokens_BKC + self.mixer(self.norm(z_BLC), kept)

    def _keep(self, tokens_BLC: Tensor) -> Tensor | None:
        """Stochastic depth: 0 for images that skip the unit, else 1 / (1 - rate)."""
        if not self.training or self.drop_path_rate == 0:
            return None
        keep = 1 - self.drop_path_rate
        return tokens_BLC.new_empty(len(tokens_BLC), 1).bernoulli_(keep).div_(keep)


def _parse_global_tokens(
    position: GlobalPosition = 'head', num: int | None = None
) -> tuple[GlobalPosition, int | None]:
    if position not in get_args(GlobalPosition):
        raise ValueError(
            f'global_tokens has position {position!r}; choose one of {get_args(GlobalPosition)}'
        )
    if num is not None and num < 1:
        raise ValueError(f'global_tokens has num {num}; give a positive number, or None for rows')
    return position, num
