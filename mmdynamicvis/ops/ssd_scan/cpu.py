"""SSD scan on a CPU in one pass over the tokens: the C++ kernels of ops/cpu."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mmdynamicvis.ops.cpu import library
from mmdynamicvis.ops.cpu.arguments import DIRECTIONS, contiguous, pointer
from mmdynamicvis.ops.fused_scan import register
from mmdynamicvis.ops.scans import too_many_states
from mmdynamicvis.ops.strided_rows import strided_rows

CHUNK = 32


class _Scan(ctypes.Structure):
    """The struct Ssd of ssd_scan.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ('x', 'dt', 'A', 'B', 'C', 'D', 'z')),
        *((name, ctypes.c_int64) for name in ('x_stride', 'B_stride', 'C_stride', 'z_stride')),
        *((name, ctypes.c_int64) for name in ('n_batch', 'length', 'n_heads', 'head_dim')),
        ('n_state', ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ('average', 'first', 'last')),
    )


class _Gradients(ctypes.Structure):
    """The struct SsdGradients of ssd_scan.cpp."""

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ('dy', 'states', 'x', 'dt', 'A', 'B', 'C', 'D', 'z')
    )


def unsupported(*tensors: Tensor) -> str | None:
    """Return why the kernels cannot run on these tensors, or None if they can."""
    return too_many_states(tensors[3]) or library.unsupported(*tensors)


class _Call:
    """The tensors of one call as the kernels want them: float32, with channels that lie together.

    It must outlive the call: the struct holds bare pointers.
    """

    def __init__(self, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average) -> None:
        x, x_stride = strided_rows(x.float())
        B, B_stride = strided_rows(B.float())
        C, C_stride = strided_rows(C.float())
        z, z_stride = (None, 0) if z is None else strided_rows(z.float())
        self.before_softplus = dt.float() if dt_bias is None else dt.float() + dt_bias
        dt = softplus(self.before_softplus) if dt_softplus else self.before_softplus
        dt, A, D = map(contiguous, (dt, A, D))
        self.tensors = x, dt, A, B, C, D, z
        n_heads = A.shape[0]
        self.struct = _Scan(
            *map(pointer, self.tensors),
            *(x_stride, B_stride, C_stride, z_stride),
            *(x.shape[-3], x.shape[-2], n_heads, x.shape[-1] // n_heads, B.shape[-1]),
            *(average, *DIRECTIONS[direction]),
        )
        self.n_rows = x.shape[:-2].numel()
        self.reference = ctypes.byref(self.struct)


def _forward(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    call = _Call(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    n_chunks = -(-x.shape[-2] // CHUNK)
    y = A.new_empty(x.shape[1:] if average else x.shape, dtype=torch.float32)
    states = y.new_empty(n_chunks, call.n_rows, B.shape[-1], x.shape[-1])
    library.load().ssd_scan_forward(
        call.reference,
        ctypes.c_void_p(y.data_ptr()),
        ctypes.c_void_p(states.data_ptr()),
        torch.get_num_threads(),
    )
    return y.to(x.dtype), states


def _backward(dy, states, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    call = _Call(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    dy = dy.float().contiguous()
    per_head = A.shape[0], *B.shape
    n_batch = x.shape[-3]
    parts = [
        dy.new_empty(x.shape),
        dy.new_empty(dt.shape),
        dy.new_empty(n_batch, A.shape[0]),
        *(dy.new_empty(per_head) for _ in range(2)),
        None if D is None else dy.new_empty(n_batch, A.shape[0]),
        None if z is None else dy.new_empty(z.shape),
    ]
    gradients = _Gradients(*map(pointer, (dy, states, *parts)))
    library.load().ssd_scan_backward(
        call.reference, ctypes.byref(gradients), torch.get_num_threads()
    )
    dx, ddt, dA, dB, dC, dD, dz = parts
    if dt_softplus:
        ddt *= call.before_softplus.sigmoid()
    none = x.new_empty(0)
    return [
        dx.to(x.dtype),
        ddt.to(dt.dtype),
        dA.sum(0).to(A.dtype),
        dB.sum(0).to(B.dtype),
        dC.sum(0).to(C.dtype),
        none if D is None else dD.sum(0).to(D.dtype),
        none.clone() if z is None else dz.to(z.dtype),
        none.clone() if dt_bias is None else ddt.sum((0, 1)).to(dt_bias.dtype),
    ]


ssd_scan = register('ssd_scan_cpu', _forward, _backward, lambda *_: CHUNK)
