"""Conversion of arguments for the C++ kernels."""

from __future__ import annotations

from torch import Tensor

DIRECTIONS = {'forward': (0, 0), 'reverse': (1, 1), 'both': (0, 1)}
"""First and last direction; 0 is forward, 1 is reverse."""


def pointer(tensor: Tensor | None) -> int | None:
    """Return the address of a tensor's first element; the tensor must outlive its use."""
    return None if tensor is None else tensor.data_ptr()


def contiguous(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor in float32, contiguous."""
    return None if tensor is None else tensor.float().contiguous()
