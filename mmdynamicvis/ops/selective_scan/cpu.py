"""Selective scan on a CPU in one pass over the tokens: the C++ kernels of ops/cpu."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.cpu.arguments import DIRECTIONS, contiguous, pointer
from mmdynamicvis.ops.selective_scan.fused import register
from mmdynamicvis.ops.strided_rows import strided_rows

CHUNK = 64
MAX_STATES = 64


class _Scan(ctypes.Structure):
    """The struct Scan of selective_scan.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ('x', 'dt', 'A', 'B', 'C', 'D', 'z', 'dt_bias')),
        *((name, ctypes.c_int64) for name in ('B_stride', 'C_stride', 'z_stride')),
        *((name, ctypes.c_int64) for name in ('n_batch', 'length', 'n_channels', 'n_state')),
        *((name, ctypes.c_int32) for name in ('softplus', 'average', 'first', 'last')),
    )


class _Gradients(ctypes.Structure):
    """The struct Gradients of selective_scan.cpp."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ('dy', 'states', 'x', 'dt', 'A', 'B', 'C', 'D', 'z', 'dt_bias')
    )


def unsupported(*tensors: Tensor) -> str | None:
    """Return why the kernels cannot run on these tensors, or None if they can."""
    return too_many_states(tensors[2]) or library.unsupported(*tensors)


def too_many_states(A: Tensor) -> str | None:
    """Return why there are more states per channel than kernels hold, or None if there are not."""
    n_state = A.shape[1]
    return f'{n_state} states per channel, more than {MAX_STATES}' if n_state > MAX_STATES else None


class _Call:
    """The tensors of one call as the kernels want them: float32, with channels that lie together.

    It must outlive the call: the struct holds bare pointers.
    """

    def __init__(self, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average) -> None:
        B, B_stride = strided_rows(B.float())
        C, C_stride = strided_rows(C.float())
        z, z_stride = (None, 0) if z is None else strided_rows(z.float())
        x, dt, A, D, dt_bias = map(contiguous, (x, dt, A, D, dt_bias))
        self.tensors = x, dt, A, B, C, D, z, dt_bias
        self.struct = _Scan(
            *map(pointer, self.tensors),
            *(B_stride, C_stride, z_stride),
            *(x.shape[-3], x.shape[-2], x.shape[-1], A.shape[1]),
            *(dt_softplus, average, *DIRECTIONS[direction]),
        )
        self.n_rows = x.numel() // max(1, x.shape[-2] * x.shape[-1])
        self.reference = ctypes.byref(self.struct)


def _forward(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    call = _Call(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    n_chunks = -(-x.shape[-2] // CHUNK)
    y = x.new_empty(x.shape[1:] if average else x.shape, dtype=torch.float32)
    states = y.new_empty(n_chunks, call.n_rows, A.shape[1], x.shape[-1])
    library.load().selective_scan_forward(
        call.reference,
        ctypes.c_void_p(y.data_ptr()),
        ctypes.c_void_p(states.data_ptr()),
        torch.get_num_threads(),
    )
    return y.to(x.dtype), states


def _backward(dy, states, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    call = _Call(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    dy = dy.float().contiguous()
    n_rows, length, n_channels, n_state = call.n_rows, x.shape[-2], x.shape[-1], A.shape[1]
    # Enough blocks of channels for the threads; not so many that dB and dC of each are large. The
    # number does not depend on the threads, lest the sums do.
    groups_per_block = 1 if x.shape[-3] * n_channels < 1024 else 4
    blocks = library.load().selective_scan_channel_blocks(call.reference, groups_per_block)
    parts = [
        dy.new_empty(x.shape),
        dy.new_empty(x.shape),
        dy.new_empty(n_rows, n_state, n_channels),
        *(dy.new_empty(blocks, n_rows, length, n_state) for _ in range(2)),
        None if D is None else dy.new_empty(n_rows, n_channels),
        None if z is None else dy.new_empty(z.shape),
        None if dt_bias is None else dy.new_empty(n_rows, n_channels),
    ]
    gradients = _Gradients(*map(pointer, (dy, states, *parts)))
    library.load().selective_scan_backward(
        call.reference, ctypes.byref(gradients), groups_per_block, torch.get_num_threads()
    )
    dx, ddt, dA, dB, dC, dD, dz, ddt_bias = parts
    return [
        dx.to(x.dtype),
        ddt.to(dt.dtype),
        dA.sum(0).t().contiguous().to(A.dtype),
        dB.sum(0).view(B.shape).to(B.dtype),
        dC.sum(0).view(C.shape).to(C.dtype),
        x.new_empty(0) if D is None else dD.sum(0).to(D.dtype),
        x.new_empty(0) if z is None else dz.to(z.dtype),
        x.new_empty(0) if dt_bias is None else ddt_bias.sum(0).to(dt_bias.dtype),
    ]


selective_scan = register('cpu', _forward, _backward, lambda *_: CHUNK)
