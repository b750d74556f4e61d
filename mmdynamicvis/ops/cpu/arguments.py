"""What the C++ kernels are called with: pointers, and tensors whose tokens lie evenly in memory."""

from __future__ import annotations

from torch import Tensor

DIRECTIONS = {'forward': (0, 0), 'reverse': (1, 1), 'both': (0, 1)}
"""First and last direction; 0 is forward, 1 is reverse."""


def pointer(tensor: Tensor | None) -> int | None:
    """Address of a tensor's first element; the tensor must outlive its use."""
    return None if tensor is None else tensor.data_ptr()


def contiguous(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor in float32, contiguous."""
    return None if tensor is None else tensor.float().contiguous()


def by_token(x_BLD: Tensor | None) -> Tensor | None:
    """Return the tensor in float32 with channels side by side, one stride from token to token.

    Parts of a projection, x and z of in_proj say, are like this and are not copied.
    """
    if x_BLD is None:
        return None
    x_BLD = x_BLD.float()
    evenly = x_BLD.stride(-1) == 1 and all(
        x_BLD.stride(i) == x_BLD.stride(i + 1) * x_BLD.shape[i + 1] for i in range(x_BLD.dim() - 2)
    )
    return x_BLD if evenly else x_BLD.contiguous()
