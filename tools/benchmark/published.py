"""The published order of computation with the weights of a DynamicVis, as a baseline.

It computes the same values differently. Per unit, the sequence and its flip are concatenated along
the batch, and the whole mixer runs over both; the outputs are flipped back and averaged; tokens are
gathered and scattered with indices as wide as the tokens; the increment is summed from full-size
temporaries. If mamba-ssm and causal-conv1d are installed and there is a GPU, the mixer uses their
kernels, which expect channels before tokens; otherwise it uses this package's ops.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d

from mmdynamicvis.models import STIM, DynamicVis, MambaMixer
from mmdynamicvis.models.published_rule import rank
from mmdynamicvis.ops import causal_conv1d, mamba_support, selective_scan

LIMIT = 1e-4
"""Largest relative RMS difference of a float32 map from DynamicVis's."""
CHECK_SIZE = 64
CHECK_SHARPNESS = 10
"""Factor on the scorers' weights in the check, so that some tokens have a large weight."""


def kernels(device: str) -> str:
    """Return whose kernels the mixer uses: 'mamba-ssm' or 'mmdynamicvis'."""
    missing = device != 'cuda' or mamba_support.unavailable()
    return 'mmdynamicvis' if missing else 'mamba-ssm'


def _mix_on_mamba_ssm(mixer: MambaMixer, x_BLC: Tensor) -> Tensor:
    """Run the mixer forward over tokens (B, L, C), internally with channels before tokens."""
    from causal_conv1d import causal_conv1d_fn
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    x_BDL, z_BDL = torch.matmul(mixer.in_proj.weight, x_BLC.transpose(1, 2)).chunk(2, dim=1)
    weight_DW = mixer.conv1d.weight.squeeze(1)
    x_BDL = causal_conv1d_fn(x_BDL, weight_DW, mixer.conv1d.bias, activation='silu')
    projected = torch.matmul(mixer.x_proj.weight, x_BDL)
    dt, B_BNL, C_BNL = projected.split(mixer.split, dim=1)
    y_BDL = selective_scan_fn(
        x_BDL,
        torch.matmul(mixer.dt_proj.weight, dt),
        -torch.exp(mixer.A_log.float()),
        B_BNL.contiguous(),
        C_BNL.contiguous(),
        D=mixer.D.float(),
        z=z_BDL,
        delta_bias=mixer.dt_proj.bias.float(),
        delta_softplus=True,
    )
    return mixer.out_proj(y_BDL.transpose(1, 2))


def _mix_on_ours(mixer: MambaMixer, x_BLC: Tensor, backend: str) -> Tensor:
    """Run the mixer forward over tokens (B, L, C)."""
    x_BLD, z_BLD = mixer.in_proj(x_BLC).chunk(2, dim=-1)
    weight_DW = mixer.conv1d.weight.squeeze(1)
    x_BLD = causal_conv1d(x_BLD, weight_DW, mixer.conv1d.bias, backend=backend)
    dt, B_BLN, C_BLN = mixer.x_proj(x_BLD).split(mixer.split, dim=-1)
    y_BLD = selective_scan(
        x_BLD,
        torch.matmul(dt, mixer.dt_proj.weight.t()),
        -torch.exp(mixer.A_log.float()),
        B_BLN,
        C_BLN,
        D=mixer.D,
        z=z_BLD,
        dt_bias=mixer.dt_proj.bias,
        dt_softplus=True,
        backend=backend,
    )
    return mixer.out_proj(y_BLD)


