"""SSD scan on a GPU: Triton kernels forward; backward, the matrix products of ``eager.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mmdynamicvis.ops.fused_scan import register
from mmdynamicvis.ops.kernel_variant import KernelVariant
from mmdynamicvis.ops.ssd_scan import eager
from mmdynamicvis.ops.ssd_scan.triton_kernels import (
    chunk_scan_kernel,
    chunk_state_kernel,
    hand_on_kernel,
)
from mmdynamicvis.ops.strided_rows import strided_rows

CHUNK = 64  # tokens
EXACT_CHUNK = 32  # in float32: products in three parts take three times the registers
BLOCK_P = 64  # channels of a head at most
BLOCK_N = 64  # states at most
BLOCK_STATE = 1024
ONE_WAY = dict(num_warps=4, num_stages=1)
BOTH_WAYS = dict(num_warps=8, num_stages=1)  # the registers of four hold too little
EXACT = dict(EXACT=True, PRECISION='tf32x3')
HALF = dict(EXACT=False, PRECISION='tf32')  # which has the digits of both half precisions


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _block(size: int, largest: int) -> int:
    """Return the smallest power of two that holds a size; products need at least 16."""
    return min(largest, max(16, 1 << (size - 1).bit_length()))


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _forward(x, dt, A, B, C, D, z, dt_bias, dt_softplus, direction, average):
    *_, n_batch, length, n_channels = x.shape
    n_rows, n_heads, n_state = x.shape[:-2].numel(), A.shape[0], B.shape[-1]
    exact = x.dtype == torch.float32
    chunk = EXACT_CHUNK if exact else CHUNK
    head_dim, n_chunks = n_channels // n_heads, _ceil(length, chunk)
    first_reverse = dict(forward=n_rows, reverse=0, both=n_batch)[direction]
    (rows_x, stride_x), (rows_dt, stride_dt) = strided_rows(x), strided_rows(dt)
    (rows_B, stride_B), (rows_C, stride_C) = strided_rows(B), strided_rows(C)
    rows_z, stride_z = (None, 0) if z is None else strided_rows(z)
    block_p = _block(head_dim, BLOCK_P)
    sizes = head_dim, n_state, chunk, block_p, _block(n_state, BLOCK_N)
    precision = (EXACT if exact else HALF).values()
    steps = rows_dt, A.contiguous(), _contiguous(dt_bias)
    y = x.new_empty(x.shape[1:] if average else x.shape)
    states = x.new_empty(n_chunks, n_rows, n_heads, n_state * head_dim, dtype=torch.float32)
    exponents = states.new_empty(n_chunks, n_rows, n_heads)
    with torch.cuda.device_of(x):
        if n_chunks == 1:  # nobody needs what the last one leaves behind
            states.zero_()
        else:
            chunk_state_kernel[(n_heads, n_rows, n_chunks)](
                rows_x,
                *steps,
                rows_B,
                states,
                exponents,
                length,
                n_rows,
                n_batch,
                n_heads,
                first_reverse,
                stride_x,
                stride_dt,
                stride_B,
                *sizes,
                dt_softplus,
                *precision,
                **ONE_WAY,
            )
            numel = n_state * head_dim
            hand_on_kernel[(_ceil(numel, BLOCK_STATE), n_heads, n_rows)](
                states,
                exponents,
                n_rows,
                n_heads,
                n_chunks,
                first_reverse,
                numel,
                BLOCK_STATE,
                **ONE_WAY,
            )
        merged = 2 if average else 1
        chunk_scan_kernel[(n_heads * _ceil(head_dim, block_p), n_rows // merged, n_chunks)](
            rows_x,
            *steps,
            rows_B,
            rows_C,
            _contiguous(D),
            rows_z,
            states,
            y,
            length,
            n_rows,
            n_batch,
            n_heads,
            first_reverse,
            stride_x,
            stride_dt,
            stride_B,
            stride_C,
            stride_z,
            *sizes,
            merged,
            dt_softplus,
            *precision,
            **(BOTH_WAYS if average else ONE_WAY),
        )
    return y, x.new_empty(0, dtype=torch.float32)


def _backward(dy, _, *inputs):
    return eager.gradients(dy, *inputs)


ssd_scan = register('ssd_scan_triton', _forward, _backward, None)


def variants() -> Iterator[KernelVariant]:
    """Yield the variants of all archs, in float32 and in bfloat16."""
    yield _variant(hand_on_kernel, 'fp32', dict(NUMEL=1024, BLOCK=BLOCK_STATE), ONE_WAY)
    for tokens, chunk, precision in (('fp32', EXACT_CHUNK, EXACT), ('bf16', CHUNK, HALF)):
        tile = dict(P=64, N=16, Q=chunk, BLOCK_P=64, BLOCK_N=16, SOFTPLUS=True, **precision)
        yield _variant(chunk_state_kernel, tokens, tile, ONE_WAY)
        yield _variant(chunk_scan_kernel, tokens, dict(tile, K=1), ONE_WAY)
        yield _variant(chunk_scan_kernel, tokens, dict(tile, K=2), BOTH_WAYS)


def _variant(
    kernel: Any, tokens: str, constants: dict[str, Any], warps: dict[str, int]
) -> KernelVariant:
    """Tokens, also what is projected from them, have a dtype of their own; all else is float32."""
    types = dict.fromkeys(('p_x', 'p_dt', 'p_B', 'p_C', 'p_z', 'p_y'), f'*{tokens}')
    signature = {
        name: types.get(name, '*fp32' if name.startswith('p_') else 'i32')
        for name in kernel.arg_names
        if name not in constants
    }
    return KernelVariant(kernel, signature, constants, **warps)
