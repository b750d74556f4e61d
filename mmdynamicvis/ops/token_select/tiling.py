"""How the Triton kernels cut tokens among their programs."""

from __future__ import annotations

from torch import Tensor

RANKS_BLOCK = 1024
"""Selected tokens per program that notes their ranks."""


def token_tile(tokens_BLC: Tensor) -> dict[str, int]:
    """Return the tile of programs that go over all tokens: large, since sums are exchanged once."""
    return _tile(tokens_BLC.shape[-1], elements=4096)


def row_tile(tokens_BLC: Tensor) -> dict[str, int]:
    """Return the tile of programs that go over selected rows: small, for the registers."""
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


def ceil(numerator: int, denominator: int) -> int:
    """Divide and round up."""
    return -(-numerator // denominator)
