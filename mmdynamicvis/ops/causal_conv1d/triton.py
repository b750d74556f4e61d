"""Causal convolution on a GPU, both directions in one pass over the tokens."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
import triton
import triton.language as tl
from torch import Tensor

from mmdynamicvis.ops.causal_conv1d.fused import register
from mmdynamicvis.ops.kernel_variant import KernelVariant
from mmdynamicvis.ops.strided_rows import strided_rows

TILE = dict(BLOCK_L=32, BLOCK_D=64)
BACKWARD_TILE = dict(BLOCK_L=16, BLOCK_D=64)  # more values per token
WARPS = dict(num_warps=4)


@triton.jit
def split_program(length, n_channels, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr):
    """Return image, tokens (L, 1), channels (D) and tile of tokens of a program."""
    n_blocks_d, n_blocks_l = tl.cdiv(n_channels, BLOCK_D), tl.cdiv(length, BLOCK_L)
    i_tile = tl.program_id(0) // n_blocks_d
    o_d = tl.program_id(0) % n_blocks_d * BLOCK_D + tl.arange(0, BLOCK_D)
    o_l = i_tile % n_blocks_l * BLOCK_L + tl.arange(0, BLOCK_L)
    return (i_tile // n_blocks_l).to(tl.int64), o_l[:, None], o_d, i_tile.to(tl.int64)


@triton.jit
def load_tokens(p_x, o_l, length, stride, o_d, m_d):
    """Tokens (L, D) of an image in float32, with zeros beyond its ends."""
    o_x = o_l.to(tl.int64) * stride + o_d[None, :]
    m_x = (o_l >= 0) & (o_l < length) & m_d[None, :]
    return tl.load(p_x + o_x, mask=m_x, other=0.0).to(tl.float32)


@triton.jit
def load_weights(p_weight, o_d, m_d, W: tl.constexpr, BLOCK_W: tl.constexpr):
    """The weights (D, W) of all taps: 16 bytes of a channel at once."""
    o_w = tl.arange(0, BLOCK_W)
    m_w = m_d[:, None] & (o_w < W)[None, :]
    p_weights = p_weight + (o_d[:, None] * W + o_w[None, :])
    return tl.load(p_weights, mask=m_w, other=0.0).to(tl.float32)


@triton.jit
def convolve(
    p_x,
    weight_DW,
    p_bias,
    o_l,
    o_d,
    m_d,
    length,
    stride_x,
    W: tl.constexpr,
    BLOCK_W: tl.constexpr,
    REVERSE: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Convolve with the tokens before, or in reverse after. The L1 cache serves all but one tap."""
    y_LD = tl.zeros([BLOCK_L, BLOCK_D], tl.float32)
    if p_bias is not None:
        y_LD += tl.load(p_bias + o_d, mask=m_d, other=0.0).to(tl.float32)[None, :]
    for i in tl.static_range(W):
        # -0.0 is left out of a sum, so that this takes one of the numbers that a lane holds
        weight_D = tl.sum(tl.where(tl.arange(0, BLOCK_W)[None, :] == i, weight_DW, -0.0), 1)
        o_tap = o_l + (W - 1 - i) if REVERSE else o_l - (W - 1 - i)
        x_LD = load_tokens(p_x, o_tap, length, stride_x, o_d, m_d)
        y_LD += weight_D[None, :] * x_LD
    return y_LD


