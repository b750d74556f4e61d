"""Every variant of the Triton kernels that the base and the large model launch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from mmdynamicvis.ops.kernel_variant import KernelVariant
from mmdynamicvis.ops.token_select import kernels
from mmdynamicvis.ops.token_select.tiling import (
    DOTS_BLOCK,
    RANKS_BLOCK,
    chunk,
    select_tile,
    update_tile,
)

CHANNELS = (96, 192, 384, 768, 128, 256, 512, 1024)
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}
LENGTHS = (2**18, 2**20)  # one for each size of chunk
ANY, RANK, INDEX = '*', '*i32', '*i64'  # pointers: to the dtype of the tokens, and others


def variants() -> Iterator[KernelVariant]:
    """Yield them for float32 and bfloat16 tokens, in inference and in training."""
    yield _variant(kernels.token_ranks_fwd_kernel, '', [INDEX, RANK], BLOCK=RANKS_BLOCK)
    for length in LENGTHS:
        block = chunk(length)
        yield _variant(kernels.importance_dot_bwd_kernel, '', ['*fp32'] * 3, **block)
        for dtype, noise, pooled in product(DTYPES, (0, 1), (0, 1)):
            pointers = ['*fp32', noise and '*fp32', '*fp32', pooled and '*fp32', pooled and ANY]
            yield _variant(kernels.token_scores_finish_kernel, dtype, pointers, **block)
    for dtype, n_channels in product(DTYPES, CHANNELS):
        yield from _of_tokens(dtype, n_channels)


def _of_tokens(dtype: str, n_channels: int) -> Iterator[KernelVariant]:
    tokens = torch.empty(0, n_channels, dtype=DTYPES[dtype])
    block = select_tile(tokens)
    for noise, pooled in product((0, 1), (0, 1)):
        pointers = [ANY, '*fp32', noise and '*fp32', '*fp32', noise and '*fp32', '*fp32']
        pointers.append(pooled and '*fp32')
        yield _variant(kernels.token_scores_fwd_kernel, dtype, pointers, **block)
    yield _variant(kernels.token_gather_fwd_kernel, dtype, [ANY, INDEX, ANY], **block)
    for pooled in (0, 1):
        pointers = [ANY, '*fp32', pooled and ANY, ANY, '*fp32', RANK, '*fp32', '*fp32', ANY]
        block_dots = dict(block, BLOCK_DOTS=DOTS_BLOCK)
        yield _variant(kernels.token_select_bwd_kernel, dtype, [*pointers, '*fp32'], **block_dots)
    for unselected in (True, False):
        options = dict(update_tile(tokens), UPDATE_UNSELECTED=unselected)
        pointers = [ANY, ANY, RANK, '*fp32', ANY]
        yield _variant(kernels.token_update_fwd_kernel, dtype, pointers, **options)
        pointers = [ANY, ANY, ANY, RANK, '*fp32', ANY, ANY, '*fp32']
        yield _variant(kernels.token_update_bwd_kernel, dtype, pointers, **options)


def _variant(kernel: Any, dtype: str, pointers: list[str | int], **constants: int) -> KernelVariant:
    """Pointers come first among the arguments, 0 for a tensor that is absent, then int32."""
    num_warps = constants.pop('num_warps', 4)
    signature = {}
    for i, name in enumerate(name for name in kernel.arg_names if name not in constants):
        pointer = pointers[i] if i < len(pointers) else 'i32'
        if pointer:
            signature[name] = f'*{dtype}' if pointer == ANY else pointer
        else:
            constants[name] = None
    return KernelVariant(kernel, signature, constants, num_warps)
