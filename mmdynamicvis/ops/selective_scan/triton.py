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

CHUNK = 64  # tokens
STORED = dict(STORED=8)  # tokens from one state that the backward pass stores to the next
SENDS = dict(BLOCK_D=32, GROUP=2, **STORED)  # more values per token
WARP = dict(num_warps=1)
CHANNELS = dict(BLOCK_D=32, GROUP=4)  # one per lane, and tokens whose loads overlap
MERGED = dict(BLOCK_D=32, GROUP=2)  # both directions in a program: the registers hold fewer
# For sums over channels: P * Q channels, and tokens whose states are kept in registers
SUMS = dict(P=2, Q=8, KEPT=4, **STORED)
PASSING = dict(BLOCK_D=32, GROUP=16)  # channels, and chunks whose loads overlap


def _states(n_state: int) -> dict[str, int]:
    """Return the constants of kernels that walk through chunks."""
    block_n = 1 << (n_state - 1).bit_length()
    return dict(N=n_state, BLOCK_N=block_n, CHUNK=CHUNK)


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


class _Scan:
    """The inputs of a call as the kernels take them, and its sizes; a row is a sequence."""

    def __init__(self, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average) -> None:
        *_, self.n_batch, self.length, self.n_channels = x.shape
        self.n_state = A.shape[1]
        self.n_rows = self.n_batch * (2 if direction == 'both' else 1)
        self.n_chunks = _ceil(self.length, CHUNK)
        x, stride_x = strided_rows(x)
        dt, stride_dt = strided_rows(dt)
        z, stride_z = (None, 0) if z is None else strided_rows(z)
        A = A.t().float().contiguous()
        self.inputs = dict(p_x=x, p_dt=dt, p_A=A, p_dt_bias=_contiguous(dt_bias))
        # A lane reads all states of a token, four at once if they are aligned. In a projection they
        # are not, and the copies are small beside x and dt.
        self.maps = dict(p_B=B.float().contiguous(), p_C=C.float().contiguous())
        self.output = dict(p_D=_contiguous(D), p_z=z, n_batch=self.n_batch, stride_z=stride_z)
        self.sizes = dict(
            length=self.length,
            n_rows=self.n_rows,
            n_channels=self.n_channels,
            first_reverse=dict(forward=self.n_rows, reverse=0, both=self.n_batch)[direction],
            stride_x=stride_x,
            stride_dt=stride_dt,
        )
        self.constants = dict(_states(self.n_state), SOFTPLUS=dt_softplus, **WARP)

    def empty(self, *shape: int) -> Tensor:
        return self.inputs['p_x'].new_empty(shape, dtype=torch.float32)

    def empty_states(self, n_chunks: int) -> Tensor:
        return self.empty(n_chunks, self.n_rows, self.n_state, self.n_channels)

    def grid(self, n_chunks: int, n_rows: int, block_d: int) -> tuple[int]:
        return (n_chunks * n_rows * _ceil(self.n_channels, block_d),)

    def pass_states(self, states: Tensor, dt_sums: Tensor, backward: bool) -> None:
        """From what each chunk leaves behind to what it is entered with, in place."""
        state_passing_kernel[self.grid(self.n_state, self.n_rows, PASSING['BLOCK_D'])](
            p_states=states,
            p_dt_sums=dt_sums,
            p_A=self.inputs['p_A'],
            n_rows=self.n_rows,
            n_channels=self.n_channels,
            n_chunks=self.n_chunks,
            N=self.n_state,
            BACKWARD=backward,
            **PASSING,
            **WARP,
        )