class PublishedUnit(nn.Module):
    """A STIM unit computed in the published order.

    Args:
        unit: Unit with the weights and the published defaults: selection, global tokens at the
            head, the mean of both passes, the increment for all tokens.
        on: 'mamba-ssm' or 'mmdynamicvis', see :func:`kernels`.
        backend: Backend of the ops of mmdynamicvis.
        same_ties: Rank tokens by the rule of DynamicVis, which is slower than the published one but
            defines the order of ties.
    """

    def __init__(self, unit: STIM, on: str, backend: str, same_ties: bool = False) -> None:
        super().__init__()
        self.unit, self.on, self.backend, self.same_ties = unit, on, backend, same_ties
        self.train(unit.training)

    def forward(self, tokens_BLC: Tensor, grid: tuple[int, int]) -> tuple[Tensor, None]:
        """Return the new tokens (B, L, C)."""
        unit = self.unit
        globals_BGC = adaptive_avg_pool1d(tokens_BLC.transpose(1, 2), grid[0]).transpose(1, 2)
        scores_BL = unit.scorer(tokens_BLC).squeeze(-1).float()
        importance_BL1 = scores_BL.softmax(dim=1).unsqueeze(-1).to(tokens_BLC.dtype)
        chosen_BL = scores_BL.detach()
        if self.training and unit.noise is not None:
            chosen_BL = chosen_BL + unit.noise(tokens_BLC)
        k = unit.num_kept(tokens_BLC.shape[1])
        if self.same_ties:
            indices_BK = rank(chosen_BL.softmax(dim=1), k)
        else:
            indices_BK = chosen_BL.topk(k, dim=1).indices
        indices_BKC = indices_BK.unsqueeze(-1).expand(-1, -1, tokens_BLC.shape[2])

        z_BLC = torch.cat([globals_BGC, tokens_BLC.gather(1, indices_BKC)], dim=1)
        z_BLC = z_BLC + self._mix_both_ways(unit.norm(z_BLC))
        updated_BKC = z_BLC[:, grid[0] :]

        scattered_BLC = tokens_BLC.scatter(1, indices_BKC, updated_BKC)
        increment_BLC = importance_BL1 * scattered_BLC
        return tokens_BLC + increment_BLC, None

    def _mix_both_ways(self, x_BLC: Tensor) -> Tensor:
        both = torch.cat([x_BLC, x_BLC.flip(1)], dim=0)
        if self.on == 'mamba-ssm':
            both = _mix_on_mamba_ssm(self.unit.mixer, both)
        else:
            both = _mix_on_ours(self.unit.mixer, both, self.backend)
        forward, reverse = both.chunk(2, dim=0)
        return torch.stack([forward, reverse.flip(1)]).mean(0)


def published(
    model: DynamicVis, on: str, backend: str = 'auto', same_ties: bool = False
) -> DynamicVis:
    """Return a copy of a model whose units compute in the published order.

    Args:
        model: A model with the published defaults.
        on: 'mamba-ssm' or 'mmdynamicvis', see :func:`kernels`.
        backend: Backend of the ops of mmdynamicvis.
        same_ties: See :class:`PublishedUnit`.
    """
    model = copy.deepcopy(model)
    model.use_published_design()
    for stage in model.stages:
        stage.units = nn.ModuleList(
            PublishedUnit(unit, on, backend, same_ties) for unit in stage.units
        )
    return model


@contextmanager
def without_tf32() -> Iterator[None]:
    """Disable TF32 for products and convolutions on a GPU.

    TF32, cuDNN's default, has a mantissa of 10 bits, so rounding differences are thousands of times
    larger, and the ranking of tokens changes.
    """
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = False
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


@without_tf32()
@torch.no_grad()
def difference(arch: str, device: str, backend: str = 'auto', seed: int = 0) -> float:
    """Return the largest relative RMS difference between maps of both implementations, in float32.

    Both use the same rule for ties, because in some images many tokens have an importance of
    exactly zero.
    """
    torch.manual_seed(seed)
    ours = DynamicVis(arch, published=True, img_size=CHECK_SIZE, backend=backend).to(device).eval()
    for stage in ours.stages:
        for unit in stage.units:
            unit.scorer.weight.mul_(CHECK_SHARPNESS)
    theirs = published(ours, kernels(device), backend, same_ties=True)
    images = torch.randn(2, 3, CHECK_SIZE, CHECK_SIZE, device=device)
    return max(
        ((a - b).norm() / b.norm()).item()
        for a, b in zip(theirs(images), ours(images), strict=True)
    )
