"""Every variant of the Triton kernels that the base and the large model launch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from mmdynamicvis.ops.kernel_variant import KernelVariant
from mmdynamicvis.ops.token_select import kernels, top_k
from mmdynamicvis.ops.token_select.tiling import RANKS_BLOCK, row_tile, token_tile

CHANNELS = (96, 192, 384, 768, 128, 256, 512, 1024)
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}
# pointers: to the dtype of the tokens, and others
ANY, WIDE, RANK, INDEX = '*', '*fp32', '*i32', '*i64'


def variants() -> Iterator[KernelVariant]:
    """Yield them for float32 and bfloat16 tokens, in inference and in training."""
    yield _variant(kernels.token_ranks_fwd_kernel, '', [INDEX, RANK], BLOCK=RANKS_BLOCK)
    for block in top_k.BLOCKS:
        pointers, options = (
            [WIDE, INDEX],
            dict(BLOCK=block, PART=top_k.BLOCKS[0], num_warps=top_k.WARPS[block]),
        )
        yield _variant(top_k.top_k_short_kernel, '', pointers, **options)
    tiles = dict(TILE=top_k.TILE, DIGITS=top_k.DIGITS, num_warps=8)
    for i in range(3):
        yield _variant(top_k.top_k_count_kernel, '', [WIDE, RANK], PASS=i, **tiles)
    yield _variant(top_k.top_k_write_kernel, '', [WIDE, RANK, INDEX], **tiles)
    for dtype, n_channels in product(DTYPES, CHANNELS):
        yield from _of_tokens(dtype, n_channels)


def _of_tokens(dtype: str, n_channels: int) -> Iterator[KernelVariant]:
    tokens = torch.empty(0, n_channels, dtype=DTYPES[dtype])
    over_tokens, over_rows = token_tile(tokens), row_tile(tokens)
    for pooled in (0, 1):
        means = pooled and WIDE
        pointers = [ANY, WIDE, WIDE, means, pooled and RANK]
        yield _variant(kernels.token_scores_fwd_kernel, dtype, pointers, **over_tokens)
        for training in (0, 1):
            pointers = [ANY, INDEX, WIDE, means, WIDE, WIDE, ANY, training and ANY]
            yield _variant(kernels.token_gather_fwd_kernel, dtype, pointers, **over_rows)
        options = dict(over_tokens, HAS_MEANS=bool(pooled))
        yield _variant(kernels.token_scatter_bwd_kernel, dtype, [WIDE, RANK, ANY], **options)
    pointers = [ANY, WIDE, ANY, *[WIDE] * 4]
    yield _variant(kernels.token_norm_bwd_kernel, dtype, pointers, **over_rows)
    pointers = [ANY, ANY, INDEX, WIDE]
    yield _variant(kernels.token_update_fwd_kernel, dtype, pointers, **over_rows)
    pointers = [ANY, ANY, INDEX, WIDE, ANY, WIDE]
    yield _variant(kernels.token_update_bwd_kernel, dtype, pointers, **over_rows)


def _variant(kernel: Any, dtype: str, pointers: list[str | int], **constants: int) -> KernelVariant:
    """Pointers come first among the arguments, 0 for a tensor that is absent, then numbers."""
    num_warps = constants.pop('num_warps', 4)
    signature = {}
    for i, name in enumerate(name for name in kernel.arg_names if name not in constants):
        pointer = pointers[i] if i < len(pointers) else 'fp32' if name == 'eps' else 'i32'
        if pointer:
            signature[name] = f'*{dtype}' if pointer == ANY else pointer
        else:
            constants[name] = None
    return KernelVariant(kernel, signature, constants, num_warps)