@triton.jit(do_not_specialize=['length', 'n_batch'])
def causal_conv1d_fwd_kernel(
    p_x,
    p_weight,
    p_bias,
    p_y,
    length,
    n_channels,
    n_batch,
    stride_x,
    W: tl.constexpr,
    BLOCK_W: tl.constexpr,
    FORWARD: tl.constexpr,
    REVERSE: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Write y (K, B, L, D)."""
    i_b, o_l, o_d, _ = split_program(length, n_channels, BLOCK_L, BLOCK_D)
    m_d = o_d < n_channels
    weight_DW = load_weights(p_weight, o_d, m_d, W, BLOCK_W)
    m_LD = (o_l < length) & m_d[None, :]
    p_x += i_b * length * stride_x
    o_y = (i_b * length + o_l) * n_channels + o_d[None, :]
    for k in tl.static_range(FORWARD + REVERSE):  # the reverse direction is k == FORWARD
        y_LD = convolve(
            p_x,
            weight_DW,
            p_bias,
            o_l,
            o_d,
            m_d,
            length,
            stride_x,
            W,
            BLOCK_W,
            k == FORWARD,
            BLOCK_L,
            BLOCK_D,
        )
        o_k = k * n_batch.to(tl.int64) * length * n_channels
        tl.store(p_y + o_k + o_y, y_LD * tl.sigmoid(y_LD), mask=m_LD)


@triton.jit(do_not_specialize=['length', 'n_batch'])
def causal_conv1d_weight_bwd_kernel(
    p_dy,
    p_x,
    p_weight,
    p_bias,
    p_dsum,
    p_parts,
    length,
    n_channels,
    n_batch,
    stride_x,
    stride_dy,
    W: tl.constexpr,
    BLOCK_W: tl.constexpr,
    FORWARD: tl.constexpr,
    REVERSE: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Write the gradient ``dsum`` (K, B, L, D) of the sums before SiLU, recomputed.

    And each tile's part of the gradients of weight and bias: (tiles, W + 1, D), the bias last.
    """
    i_b, o_l, o_d, i_tile = split_program(length, n_channels, BLOCK_L, BLOCK_D)
    m_d = o_d < n_channels
    weight_DW = load_weights(p_weight, o_d, m_d, W, BLOCK_W)
    m_LD = (o_l < length) & m_d[None, :]
    p_x += i_b * length * stride_x
    o_y = (i_b * length + o_l) * n_channels + o_d[None, :]
    o_dy = (i_b * length + o_l) * stride_dy + o_d[None, :]
    p_parts += i_tile * (W + 1) * n_channels
    o_k = n_batch.to(tl.int64) * length
    dforward_LD = tl.zeros([BLOCK_L, BLOCK_D], tl.float32)
    dreverse_LD = tl.zeros([BLOCK_L, BLOCK_D], tl.float32)
    for k in tl.static_range(FORWARD + REVERSE):
        y_LD = convolve(
            p_x,
            weight_DW,
            p_bias,
            o_l,
            o_d,
            m_d,
            length,
            stride_x,
            W,
            BLOCK_W,
            k == FORWARD,
            BLOCK_L,
            BLOCK_D,
        )
        dy_LD = tl.load(p_dy + k * o_k * stride_dy + o_dy, mask=m_LD, other=0.0).to(tl.float32)
        sigmoid_LD = tl.sigmoid(y_LD)
        dsum_LD = dy_LD * sigmoid_LD * (1 + y_LD * (1 - sigmoid_LD))
        tl.store(p_dsum + k * o_k * n_channels + o_y, dsum_LD, mask=m_LD)
        if k == FORWARD:
            dreverse_LD = dsum_LD
        else:
            dforward_LD = dsum_LD
    for i in tl.static_range(W):
        dweight_D = tl.zeros([BLOCK_D], tl.float32)
        if FORWARD:
            x_LD = load_tokens(p_x, o_l - (W - 1 - i), length, stride_x, o_d, m_d)
            dweight_D += tl.sum(dforward_LD * x_LD, 0)
        if REVERSE:
            x_LD = load_tokens(p_x, o_l + (W - 1 - i), length, stride_x, o_d, m_d)
            dweight_D += tl.sum(dreverse_LD * x_LD, 0)
        tl.store(p_parts + i * n_channels + o_d, dweight_D, mask=m_d)
    tl.store(p_parts + W * n_channels + o_d, tl.sum(dforward_LD + dreverse_LD, 0), mask=m_d)


@triton.jit(do_not_specialize=['length', 'n_batch'])
def causal_conv1d_bwd_kernel(
    p_dsum,
    p_weight,
    p_dx,
    length,
    n_channels,
    n_batch,
    W: tl.constexpr,
    BLOCK_W: tl.constexpr,
    FORWARD: tl.constexpr,
    REVERSE: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Write dx (B, L, D): ``dsum``, convolved against the direction."""
    i_b, o_l, o_d, _ = split_program(length, n_channels, BLOCK_L, BLOCK_D)
    m_d = o_d < n_channels
    weight_DW = load_weights(p_weight, o_d, m_d, W, BLOCK_W)
    dx_LD = tl.zeros([BLOCK_L, BLOCK_D], tl.float32)
    for k in tl.static_range(FORWARD + REVERSE):
        p_k = p_dsum + (k * n_batch + i_b) * length * n_channels
        dx_LD += convolve(
            p_k,
            weight_DW,
            None,
            o_l,
            o_d,
            m_d,
            length,
            n_channels,
            W,
            BLOCK_W,
            k != FORWARD,
            BLOCK_L,
            BLOCK_D,
        )
    o_x = (i_b * length + o_l) * n_channels + o_d[None, :]
    tl.store(p_dx + o_x, dx_LD, mask=(o_l < length) & m_d[None, :])


def _constants(weight: Tensor, direction: str, tile: dict[str, int]) -> dict[str, int]:
    width = weight.shape[1]
    return dict(
        W=width,
        BLOCK_W=triton.next_power_of_2(width),
        FORWARD=int(direction != 'reverse'),
        REVERSE=int(direction != 'forward'),
        **tile,
    )


def _tiles(x: Tensor, tile: dict[str, int]) -> int:
    return x.shape[0] * triton.cdiv(x.shape[1], tile['BLOCK_L'])


def _grid(x: Tensor, tile: dict[str, int]) -> tuple[int]:
    return (_tiles(x, tile) * triton.cdiv(x.shape[2], tile['BLOCK_D']),)


def _forward(x, weight, bias, direction):
    n_batch, length, n_channels = x.shape
    y = x.new_empty((2, *x.shape) if direction == 'both' else x.shape)
    x, stride_x = strided_rows(x)
    with torch.cuda.device_of(x):
        causal_conv1d_fwd_kernel[_grid(x, TILE)](
            x,
            weight.contiguous(),
            None if bias is None else bias.contiguous(),
            y,
            length,
            n_channels,
            n_batch,
            stride_x,
            *_constants(weight, direction, TILE).values(),
            **WARPS,
        )
    return y


def _backward(dy, x, weight, bias, direction):
    n_batch, length, n_channels = x.shape
    x, stride_x = strided_rows(x)
    dy, stride_dy = strided_rows(dy)
    weights, width = weight.contiguous(), weight.shape[1]
    dx, dsum = x.new_empty(x.shape), x.new_empty(dy.shape)
    parts = x.new_empty(_tiles(x, BACKWARD_TILE), width + 1, n_channels, dtype=torch.float32)
    constants = _constants(weight, direction, BACKWARD_TILE).values()
    grid = _grid(x, BACKWARD_TILE)
    with torch.cuda.device_of(x):
        causal_conv1d_weight_bwd_kernel[grid](
            dy,
            x,
            weights,
            None if bias is None else bias.contiguous(),
            dsum,
            parts,
            length,
            n_channels,
            n_batch,
            stride_x,
            stride_dy,
            *constants,
            **WARPS,
        )
        causal_conv1d_bwd_kernel[grid](
            dsum, weights, dx, length, n_channels, n_batch, *constants, **WARPS
        )
    dweight = parts[:, :-1].sum(0).t().contiguous()
    return [
        dx,
        dweight.to(weight.dtype),
        x.new_empty(0) if bias is None else parts[:, -1].sum(0).to(bias.dtype),
    ]


causal_conv1d = register('triton', _forward, _backward)


def variants() -> Iterator[KernelVariant]:
    """Yield the variants of the base and the large model, in float32 and in bfloat16."""
    kernels = (causal_conv1d_fwd_kernel, causal_conv1d_weight_bwd_kernel, causal_conv1d_bwd_kernel)
    for kernel, tokens, direction in product(kernels, ('fp32', 'bf16'), ('forward', 'both')):
        tile = TILE if kernel is causal_conv1d_fwd_kernel else BACKWARD_TILE
        constants = _constants(torch.empty(0, 4), direction, tile)
        tensors = dict(p_weight='*fp32', p_bias='*fp32', p_parts='*fp32')
        signature = {
            name: tensors.get(name, f'*{tokens}' if name.startswith('p_') else 'i32')
            for name in kernel.arg_names
            if name not in constants
        }
        yield KernelVariant(kernel, signature, constants, **WARPS)
