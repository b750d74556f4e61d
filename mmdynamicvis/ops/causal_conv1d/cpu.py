"""Causal convolution on a CPU, both directions in one pass: the C++ kernels of ops/cpu."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from mmdynamicvis.ops.causal_conv1d.fused import register
from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.cpu.arguments import DIRECTIONS, contiguous, pointer
from mmdynamicvis.ops.strided_rows import strided_rows

MAX_WIDTH = 8


class _Convolution(ctypes.Structure):
    """The struct Convolution of causal_conv1d.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ('x', 'weight', 'bias')),
        *((name, ctypes.c_int64) for name in ('x_stride', 'n_batch', 'length', 'n_channels')),
        *(('width', ctypes.c_int64), ('first', ctypes.c_int32), ('last', ctypes.c_int32)),
    )


def unsupported(x: Tensor, weight: Tensor) -> str | None:
    """Return why the kernels cannot run on these tensors, or None if they can."""
    if weight.shape[1] > MAX_WIDTH:
        return f'the kernel is {weight.shape[1]} tokens wide, more than {MAX_WIDTH}'
    return library.unsupported(x, weight)


class _Call:
    """The tensors of one call as the kernels want them, and the struct that points to them."""

    def __init__(self, x, weight, bias, direction) -> None:
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        x, x_stride = strided_rows(x.float())
        self.tensors = x, contiguous(weight.t()), contiguous(bias)
        self.struct = _Convolution(
            *map(pointer, self.tensors),
            *(x_stride, *x.shape, weight.shape[1], *DIRECTIONS[direction]),
        )
        self.reference = ctypes.byref(self.struct)


def _forward(x, weight, bias, direction):
    call = _Call(x, weight, bias, direction)
    y = x.new_empty((2, *x.shape) if direction == 'both' else x.shape, dtype=torch.float32)
    library.load().causal_conv1d_forward(
        call.reference, ctypes.c_void_p(pointer(y)), torch.get_num_threads()
    )
    return y.to(x.dtype)


def _backward(dy, x, weight, bias, direction):
    call = _Call(x, weight, bias, direction)
    n_batch, _, n_channels = x.shape
    dy = contiguous(dy)
    dx = dy.new_empty(x.shape)
    dweight = dy.new_empty(n_batch, weight.shape[1], n_channels)
    dbias = dy.new_empty(n_batch, n_channels)
    library.load().causal_conv1d_backward(
        call.reference,
        *(ctypes.c_void_p(pointer(tensor)) for tensor in (dy, dx, dweight, dbias)),
        torch.get_num_threads(),
    )
    return [
        dx.to(x.dtype),
        dweight.sum(0).t().contiguous().to(weight.dtype),
        x.new_empty(0) if bias is None else dbias.sum(0).to(bias.dtype),
    ]


causal_conv1d = register('cpu', _forward, _backward)
