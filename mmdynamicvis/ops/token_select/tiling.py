"""How the Triton kernels cut tokens among their programs."""

from __future__ import annotations

from torch import Tensor

RANKS_BLOCK = 1024
"""Selected tokens per program that notes their ranks."""
DOTS_BLOCK = 256
"""Chunks of an image whose sums a program reads at once: all, up to 1,048,576 tokens."""


def select_tile(tokens_BLC: Tensor) -> dict[str, int]:
    """Return the tile of programs that sum over tokens: large, since sums are exchanged once."""
    return _tile(tokens_BLC.shape[-1], elements=4096)


def update_tile(tokens_BLC: Tensor) -> dict[str, int]:
    """Return the tile of programs that load up to three tensors: small, for the registers."""
    return _tile(tokens_BLC.shape[-1], elements=2048)


def _tile(n_channels: int, elements: int) -> dict[str, int]:
    """Return a tile of so many elements, of which a program takes up to four in turn.

    These are at least 256 programs for every stage of an image of 2048 pixels. For the channels of
    the base model the tile divides them: 4096 elements are 3 times 32 of 96, and so on to 3 times
    256 of 768.
    """
    block_l = 128
    while block_l > 1 and block_l * n_channels > 4 * elements:
        block_l //= 2
    return dict(C=n_channels, BLOCK_L=block_l, BLOCK_C=elements // block_l)


def chunk(length: int) -> dict[str, int]:
    """Return how many scores a program takes: of long sequences more, so that programs stay few.

    Every program reads a number per segment, or per chunk, of its whole image.
    """
    block = 1024 if length <= 2**18 else 4096
    return dict(BLOCK=block, num_warps=4 if block == 1024 else 8)


def ceil(numerator: int, denominator: int) -> int:
    """Divide and round up."""
    return -(-numerator // denominator)