def _forward(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    scan = _Scan(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    y = x.new_empty(x.shape[1:] if average else x.shape)
    states = scan.empty_states(scan.n_chunks)
    dt_sums = scan.empty(scan.n_chunks, scan.n_rows, scan.n_channels)
    merged = 2 if average else 1
    with torch.cuda.device_of(x):
        if scan.n_chunks > 1:  # nobody needs what the last one leaves behind
            chunk_state_fwd_kernel[scan.grid(scan.n_chunks - 1, scan.n_rows, CHANNELS['BLOCK_D'])](
                **scan.inputs,
                p_B=scan.maps['p_B'],
                p_states=states,
                p_dt_sums=dt_sums,
                **scan.sizes,
                **scan.constants,
                **CHANNELS,
            )
        scan.pass_states(states, dt_sums, backward=False)
        selective_scan_fwd_kernel[
            scan.grid(scan.n_chunks, scan.n_rows // merged, CHANNELS['BLOCK_D'])
        ](
            **scan.inputs,
            **scan.maps,
            **scan.output,
            p_states=states,
            p_partial=scan.empty(*x.shape) if average else None,
            p_y=y,
            **scan.sizes,
            **{**scan.constants, 'num_warps': merged},
            **(MERGED if average else CHANNELS),
            K=merged,
        )
    return y, states


def _backward(dy, states, x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    scan = _Scan(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average)
    dy, stride_dy = strided_rows(dy)
    n_chunks, n_rows, n_channels = scan.n_chunks, scan.n_rows, scan.n_channels
    grads = scan.empty_states(n_chunks)
    before = scan.empty_states(n_chunks * (CHUNK // STORED['STORED']))
    dt_sums, dD, ddt_bias = (scan.empty(n_chunks, n_rows, n_channels) for _ in range(3))
    dx, ddt = scan.empty(*x.shape), scan.empty(*x.shape)
    dz = None if z is None else scan.empty(n_rows // scan.n_batch, *z.shape)
    block_d = SUMS['P'] * SUMS['Q']
    n_sums = _ceil(n_channels, block_d)
    dB, dC = (scan.empty(n_sums, *B.shape) for _ in range(2))
    with torch.cuda.device_of(x):
        chunk_state_bwd_kernel[scan.grid(n_chunks, n_rows, SENDS['BLOCK_D'])](
            p_dy=dy,
            **scan.inputs,
            **scan.maps,
            **scan.output,
            p_states=states,
            p_grads=grads,
            p_dt_sums=dt_sums,
            p_before=before,
            p_step=ddt,
            p_dout=dx,
            p_dz=dz,
            p_dD=None if D is None else dD,
            scale=0.5 if average else 1.0,
            n_dy_rows=scan.n_batch if average else n_rows,
            stride_dy=stride_dy,
            **scan.sizes,
            **scan.constants,
            **SENDS,
        )
        scan.pass_states(grads, dt_sums, backward=True)
        selective_scan_bwd_kernel[scan.grid(n_chunks, n_rows, block_d)](
            **scan.inputs,
            **scan.maps,
            p_D=scan.output['p_D'],
            p_grads=grads,
            p_before=before,
            p_dx=dx,
            p_ddt=ddt,
            p_dB=dB,
            p_dC=dC,
            p_ddt_bias=None if dt_bias is None else ddt_bias,
            **scan.sizes,
            **scan.constants,
            **SUMS,
        )
    none = x.new_empty(0)
    return [
        dx.to(x.dtype),
        ddt.to(dt.dtype),
        grads.sum((0, 1)).t().contiguous().to(A.dtype),
        dB.sum(0).to(B.dtype),
        dC.sum(0).to(C.dtype),
        none if D is None else dD.sum((0, 1)).to(D.dtype),
        none.clone() if z is None else dz.sum(0).to(z.dtype),
        none.clone() if dt_bias is None else ddt_bias.sum((0, 1)).to(dt_bias.dtype),
    ]


selective_scan = register('triton', _forward, _backward, CHUNK)


def variants() -> Iterator[KernelVariant]:
    """Yield the variants of the base and the large model, in float32 and in bfloat16."""
    tile = dict(_states(16), SOFTPLUS=True)
    for backward in (False, True):
        yield _variant(state_passing_kernel, 'fp32', dict(N=16, BACKWARD=backward, **PASSING))
    for tokens in ('fp32', 'bf16'):
        yield _variant(chunk_state_fwd_kernel, tokens, dict(tile, **CHANNELS))
        yield _variant(chunk_state_bwd_kernel, tokens, dict(tile, **SENDS))
        yield _variant(selective_scan_bwd_kernel, tokens, dict(tile, **SUMS))
    for tokens, merged in product(('fp32', 'bf16'), (1, 2)):
        constants = dict(tile, **(CHANNELS if merged == 1 else MERGED), K=merged)
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
