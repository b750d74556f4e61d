"""Patch merger: the strided convolution that opens a stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdynamicvis.models.norm import build_norm


class PatchMerger(nn.Module):
    """Strided convolution, then a norm over the channels (DynamicVis, table 1).

    Args:
        in_channels: Channels of the map.
        embed_dim: Channels of the tokens.
        patch_size: Kernel size; the padding is half of it.
        stride: Stride of the convolution.
        norm_cfg: Norm of the tokens.
    """

    def __init__(
        self, in_channels: int, embed_dim: int, patch_size: int, stride: int, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, embed_dim, patch_size, stride, patch_size // 2)
        # The bias stays as torch draws it. Were it 0, padding would give tokens that are exactly 0,
        # and every norm of the model multiplies the gradient of such a token by hundreds.
        nn.init.kaiming_normal_(self.projection.weight, nonlinearity='linear')
        self.norm = build_norm(norm_cfg, embed_dim)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, L, C) in row-major order, and their grid (H, W)."""
        # channels last in memory, as the tokens are: what comes out needs no transposition
        x_BCHW = self.projection(x_BCHW.contiguous(memory_format=torch.channels_last))
        grid = (x_BCHW.shape[2], x_BCHW.shape[3])
        return self.norm(x_BCHW.flatten(2).transpose(1, 2)), grid
