"""STIM: the selective token incremental modeling unit (DynamicVis, section 3.3)."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, conv2d

from mmdynamicvis.models.kept import Kept
from mmdynamicvis.models.mamba_mixer import MambaMixer, ScanMode
from mmdynamicvis.models.norm import build_norm
from mmdynamicvis.models.patch_merger import as_tokens
from mmdynamicvis.models.published_rule import select_by_importance, update_by_importance
from mmdynamicvis.models.selection_noise import SelectionNoise
from mmdynamicvis.ops import token_select, token_update
from mmdynamicvis.ops.token_select import SELECT_BACKENDS

GlobalPosition = Literal['head', 'mid', 'headtail', 'none']
Selected = tuple[Tensor, Tensor, Tensor | None]

SLOPE = 0.2
"""Of the weight 1 + 0.2 tanh(score), which starts near 1 (p-MoD, arXiv 2412.04449)."""


class STIM(nn.Module):
    """Update the most important tokens of a sequence, together with global tokens.

    All tokens are scored, and the best are kept. They go through a mixer after one mean token per
    row of the grid, which is then dropped. What the mixer returns is added to them.

    =====================  ====================================  =========================
    part                   ours                                  published
    =====================  ====================================  =========================
    before all             tokens + 3 x 3 depthwise convolution  tokens
    scores of              normalized tokens                     tokens
    scanned in             raster order                          descending order of score
    added to a kept token  (1 + 0.2 tanh(score)) mix             w (token + mix)
    added to others        nothing                               w token
    =====================  ====================================  =========================

    The published rule is the paper's (equations 10 to 13), for its weights. Its w is the softmax of
    the scores of all L tokens, about 1 / L, so that a model hardly learns from the increment.
    Without selection both rules are token + mix for all tokens.

    Prompt tokens, if there are any, come first in the sequence. Each is updated to prompt + mix.

    Args:
        dim: Channels C of the tokens.
        reduction_ratio: Share of the tokens that is dropped, in [0, 1). None: no selection.
        global_tokens: ``position`` of the global tokens in the sequence, 'head', 'mid', 'headtail'
            or 'none', and their ``num``; None is one per row of the grid. A selection that is not
            the published one takes one per row at the head, or none.
        selection_noise: Arguments of :class:`SelectionNoise`, or None for none.
        scan_mode: See :class:`MambaMixer`.
        published: Be the published unit.
        update_unselected: In the published unit, add w s to the tokens that were not selected.
        normalize_importance: In the published unit, divide the importances of the selected tokens
            by their sum.
        drop_path_rate: Probability that an image skips the mixer in training.
        backend: Backend of the ops; the published rule selects in plain torch.

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
        published: bool = False,
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
        at_head = self.global_position == 'head' and self.num_global_tokens is None
        fits = published or reduction_ratio is None or at_head or self.global_position == 'none'
        if not fits:
            raise ValueError(
                f'global_tokens is {global_tokens}; one per row at the head, or none, can be '
                'selected with. Others are for published weights: published=True'
            )
        if not published and (normalize_importance or not update_unselected):
            raise ValueError(
                f'update_unselected is {update_unselected} and normalize_importance '
                f'{normalize_importance}: these are options of published=True'
            )
        self.published = published
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
        self.local = None if published else nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self._kept_kernel = Kept()
        self.norm = build_norm(dict(type='RMSNorm', eps=1e-5), dim)
        self.mixer = MambaMixer(dim, scan_mode, backend=backend)

    def train(self, mode: bool = True) -> STIM:
        """Set the mode, and compute anew what depends on parameters alone."""
        self._kept_kernel.clear()
        return super().train(mode)

    def use_published_design(self) -> None:
        """Become the published unit, with the parameters that both have in common."""
        self.local, self.published = None, True

    def num_kept(self, length: int) -> int:
        """Return how many of ``length`` tokens are selected: L // r, r = 1 / (1 - ratio)."""
        numerator, denominator = self._kept
        return max(1, length * numerator // denominator)

    def forward(
        self, tokens_BLC: Tensor, grid: tuple[int, int], prompts_BPC: Tensor | None = None
    ) -> tuple[Tensor, Selected | None, Tensor | None]:
        """Return the new tokens (B, L, C), what was selected, and the new prompts.

        Selected are the indices (B, K) int64 of the kept tokens in the order in which they were
        scanned, the scores (B, L) of all, without gradient, and those (B, K) of the kept ones, with
        it. Of the published rule these are the logarithm of the importance, and None. Without
        selection there are none of them.

        Args:
            tokens_BLC: Tokens in row-major order of the grid.
            grid: Height and width of the grid, L = H * W.
            prompts_BPC: Prompt tokens; None for none.
        """
        if self.local is not None:
            tokens_BLC = self.mix_locally(tokens_BLC, grid)
        keep_B1 = self._keep(tokens_BLC)
        if self.reduction_ratio is None:
            globals_BGC = self._global_tokens(tokens_BLC, grid)
            updated_BLC, prompts_BPC = self._block(tokens_BLC, globals_BGC, prompts_BPC, keep_B1)
            if keep_B1 is not None:
                updated_BLC = tokens_BLC + keep_B1.unsqueeze(-1) * (updated_BLC - tokens_BLC)
            return updated_BLC, None, prompts_BPC
        noise_BL = self.noise(tokens_BLC) if self.training and self.noise is not None else None
        if self.published:
            return self._published(tokens_BLC, grid, noise_BL, keep_B1, prompts_BPC)

        with_means = self.global_position != 'none'
        selection = token_select(
            tokens_BLC,
            self.scorer.weight.squeeze(0),
            self.norm.weight,
            self.num_kept(tokens_BLC.shape[1]),
            noise_BL,
            grid if with_means else None,
            self.norm.eps,
            self.selection_backend,
        )
        kept = slice(grid[0] if with_means else 0, None)
        mix_BKC, prompts_BPC = self._mix(selection.normed, kept, prompts_BPC, keep_B1)
        weight_BK = torch.rsub(selection.kept_scores.tanh(), 1, alpha=-SLOPE)  # 1 + SLOPE tanh
        if keep_B1 is not None:
            weight_BK = weight_BK * keep_B1
        # in place: nobody else has what the convolution returned
        tokens_BLC = token_update(
            tokens_BLC, mix_BKC, selection.indices, weight_BK, self.selection_backend
        )
        selected = (selection.indices, selection.scores, selection.kept_scores)
        return tokens_BLC, selected, prompts_BPC

    def mix_locally(self, tokens_BLC: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return tokens + conv(tokens), in one pass: the tokens are a weight of the kernel."""
        x_BCHW = conv2d(
            # channels last in memory, also for one image, as torch reads the strides of this
            tokens_BLC.unflatten(1, grid).permute(0, 3, 1, 2),
            self._kept_kernel(self, self._local_kernel, self.local.weight),
            self.local.bias,
            padding=1,
            groups=self.local.groups,
        )
        return as_tokens(x_BCHW)

    def _local_kernel(self) -> Tensor:
        identity = self.local.weight.new_zeros(3, 3)
        identity[1, 1] = 1
        return self.local.weight + identity

    def _published(
        self,
        tokens_BLC: Tensor,
        grid: tuple[int, int],
        noise_BL: Tensor | None,
        keep_B1: Tensor | None,
        prompts_BPC: Tensor | None,
    ) -> tuple[Tensor, Selected, Tensor | None]:
        scorer_C = self.scorer.weight.squeeze(0)
        k = self.num_kept(tokens_BLC.shape[1])
        tokens_BKC, indices_BK, importance_BL = select_by_importance(
            tokens_BLC, scorer_C, k, noise_BL
        )
        globals_BGC = self._global_tokens(tokens_BLC, grid)
        updated_BKC, prompts_BPC = self._block(tokens_BKC, globals_BGC, prompts_BPC, keep_B1)
        weight_BL = importance_BL
        if self.normalize_importance:
            kept_BK = weight_BL.gather(1, indices_BK)
            kept_BK = kept_BK / kept_BK.sum(-1, keepdim=True)
            weight_BL = weight_BL.scatter(1, indices_BK, kept_BK)
        if keep_B1 is not None:
            weight_BL = weight_BL * keep_B1
        tokens_BLC = update_by_importance(
            tokens_BLC, updated_BKC, indices_BK, weight_BL, self.update_unselected
        )
        return tokens_BLC, (indices_BK, importance_BL.detach().log(), None), prompts_BPC

    def _global_tokens(self, tokens_BLC: Tensor, grid: tuple[int, int]) -> Tensor | None:
        if self.global_position == 'none':
            return None
        if self.num_global_tokens is None:
            return tokens_BLC.unflatten(1, grid).mean(2)
        pooled_BCG = adaptive_avg_pool1d(tokens_BLC.transpose(1, 2), self.num_global_tokens)
        return pooled_BCG.transpose(1, 2)

    def _block(
        self,
        tokens_BKC: Tensor,
        globals_BGC: Tensor | None,
        prompts_BPC: Tensor | None,
        keep_B1: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run z + mix(norm(z)) over tokens and global tokens; return the tokens (B, K, C).

        The second result are the new prompts.
        """
        n_tokens, n_globals = tokens_BKC.shape[1], 0
        z_BLC, kept = tokens_BKC, slice(None)
        if globals_BGC is not None:
            n_globals = globals_BGC.shape[1]
            middle = n_tokens // 2
            parts = {
                'mid': [tokens_BKC[:, :middle], globals_BGC, tokens_BKC[:, middle:]],
                'headtail': [globals_BGC, tokens_BKC, globals_BGC],
            }.get(self.global_position, [globals_BGC, tokens_BKC])
            z_BLC, kept = torch.cat(parts, dim=1), slice(n_globals, n_globals + n_tokens)
        if n_globals and self.global_position == 'mid':
            mix_BLC, prompts_BPC = self._mix(self.norm(z_BLC), slice(None), prompts_BPC, keep_B1)
            z_BLC = z_BLC + mix_BLC
            # The published implementation puts the global tokens before token K // 2 and drops as
            # many from (K + G) // 2 on. Its checkpoints are trained with this, so it stays.
            start = (n_tokens + n_globals) // 2
            kept_BKC = torch.cat([z_BLC[:, :start], z_BLC[:, start + n_globals :]], dim=1)
            return kept_BKC, prompts_BPC
        mix_BKC, prompts_BPC = self._mix(self.norm(z_BLC), kept, prompts_BPC, keep_B1)
        return tokens_BKC + mix_BKC, prompts_BPC

    def _mix(
        self, normed_BLC: Tensor, kept: slice, prompts_BPC: Tensor | None, keep_B1: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Mix normalized tokens, after the prompts; return the kept ones and the new prompts."""
        if prompts_BPC is None:
            return self.mixer(normed_BLC, kept), None
        count = prompts_BPC.shape[1]
        first_BPC = self.norm(prompts_BPC).to(normed_BLC.dtype)
        mix_BLC = self.mixer(torch.cat([first_BPC, normed_BLC], dim=1))
        change_BPC = mix_BLC[:, :count]
        if keep_B1 is not None:
            change_BPC = change_BPC * keep_B1.unsqueeze(-1)
        return mix_BLC[:, count:][:, kept], prompts_BPC + change_BPC

    def _keep(self, tokens_BLC: Tensor) -> Tensor | None:
        """Stochastic depth: 0 for images that skip the mixer, else 1 / (1 - rate)."""
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
