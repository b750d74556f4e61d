"""Selective scan on a GPU, in parallel over chunks of the sequence: the launches of its kernels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor

from mmdynamicvis.ops.kernel_variant import KernelVariant
from mmdynamicvis.ops.selective_scan.fused import register
from mmdynamicvis.ops.selective_scan.triton_backward import (
    chunk_state_bwd_kernel,
    selective_scan_bwd_kernel,
)
from mmdynamicvis.ops.selective_scan.triton_forward import (
    chunk_state_fwd_kernel,
    selective_scan_fwd_kernel,
    state_passing_kernel,
)
from mmdynamicvis.ops.strided_rows import strided_rows

CHUNK = 64  # tokens at least
MAX_CHUNK = 512
MIN_WARPS = 4096  # 8 on each scheduler of a GPU of 132 multiprocessors
STORED = dict(STORED=8)  # tokens from one state that the backward pass stores to the next
SENDS = dict(BLOCK_D=32, GROUP=2, **STORED)  # more values per token
WARP = dict(num_warps=1)
# One channel per lane; tokens whose loads overlap; of the states, those whose decays are computed
# by products, so that special functions and issue slots take equally long.
CHANNELS = dict(BLOCK_D=32, GROUP=4, BY_PRODUCTS=2)
SINGLE = dict(BLOCK_D=32, GROUP=4, BY_PRODUCTS=0)
MERGED = dict(BLOCK_D=32, GROUP=2, BY_PRODUCTS=0)  # both directions: the registers hold fewer
# For sums over channels: P * Q channels, and tokens whose states are kept in registers
SUMS = dict(P=2, Q=8, KEPT=4, **STORED)
PASSING = dict(BLOCK_D=32, GROUP=16)  # channels, and chunks whose loads overlap


def chunk_length(n_rows: int, length: int, n_channels: int) -> int:
    """Return how many tokens a chunk has: the more, the fewer states are stored and handed on.

    A power of two, for as many warps as fill a GPU if there are so many.
    """
    n_tokens = n_rows * _ceil(n_channels, CHANNELS['BLOCK_D']) * length
    chunk = CHUNK
    while chunk < MAX_CHUNK and n_tokens >= 2 * chunk * MIN_WARPS:
        chunk *= 2
    return chunk


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _side_by_side(B: Tensor, C: Tensor) -> Tensor:
    """Return (..., 2 N) in float32, contiguous: a lane reads all states of a token, four at once.

    In a projection they are not aligned. Their copy is small beside x and dt, and one kernel makes
    it if they lie side by side there.
    """
    n_state = B.shape[-1]
    together = (
        B.untyped_storage().data_ptr() == C.untyped_storage().data_ptr()
        and C.storage_offset() == B.storage_offset() + n_state
        and B.stride() == C.stride()
        and B.dtype == C.dtype
        and B.stride(-1) == 1
    )
    if together:
        both = B.as_strided((*B.shape[:-1], 2 * n_state), B.stride())
        return both.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    return torch.cat((B.float(), C.float()), dim=-1)


class _Scan:
    """The inputs of a call as the kernels take them, and its sizes; a row is a sequence."""

    def __init__(self, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average) -> None:
        *_, self.n_batch, self.length, self.n_channels = x.shape
        self.n_state = A.shape[1]
        self.n_rows = self.n_batch * (2 if direction == 'both' else 1)
        self.chunk = chunk_length(self.n_rows, self.length, self.n_channels)
        self.n_chunks = _ceil(self.length, self.chunk)
        self.first_reverse = dict(forward=self.n_rows, reverse=0, both=self.n_batch)[direction]
        self.softplus = dt_softplus
        self.x, self.stride_x = strided_rows(x)
        self.dt, self.stride_dt = strided_rows(dt)
        self.z, self.stride_z = (None, 0) if z is None else strided_rows(z)
        self.A, self.D, self.dt_bias = A, _contiguous(D), _contiguous(dt_bias)
        self.maps = _side_by_side(B, C)
        self.states = self.n_state, 1 << (self.n_state - 1).bit_length()

    def empty(self, *shape: int) -> Tensor:
        return self.x.new_empty(shape, dtype=torch.float32)

    def empty_states(self, n_chunks: int) -> Tensor:
        return self.empty(n_chunks, self.n_rows, self.n_state, self.n_channels)

    def grid(self, n_chunks: int, n_rows: int, block_d: int) -> tuple[int]:
        return (n_chunks * n_rows * _ceil(self.n_channels, block_d),)

    def pass_states(self, states: Tensor, dt_sums: Tensor, backward: bool) -> None:
        """From what each chunk leaves behind to what it is entered with, in place."""
        state_passing_kernel[self.grid(self.n_state, self.n_rows, PASSING['BLOCK_D'])](
            states,
            dt_sums,
            self.A,
            self.n_rows,
            self.n_channels,
            self.n_chunks,
            *self.A.stride(),
            self.n_state,
            PASSING['BLOCK_D'],
            PASSING['GROUP'],
            backward,
            **WARP,
        )


def _forward(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    scan = _Scan(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    y = x.new_empty(x.shape[1:] if average else x.shape)
    states = scan.empty_states(scan.n_chunks)
    merged, tile = (2, MERGED) if average else (1, SINGLE)
    with torch.cuda.device_of(x):
        if scan.n_chunks == 1:  # nobody needs what the last one leaves behind
            states.zero_()
        else:
            dt_sums = scan.empty(scan.n_chunks, scan.n_rows, scan.n_channels)
            chunk_state_fwd_kernel[scan.grid(scan.n_chunks - 1, scan.n_rows, CHANNELS['BLOCK_D'])](
                scan.x,
                scan.dt,
                A,
                scan.dt_bias,
                scan.maps,
                states,
                dt_sums,
                scan.length,
                scan.chunk,
                scan.n_rows,
                scan.n_channels,
                scan.first_reverse,
                scan.stride_x,
                scan.stride_dt,
                *A.stride(),
                *scan.states,
                *CHANNELS.values(),
                dt_softplus,
                **WARP,
            )
            scan.pass_states(states, dt_sums, backward=False)
        selective_scan_fwd_kernel[scan.grid(scan.n_chunks, scan.n_rows // merged, tile['BLOCK_D'])](
            scan.x,
            scan.dt,
            A,
            scan.dt_bias,
            scan.maps,
            scan.D,
            scan.z,
            states,
            scan.empty(*x.shape) if average else None,
            y,
            scan.length,
            scan.chunk,
            scan.n_rows,
            scan.n_channels,
            scan.n_batch,
            scan.first_reverse,
            scan.stride_x,
            scan.stride_dt,
            scan.stride_z,
            *A.stride(),
            *scan.states,
            tile['BLOCK_D'],
            tile['GROUP'],
            merged,
            tile['BY_PRODUCTS'],
            dt_softplus,
            num_warps=merged,
        )
    return y, states


def _backward(dy, states, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    scan = _Scan(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    dy, stride_dy = strided_rows(dy)
    n_chunks, n_rows, n_channels = scan.n_chunks, scan.n_rows, scan.n_channels
    grads = scan.empty_states(n_chunks)
    before = scan.empty_states(n_chunks * (scan.chunk // STORED['STORED']))
    dt_sums, dD, ddt_bias = scan.empty(3, n_chunks, n_rows, n_channels)
    dx, ddt = scan.empty(2, *x.shape)
    dz = None if z is None else scan.empty(n_rows // scan.n_batch, *z.shape)
    block_d = SUMS['P'] * SUMS['Q']
    n_sums = _ceil(n_channels, block_d)
    dB, dC = scan.empty(2, n_sums, *B.shape)
    with torch.cuda.device_of(x):
        chunk_state_bwd_kernel[scan.grid(n_chunks, n_rows, SENDS['BLOCK_D'])](
            dy,
            scan.x,
            scan.dt,
            A,
            scan.maps,
            scan.D,
            scan.z,
            scan.dt_bias,
            states,
            grads,
            dt_sums,
            before,
            ddt,
            dx,
            dz,
            None if D is None else dD,
            0.5 if average else 1.0,
            scan.length,
            scan.chunk,
            n_rows,
            n_channels,
            scan.n_batch,
            scan.n_batch if average else n_rows,
            scan.first_reverse,
            stride_dy,
            scan.stride_x,
            scan.stride_dt,
            scan.stride_z,
            *A.stride(),
            *scan.states,
            SENDS['BLOCK_D'],
            SENDS['GROUP'],
            SENDS['STORED'],
            dt_softplus,
            **WARP,
        )
        scan.pass_states(grads, dt_sums, backward=True)
        selective_scan_bwd_kernel[scan.grid(n_chunks, n_rows, block_d)](
            scan.x,
            scan.dt,
            A,
            scan.maps,
            scan.D,
            scan.dt_bias,
            grads,
            before,
            dx,
            ddt,
            dB,
            dC,
            None if dt_bias is None else ddt_bias,
            scan.length,
            scan.chunk,
            n_rows,
            n_channels,
            scan.first_reverse,
            scan.stride_x,
            scan.stride_dt,
            *A.stride(),
            *scan.states,
            SUMS['P'],
            SUMS['Q'],
            SUMS['KEPT'],
            SUMS['STORED'],
            dt_softplus,
            **WARP,
        )
    none = x.new_empty(0)
    return [
        dx.to(x.dtype, copy=True),
        ddt.to(dt.dtype, copy=True),
        grads.sum((0, 1)).t().contiguous().to(A.dtype),
        dB.sum(0).to(B.dtype),
        dC.sum(0).to(C.dtype),
        none if D is None else dD.sum((0, 1)).to(D.dtype),
        none.clone() if z is None else dz.sum(0).to(z.dtype),
        none.clone() if dt_bias is None else ddt_bias.sum((0, 1)).to(dt_bias.dtype),
    ]


selective_scan = register('triton', _forward, _backward, chunk_length)


def variants() -> Iterator[KernelVariant]:
    """Yield the variants of the base and the large model, in float32 and in bfloat16."""
    tile = dict(N=16, BLOCK_N=16, SOFTPLUS=True)
    for backward in (False, True):
        yield _variant(state_passing_kernel, 'fp32', dict(N=16, BACKWARD=backward, **PASSING))
    for tokens in ('fp32', 'bf16'):
        yield _variant(chunk_state_fwd_kernel, tokens, dict(tile, **CHANNELS))
        yield _variant(chunk_state_bwd_kernel, tokens, dict(tile, **SENDS))
        yield _variant(selective_scan_bwd_kernel, tokens, dict(tile, **SUMS))
    for tokens, merged in product(('fp32', 'bf16'), (1, 2)):
        constants = dict(tile, **(SINGLE if merged == 1 else MERGED), K=merged)
        if merged == 1:
            constants['p_partial'] = None
        yield _variant(selective_scan_fwd_kernel, tokens, constants, merged)


def _variant(
    kernel: Any, tokens: str, constants: dict[str, Any], num_warps: int = 1
) -> KernelVariant:
    """Tokens, also those of ``dt``, have a dtype of their own; all else is float32."""
    types = dict.fromkeys(('p_x', 'p_dt', 'p_z', 'p_dy', 'p_y'), f'*{tokens}')
    signature = {
        name: types.get(name, '*fp32' if name.startswith('p_') else 'i32')
        for name in kernel.arg_names
        if name not in constants
    }
    if 'scale' in signature:
        signature['scale'] = 'fp32'
    return KernelVariant(kernel, signature, constants, num_warps)
