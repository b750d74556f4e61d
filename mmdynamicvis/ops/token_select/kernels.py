"""Triton kernels of the token selection.

A program takes a tile of BLOCK_L tokens, BLOCK_C channels at a time; the loop over the channels is
unrolled, so that the loads of all of them are in flight together. Where rows of the grid matter,
a row of W tokens is cut into segments of BLOCK_L tokens and a program takes one; without a grid,
the sequence of an image is its one row.

Tokens may be rows of a wider matrix, ``row_stride`` elements apart; all else is contiguous. Offsets
of whole tiles are int64, since B L C may exceed 2^31; those within a tile are int32.

Every sum is taken in a fixed order. The products of the scores are added with explicit fused
multiply-adds: a compiler that fuses some products and not others could round equal rows
differently, and ties would not be ties.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=['width', 'n_segments', 'n_counts'])
def token_scores_fwd_kernel(
    tokens,  # (B, L, C)
    scorer,  # (C)
    scores,  # out: (B, L)
    sums,  # out: (programs, C) or None, sums of the segments
    counts,  # out: (n_counts) or None, set to zero for those who count
    row_stride,
    width,
    n_segments,
    n_counts,
    eps,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Score a segment: one pass over the tokens."""
    i_program = tl.program_id(0)
    if counts is not None:
        for i in range(i_program * 64, n_counts, tl.num_programs(0) * 64):
            o_counts = i + tl.arange(0, 64)
            tl.store(counts + o_counts, 0, mask=o_counts < n_counts)
    i_first = (i_program % n_segments) * BLOCK_L
    i_token = (i_program // n_segments).to(tl.int64) * width + i_first
    o_L = tl.arange(0, BLOCK_L)
    m_L = o_L < width - i_first
    p_tokens = tokens + i_token * row_stride + o_L[:, None] * row_stride
    products_LC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    squares_LC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    next_LC = _load(p_tokens, m_L, 0, C, BLOCK_C)
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)
        m_C = o_C < C
        x_LC = next_LC.to(tl.float32)
        if i_channel + BLOCK_C < C:  # ahead of the sums, whose barriers no load passes
            next_LC = _load(p_tokens, m_L, i_channel + BLOCK_C, C, BLOCK_C)
        w_C = tl.load(scorer + o_C, mask=m_C, other=0).to(tl.float32)
        products_LC = tl.fma(x_LC, tl.broadcast_to(w_C[None, :], (BLOCK_L, BLOCK_C)), products_LC)
        squares_LC = tl.fma(x_LC, x_LC, squares_LC)
        if sums is not None:
            tl.store(sums + i_program.to(tl.int64) * C + o_C, tl.sum(x_LC, 0), mask=m_C)
    scores_L = tl.sum(products_LC, 1) * _inverse_rms(tl.sum(squares_LC, 1), eps, C)
    tl.store(scores + i_token + o_L, scores_L, mask=m_L)


@triton.jit
def _load(p_L1, m_L, i_channel: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr):
    """Load BLOCK_C channels of some rows; zeros where the mask is False, and beyond C."""
    o_C = i_channel + tl.arange(0, BLOCK_C)
    return tl.load(p_L1 + o_C[None, :], mask=m_L[:, None] & (o_C < C)[None, :], other=0)


@triton.jit
def _inverse_rms(squares_L, eps, C: tl.constexpr):
    return 1 / tl.sqrt(squares_L / C + eps)


