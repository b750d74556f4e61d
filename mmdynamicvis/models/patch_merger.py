"""Patch merger: the strided convolution at the beginning of a stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, gelu

from mmdynamicvis.models.norm import build_norm


class PatchMerger(nn.Module):
    """Strided convolution, batch norm and GELU; in the paper (table 1) convolution and layer norm.

    Args:
        in_channels: Number of channels of the map.
        embed_dim: Number of channels of the tokens.
        patch_size: Kernel size; the padding is half of it.
        stride: Stride of the convolution.
        norm_cfg: Norm over the channels of a token, for the published design; None for the default.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        patch_size: int,
        stride: int,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, embed_dim, patch_size, stride, patch_size // 2)
        # The bias keeps torch's random initialization. If it were 0, padding would give tokens that
        # are exactly 0, and each norm would multiply the gradient of such a token by hundreds.
        nn.init.kaiming_normal_(self.projection.weight, nonlinearity='linear')
        self.published = norm_cfg is not None
        self.norm = build_norm(norm_cfg, embed_dim) if norm_cfg else nn.BatchNorm2d(embed_dim)

    def use_published_design(self, norm_cfg: dict) -> None:
        """Switch to the paper's merger, with the same parameters."""
        norm = build_norm(norm_cfg, self.projection.out_channels)
        for name, _ in list(norm.named_parameters()):
            setattr(norm, name, getattr(self.norm, name))
        self.norm, self.published = norm, True

    def forward(
        self,
        x_BCHW: Tensor,
        channels: Sequence[int] | None = None,
        keep: bool = False,
        norm: nn.Module | None = None,
    ) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, L, C) in row-major order, and their grid (H, W).

        Args:
            x_BCHW: The map.
            channels: Which channels of the kernel those of the map are; None for all of them. The
                kernel is scaled by their number over that of the map's.
            keep: Keep the resolution: a 1 x 1 convolution, whose kernel is the sum over the places
                of the kernel. Where the map is constant it gives what merging gives.
            norm: Norm to use instead of the merger's.
        """
        # channels last in memory, like the tokens, so that the output needs no transposition
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
        if channels is None and not keep:
            x_BCHW = self.projection(x_BCHW)
        else:
            x_BCHW = self._project(x_BCHW, channels, keep)
        norm = self.norm if norm is None else norm
        grid = (x_BCHW.shape[2], x_BCHW.shape[3])
        if self.published:
            return norm(x_BCHW.flatten(2).transpose(1, 2)), grid
        return as_tokens(gelu(norm(x_BCHW))), grid

    def _project(self, x_BCHW: Tensor, channels: Sequence[int] | None, keep: bool) -> Tensor:
        projection = self.projection
        weight = projection.weight
        if channels is not None:
            weight = weight[:, list(channels)] * (weight.shape[1] / len(channels))
        if keep:
            return conv2d(x_BCHW, weight.sum((2, 3), keepdim=True), projection.bias)
        return conv2d(x_BCHW, weight, projection.bias, projection.stride, projection.padding)


def as_tokens(x_BCHW: Tensor) -> Tensor:
    """Return a map, channels last in memory, as tokens (B, L, C), without a copy."""
    tokens_BLC = x_BCHW.flatten(2).transpose(1, 2)
    if torch.compiler.is_compiling():
        # with dynamic sizes, an exporter cannot prove that the tokens are contiguous
        return tokens_BLC.clone(memory_format=torch.contiguous_format)
    return tokens_BLC
