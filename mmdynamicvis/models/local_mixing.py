"""Convolution for all tokens of a stage, selected or not."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu


class LocalMixing(nn.Module):
    """Inverted bottleneck behind a depthwise convolution: x + W2 gelu(W1 norm(conv(x))).

    The block of ConvNeXt (arXiv 2201.03545) with a batch norm, 3 x 3 pixels and twice the channels.
    Tokens that no unit of a stage selects pass through nothing else but the patch mergers.

    Args:
        dim: Channels C of the tokens.
        ratio: Inner channels over C.
    """

    def __init__(self, dim: int, ratio: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        self.norm = nn.BatchNorm2d(dim)
        self.expand = nn.Linear(dim, ratio * dim)
        self.project = nn.Linear(ratio * dim, dim)

    def forward(self, tokens_BLC: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return new tokens (B, L, C) in row-major order of the grid (H, W), L = H * W."""
        x_BCHW = self.norm(self.conv(tokens_BLC.transpose(1, 2).unflatten(2, grid)))
        x_BLC = self.expand(x_BCHW.flatten(2).transpose(1, 2))
        return tokens_BLC + self.project(gelu(x_BLC))