@triton.jit(do_not_specialize=['n_total', 'k', 'n_means', 'length', 'width', 'n_segments'])
def token_gather_fwd_kernel(
    tokens,  # (B, L, C)
    indices,  # (B, K)
    scores,  # (B, L)
    sums,  # (B * G * segments, C) or None, as G = 0
    norm_weight,  # (C)
    kept_scores,  # out: (B, K)
    normed,  # out: (B, G + K, C)
    rows,  # out: (B, G + K, C) or None, what is normalized
    row_stride,
    n_total,  # B * (G + K)
    k,
    n_means,  # G
    length,
    width,
    n_segments,
    eps,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Normalize the means of the grid's rows, and the selected tokens, and copy their scores."""
    o_R = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    m_R = o_R < n_total
    i_image_R, i_row_R = o_R // (n_means + k), o_R % (n_means + k)
    m_mean_R = m_R & (i_row_R < n_means)
    m_token_R = m_R & (i_row_R >= n_means)
    p_indices = indices + i_image_R * k + i_row_R - n_means
    i_token_R = i_image_R.to(tl.int64) * length + tl.load(p_indices, mask=m_token_R, other=0)
    p_tokens = tokens + i_token_R[:, None] * row_stride
    i_sum_R = (i_image_R * n_means + i_row_R).to(tl.int64) * n_segments
    squares_RC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    for i_channel in tl.static_range(0, C, BLOCK_C):
        x_RC = _load(p_tokens, m_token_R, i_channel, C, BLOCK_C).to(tl.float32)
        if sums is not None:
            x_RC += _mean(sums, i_sum_R, m_mean_R, width, n_segments, i_channel, C, BLOCK_C)
        squares_RC += x_RC * x_RC
    inverse_R = _inverse_rms(tl.sum(squares_RC, 1), eps, C)
    p_out = o_R.to(tl.int64)[:, None] * C
    for i_channel in tl.static_range(0, C, BLOCK_C):  # these loads find the cache warm
        o_C = i_channel + tl.arange(0, BLOCK_C)
        x_RC = _load(p_tokens, m_token_R, i_channel, C, BLOCK_C).to(tl.float32)
        if sums is not None:
            x_RC += _mean(sums, i_sum_R, m_mean_R, width, n_segments, i_channel, C, BLOCK_C)
        m_RC = m_R[:, None] & (o_C < C)[None, :]
        if rows is not None:
            tl.store(rows + p_out + o_C[None, :], x_RC.to(rows.dtype.element_ty), mask=m_RC)
        w_C = tl.load(norm_weight + o_C, mask=o_C < C, other=0).to(tl.float32)
        y_RC = x_RC * inverse_R[:, None] * w_C[None, :]
        tl.store(normed + p_out + o_C[None, :], y_RC.to(normed.dtype.element_ty), mask=m_RC)
    score_R = tl.load(scores + i_token_R, mask=m_token_R, other=0)
    tl.store(kept_scores + i_image_R * k + i_row_R - n_means, score_R, mask=m_token_R)


@triton.jit
def _mean(
    sums,
    i_sum_R,
    m_R,
    width,
    n_segments,
    i_channel: tl.constexpr,
    C: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Add up the segments of rows of the grid."""
    x_RC = _load(sums + i_sum_R[:, None] * C, m_R, i_channel, C, BLOCK_C)
    for i_segment in range(1, n_segments):
        x_RC += _load(sums + (i_sum_R + i_segment)[:, None] * C, m_R, i_channel, C, BLOCK_C)
    return x_RC / width


@triton.jit(do_not_specialize=['n_selected', 'k', 'n_means', 'length'])
def token_ranks_fwd_kernel(
    indices,  # (B, K)
    ranks,  # out: (B, L) int32, at the selected tokens: their row among the G + K of their image
    n_selected,  # B * K
    k,
    n_means,
    length,
    BLOCK: tl.constexpr,
):
    """Invert the indices."""
    o_K = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m_K = o_K < n_selected
    i_token_K = (o_K // k).to(tl.int64) * length + tl.load(indices + o_K, mask=m_K, other=0)
    tl.store(ranks + i_token_K, n_means + o_K % k, mask=m_K)


@triton.jit(do_not_specialize=['n_total', 'k', 'n_means'])
def token_norm_bwd_kernel(
    d_normed,  # (B, G + K, C)
    d_kept_scores,  # (B, K)
    rows,  # (B, G + K, C)
    scorer,  # (C)
    norm_weight,  # (C)
    d_rows,  # out: (B, G + K, C) float32
    d_weights,  # out: (2, programs, C) of the scorer and of the norm, to be summed
    n_total,  # B * (G + K)
    k,
    n_means,
    eps,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Gradients of what was normalized."""
    i_program = tl.program_id(0)
    o_R = i_program * BLOCK_L + tl.arange(0, BLOCK_L)
    m_R = o_R < n_total
    i_image_R, i_row_R = o_R // (n_means + k), o_R % (n_means + k)
    p_scores = d_kept_scores + i_image_R * k + i_row_R - n_means
    d_score_R = tl.load(p_scores, mask=m_R & (i_row_R >= n_means), other=0)
    o_rows = o_R.to(tl.int64)[:, None] * C
    squares_RC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    products_RC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    for i_channel in tl.static_range(0, C, BLOCK_C):
        x_RC = _load(rows + o_rows, m_R, i_channel, C, BLOCK_C).to(tl.float32)
        d_RC = _load(d_normed + o_rows, m_R, i_channel, C, BLOCK_C).to(tl.float32)
        squares_RC += x_RC * x_RC
        d_RC = _d_normalized(d_RC, d_score_R, scorer, norm_weight, i_channel, C, BLOCK_C)
        products_RC += d_RC * x_RC
    inverse_R = _inverse_rms(tl.sum(squares_RC, 1), eps, C)
    mean_R = tl.sum(products_RC, 1) * inverse_R / C
    d_weights += i_program.to(tl.int64) * C
    n_programs = tl.num_programs(0).to(tl.int64)
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)
        x_RC = _load(rows + o_rows, m_R, i_channel, C, BLOCK_C).to(tl.float32)
        x_RC *= inverse_R[:, None]
        d_RC = _load(d_normed + o_rows, m_R, i_channel, C, BLOCK_C).to(tl.float32)
        tl.store(d_weights + o_C, tl.sum(d_score_R[:, None] * x_RC, 0), mask=o_C < C)
        tl.store(d_weights + n_programs * C + o_C, tl.sum(d_RC * x_RC, 0), mask=o_C < C)
        d_RC = _d_normalized(d_RC, d_score_R, scorer, norm_weight, i_channel, C, BLOCK_C)
        d_RC = inverse_R[:, None] * (d_RC - mean_R[:, None] * x_RC)
        tl.store(d_rows + o_rows + o_C[None, :], d_RC, mask=m_R[:, None] & (o_C < C)[None, :])


@triton.jit
def _d_normalized(
    d_RC,
    d_score_R,
    scorer,
    norm_weight,
    i_channel: tl.constexpr,
    C: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The gradient of x / rms(x), which score and normed token have in common."""
    o_C = i_channel + tl.arange(0, BLOCK_C)
    w_C = tl.load(scorer + o_C, mask=o_C < C, other=0).to(tl.float32)
    norm_C = tl.load(norm_weight + o_C, mask=o_C < C, other=0).to(tl.float32)
    return d_RC * norm_C[None, :] + d_score_R[:, None] * w_C[None, :]


@triton.jit(do_not_specialize=['width', 'height', 'n_segments', 'n_rows'])
def token_scatter_bwd_kernel(
    d_rows,  # (B, G + K, C) float32
    ranks,  # (B, L)
    d_tokens,  # out: (B, L, C)
    width,
    height,
    n_segments,
    n_rows,  # G + K
    HAS_MEANS: tl.constexpr,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Gradients of a segment of tokens: of selected rows, and of the mean of the grid's row."""
    i_program = tl.program_id(0)
    i_row = i_program // n_segments
    i_first = (i_program % n_segments) * BLOCK_L
    i_token = i_row.to(tl.int64) * width + i_first
    o_L = tl.arange(0, BLOCK_L)
    m_L = o_L < width - i_first
    rank_L = tl.load(ranks + i_token + o_L, mask=m_L, other=-1)
    d_rows += (i_row // height).to(tl.int64) * n_rows * C
    p_rows = d_rows + rank_L.to(tl.int64)[:, None] * C
    p_d_tokens = d_tokens + i_token * C + o_L[:, None] * C
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)
        m_C = o_C < C
        d_LC = _load(p_rows, rank_L >= 0, i_channel, C, BLOCK_C)
        if HAS_MEANS:
            d_mean_C = tl.load(d_rows + i_row % height * C + o_C, mask=m_C, other=0)
            d_LC += (d_mean_C * (1.0 / width))[None, :]
        d_LC = d_LC.to(d_tokens.dtype.element_ty)
        tl.store(p_d_tokens + o_C[None, :], d_LC, mask=m_L[:, None] & m_C[None, :])


@triton.jit(do_not_specialize=['n_selected', 'k', 'length'])
def token_update_fwd_kernel(
    tokens,  # in, out: (B, L, C)
    increment,  # (B, K, C)
    indices,  # (B, K)
    weight,  # (B, K)
    n_selected,  # B * K
    k,
    length,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Add the weighted increments to a tile of selected tokens."""
    o_K = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    m_K = o_K < n_selected
    i_token_K = (o_K // k).to(tl.int64) * length + tl.load(indices + o_K, mask=m_K, other=0)
    w_K = tl.load(weight + o_K, mask=m_K, other=0).to(tl.float32)
    p_tokens = tokens + i_token_K[:, None] * C
    p_increment = increment + o_K.to(tl.int64)[:, None] * C
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)
        s_KC = _load(p_tokens, m_K, i_channel, C, BLOCK_C).to(tl.float32)
        x_KC = _load(p_increment, m_K, i_channel, C, BLOCK_C).to(tl.float32)
        s_KC = (s_KC + w_K[:, None] * x_KC).to(tokens.dtype.element_ty)
        tl.store(p_tokens + o_C[None, :], s_KC, mask=m_K[:, None] & (o_C < C)[None, :])


@triton.jit(do_not_specialize=['n_selected', 'k', 'length'])
def token_update_bwd_kernel(
    d_tokens,  # (B, L, C)
    increment,  # (B, K, C)
    indices,  # (B, K)
    weight,  # (B, K)
    d_increment,  # out: (B, K, C)
    d_weight,  # out: (B, K)
    n_selected,  # B * K
    k,
    length,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Gradients of a tile of increments and their weights, in one pass."""
    o_K = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    m_K = o_K < n_selected
    i_token_K = (o_K // k).to(tl.int64) * length + tl.load(indices + o_K, mask=m_K, other=0)
    w_K = tl.load(weight + o_K, mask=m_K, other=0).to(tl.float32)
    p_tokens = d_tokens + i_token_K[:, None] * C
    o_increment = o_K.to(tl.int64)[:, None] * C
    products_KC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)
        d_KC = _load(p_tokens, m_K, i_channel, C, BLOCK_C).to(tl.float32)
        x_KC = _load(increment + o_increment, m_K, i_channel, C, BLOCK_C).to(tl.float32)
        products_KC += d_KC * x_KC
        d_KC = (w_K[:, None] * d_KC).to(d_increment.dtype.element_ty)
        m_KC = m_K[:, None] & (o_C < C)[None, :]
        tl.store(d_increment + o_increment + o_C[None, :], d_KC, mask=m_KC)
    tl.store(d_weight + o_K, tl.sum(products_KC, 1), mask=m_K)
