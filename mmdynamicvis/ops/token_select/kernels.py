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

LOWEST = tl.constexpr(-3.4028234663852886e38)
"""The lowest float32: minus infinity would make NaN of the difference of two of its kind."""


@triton.jit(do_not_specialize=['width', 'n_segments'])
def token_scores_fwd_kernel(
    tokens,  # (B, L, C)
    weight,  # (C)
    noise,  # (B, L) or None
    scores,  # out: (B, L)
    noisy,  # out: (B, L) or None, the scores with noise
    statistics,  # out: (2 or 4, programs), maximum and sum of exponentials of scores, and of noisy
    sums,  # out: (programs, C) or None, sums of the segments
    row_stride,
    width,
    n_segments,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Score a segment: one pass over the tokens."""
    i_program = tl.program_id(0)
    i_first = (i_program % n_segments) * BLOCK_L
    i_token = (i_program // n_segments).to(tl.int64) * width + i_first
    o_L = tl.arange(0, BLOCK_L)
    m_L = o_L < width - i_first
    p_tokens = tokens + i_token * row_stride + o_L[:, None] * row_stride
    products_LC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    next_LC = _load(p_tokens, m_L, 0, C, BLOCK_C)
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)
        m_C = o_C < C
        x_LC = next_LC.to(tl.float32)
        if i_channel + BLOCK_C < C:  # ahead of the sums, whose barriers no load passes
            next_LC = _load(p_tokens, m_L, i_channel + BLOCK_C, C, BLOCK_C)
        w_C = tl.load(weight + o_C, mask=m_C, other=0)
        products_LC = tl.fma(x_LC, tl.broadcast_to(w_C[None, :], (BLOCK_L, BLOCK_C)), products_LC)
        if sums is not None:
            tl.store(sums + i_program.to(tl.int64) * C + o_C, tl.sum(x_LC, 0), mask=m_C)
    scores_L = tl.sum(products_LC, 1)
    statistics += i_program
    _store_scores(scores + i_token + o_L, statistics, scores_L, m_L)
    if noise is not None:
        scores_L += tl.load(noise + i_token + o_L, mask=m_L, other=0)
        _store_scores(noisy + i_token + o_L, statistics + 2 * tl.num_programs(0), scores_L, m_L)


@triton.jit
def _load(p_L1, m_L, i_channel: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr):
    """Load BLOCK_C channels of some rows; zeros where the mask is False, and beyond C."""
    o_C = i_channel + tl.arange(0, BLOCK_C)
    return tl.load(p_L1 + o_C[None, :], mask=m_L[:, None] & (o_C < C)[None, :], other=0)


@triton.jit
def _store_scores(p_L, statistics, scores_L, m_L):
    tl.store(p_L, scores_L, mask=m_L)
    scores_L = tl.where(m_L, scores_L, LOWEST)
    maximum = tl.max(scores_L, 0)
    exponentials_L = tl.where(m_L, tl.exp(scores_L - maximum), 0)
    tl.store(statistics, maximum)
    tl.store(statistics + tl.num_programs(0), tl.sum(exponentials_L, 0))


@triton.jit(
    do_not_specialize=['length', 'width', 'n_parts', 'n_segments', 'n_chunks', 'n_channels']
)
def token_scores_finish_kernel(
    scores,  # in, out: (B, L), the scores become their softmax
    noisy,  # in, out: (B, L) or None, likewise
    statistics,  # (2 or 4, B * parts), see above
    sums,  # (B * parts, C) or None
    row_means,  # out: (B, H, C) or None
    length,
    width,
    n_parts,
    n_segments,
    n_chunks,
    n_channels,
    BLOCK: tl.constexpr,
):
    """Turn a chunk of scores into importance; the programs after these average rows."""
    i_block, i_image = tl.program_id(0), tl.program_id(1)
    if i_block < n_chunks:
        o_L = i_block * BLOCK + tl.arange(0, BLOCK)
        p_L = i_image.to(tl.int64) * length + o_L
        n_total = tl.num_programs(1) * n_parts
        statistics += i_image * n_parts
        _softmax(scores + p_L, o_L < length, statistics, n_parts, n_total, BLOCK)
        if noisy is not None:
            statistics += 2 * n_total
            _softmax(noisy + p_L, o_L < length, statistics, n_parts, n_total, BLOCK)
    elif sums is not None:
        o_X = (i_block - n_chunks) * BLOCK + tl.arange(0, BLOCK)  # over H and C
        i_row, i_channel = o_X // n_channels, o_X % n_channels
        n_elements = n_parts // n_segments * n_channels
        m_X = o_X < n_elements
        p_sums = sums + (i_image * n_parts + i_row * n_segments).to(tl.int64) * n_channels
        sum_X = tl.zeros((BLOCK,), tl.float32)
        for i_segment in range(0, n_segments):
            sum_X += tl.load(p_sums + i_channel + i_segment * n_channels, mask=m_X, other=0)
        p_means = row_means + i_image.to(tl.int64) * n_elements + o_X
        tl.store(p_means, (sum_X / width).to(row_means.dtype.element_ty), mask=m_X)


@triton.jit
def _softmax(p_L, m_L, statistics, n_parts, n_total, BLOCK: tl.constexpr):
    """Every program reduces the statistics of its image anew: they are few, and in the L2 cache."""
    o_P = tl.arange(0, BLOCK)
    maximum_P = tl.full((BLOCK,), LOWEST, tl.float32)
    for i_part in range(0, n_parts, BLOCK):
        m_P = o_P < n_parts - i_part
        part_P = tl.load(statistics + i_part + o_P, mask=m_P, other=LOWEST)
        maximum_P = tl.maximum(maximum_P, part_P)
    maximum = tl.max(maximum_P, 0)
    sum_P = tl.zeros((BLOCK,), tl.float32)
    for i_part in range(0, n_parts, BLOCK):
        m_P = o_P < n_parts - i_part
        part_P = tl.load(statistics + i_part + o_P, mask=m_P, other=LOWEST)
        exponentials_P = tl.load(statistics + n_total + i_part + o_P, mask=m_P, other=0)
        sum_P += exponentials_P * tl.exp(part_P - maximum)
    total = tl.sum(sum_P, 0)
    scores_L = tl.load(p_L, mask=m_L, other=LOWEST)
    tl.store(p_L, tl.exp(scores_L - maximum) / total, mask=m_L)


@triton.jit(do_not_specialize=['n_selected', 'k', 'length'])
def token_gather_fwd_kernel(
    tokens,  # (B, L, C)
    indices,  # (B, K)
    selected,  # out: (B, K, C)
    row_stride,
    n_selected,  # B * K
    k,
    length,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Copy the rows of the selected tokens."""
    o_K = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    m_K = o_K < n_selected
    i_token_K = (o_K // k).to(tl.int64) * length + tl.load(indices + o_K, mask=m_K, other=0)
    p_tokens = tokens + i_token_K[:, None] * row_stride
    p_selected = selected + o_K.to(tl.int64)[:, None] * C
    for i_channel in tl.static_range(0, C, BLOCK_C):
        x_KC = _load(p_tokens, m_K, i_channel, C, BLOCK_C)
        o_C = i_channel + tl.arange(0, BLOCK_C)
        tl.store(p_selected + o_C[None, :], x_KC, mask=m_K[:, None] & (o_C < C)[None, :])


@triton.jit(do_not_specialize=['n_selected', 'k', 'length'])
def token_ranks_fwd_kernel(
    indices,  # (B, K)
    ranks,  # out: (B, L) int32, at the selected tokens: their row among the B * K selected
    n_selected,
    k,
    length,
    BLOCK: tl.constexpr,
):
    """Invert the indices."""
    o_K = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m_K = o_K < n_selected
    i_token_K = (o_K // k).to(tl.int64) * length + tl.load(indices + o_K, mask=m_K, other=0)
    tl.store(ranks + i_token_K, o_K, mask=m_K)


@triton.jit(do_not_specialize=['length'])
def importance_dot_bwd_kernel(
    d_importance,  # (B, L)
    importance,  # (B, L)
    dots,  # out: (B, chunks)
    length,
    BLOCK: tl.constexpr,
):
    """Sum d_importance * importance over a chunk."""
    i_chunk, i_image = tl.program_id(0), tl.program_id(1)
    o_L = i_chunk * BLOCK + tl.arange(0, BLOCK)
    m_L = o_L < length
    p_L = i_image.to(tl.int64) * length + o_L
    d_L = tl.load(d_importance + p_L, mask=m_L, other=0)
    dot = tl.sum(d_L * tl.load(importance + p_L, mask=m_L, other=0), 0)
    tl.store(dots + i_image * tl.num_programs(0) + i_chunk, dot)


@triton.jit(do_not_specialize=['width', 'height', 'n_segments', 'n_chunks'])
def token_select_bwd_kernel(
    d_selected,  # (B, K, C) or None
    d_importance,  # (B, L) or None
    d_row_means,  # (B, H, C) or None
    tokens,  # (B, L, C)
    weight,  # (C)
    ranks,  # (B, L) or None, as d_selected
    importance,  # (B, L)
    dots,  # (B, chunks) or None, as d_importance
    d_tokens,  # out: (B, L, C)
    d_weights,  # out: (programs, C) or None, as d_importance: to be summed
    row_stride,
    width,
    height,
    n_segments,
    n_chunks,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_DOTS: tl.constexpr,
):
    """Gradients of a segment of tokens, in one pass: of rows, of scores, of row means."""
    i_program = tl.program_id(0)
    i_row = i_program // n_segments
    i_first = (i_program % n_segments) * BLOCK_L
    i_token = i_row.to(tl.int64) * width + i_first
    o_L = tl.arange(0, BLOCK_L)
    m_L = o_L < width - i_first
    if d_importance is not None:
        dots += i_row // height * n_chunks
        o_D = tl.arange(0, BLOCK_DOTS)
        dots_D = tl.zeros((BLOCK_DOTS,), tl.float32)
        for i_chunk in range(0, n_chunks, BLOCK_DOTS):
            dots_D += tl.load(dots + i_chunk + o_D, mask=o_D < n_chunks - i_chunk, other=0)
        d_importance_L = tl.load(d_importance + i_token + o_L, mask=m_L, other=0)
        importance_L = tl.load(importance + i_token + o_L, mask=m_L, other=0)
        d_score_L = importance_L * (d_importance_L - tl.sum(dots_D, 0))
    if d_selected is not None:
        rank_L = tl.load(ranks + i_token + o_L, mask=m_L, other=-1)
        m_selected_L = rank_L >= 0
        p_selected = d_selected + rank_L.to(tl.int64)[:, None] * C
    p_tokens = tokens + i_token * row_stride + o_L[:, None] * row_stride
    p_d_tokens = d_tokens + i_token * C + o_L[:, None] * C
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)
        m_C = o_C < C
        d_LC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
        if d_selected is not None:
            d_LC = _load(p_selected, m_selected_L, i_channel, C, BLOCK_C).to(tl.float32)
        if d_importance is not None:
            w_C = tl.load(weight + o_C, mask=m_C, other=0)
            d_LC += d_score_L[:, None] * w_C[None, :]
            x_LC = _load(p_tokens, m_L, i_channel, C, BLOCK_C).to(tl.float32)
            d_weight_C = tl.sum(d_score_L[:, None] * x_LC, 0)
            tl.store(d_weights + i_program.to(tl.int64) * C + o_C, d_weight_C, mask=m_C)
        if d_row_means is not None:
            d_mean_C = tl.load(d_row_means + i_row.to(tl.int64) * C + o_C, mask=m_C, other=0)
            d_LC += (d_mean_C.to(tl.float32) * (1.0 / width))[None, :]
        d_LC = d_LC.to(d_tokens.dtype.element_ty)
        tl.store(p_d_tokens + o_C[None, :], d_LC, mask=m_L[:, None] & m_C[None, :])


@triton.jit(do_not_specialize=['n_tokens'])
def token_update_fwd_kernel(
    tokens,  # (B, L, C)
    updated,  # (B, K, C)
    ranks,  # (B, L)
    importance,  # (B, L)
    result,  # out: (B, L, C)
    row_stride,
    n_tokens,  # B * L
    UPDATE_UNSELECTED: tl.constexpr,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Add the weighted increment to a tile of tokens."""
    i_token = tl.program_id(0).to(tl.int64) * BLOCK_L
    o_L = tl.arange(0, BLOCK_L)
    m_L = o_L < n_tokens - i_token
    rank_L = tl.load(ranks + i_token + o_L, mask=m_L, other=-1)
    importance_L = tl.load(importance + i_token + o_L, mask=m_L, other=0)
    m_selected_L = rank_L >= 0
    p_tokens = tokens + i_token * row_stride + o_L[:, None] * row_stride
    p_updated = updated + rank_L.to(tl.int64)[:, None] * C
    p_result = result + i_token * C + o_L[:, None] * C
    for i_channel in tl.static_range(0, C, BLOCK_C):
        s_LC = _load(p_tokens, m_L, i_channel, C, BLOCK_C).to(tl.float32)
        x_LC = _load(p_updated, m_selected_L, i_channel, C, BLOCK_C).to(tl.float32)
        if UPDATE_UNSELECTED:
            x_LC = tl.where(m_selected_L[:, None], x_LC, s_LC)
        result_LC = (s_LC + importance_L[:, None] * x_LC).to(result.dtype.element_ty)
        o_C = i_channel + tl.arange(0, BLOCK_C)
        tl.store(p_result + o_C[None, :], result_LC, mask=m_L[:, None] & (o_C < C)[None, :])


@triton.jit(do_not_specialize=['n_tokens'])
def token_update_bwd_kernel(
    d_result,  # (B, L, C)
    tokens,  # (B, L, C)
    updated,  # (B, K, C)
    ranks,  # (B, L)
    importance,  # (B, L)
    d_tokens,  # out: (B, L, C)
    d_updated,  # out: (B, K, C)
    d_importance,  # out: (B, L)
    row_stride,
    n_tokens,
    UPDATE_UNSELECTED: tl.constexpr,
    C: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Gradients of a tile of tokens, in one pass."""
    i_token = tl.program_id(0).to(tl.int64) * BLOCK_L
    o_L = tl.arange(0, BLOCK_L)
    m_L = o_L < n_tokens - i_token
    rank_L = tl.load(ranks + i_token + o_L, mask=m_L, other=-1)
    importance_L = tl.load(importance + i_token + o_L, mask=m_L, other=0)
    m_selected_L = rank_L >= 0
    p_tokens = tokens + i_token * row_stride + o_L[:, None] * row_stride
    o_updated = rank_L.to(tl.int64)[:, None] * C
    o_tokens = i_token * C + o_L[:, None] * C
    products_LC = tl.zeros((BLOCK_L, BLOCK_C), tl.float32)
    for i_channel in tl.static_range(0, C, BLOCK_C):
        o_C = i_channel + tl.arange(0, BLOCK_C)[None, :]
        d_LC = _load(d_result + o_tokens, m_L, i_channel, C, BLOCK_C).to(tl.float32)
        x_LC = _load(updated + o_updated, m_selected_L, i_channel, C, BLOCK_C).to(tl.float32)
        d_tokens_LC = d_LC
        if UPDATE_UNSELECTED:
            x_LC += _load(p_tokens, m_L & (rank_L < 0), i_channel, C, BLOCK_C).to(tl.float32)
            factor_L = tl.where(m_selected_L, 1.0, 1.0 + importance_L)
            d_tokens_LC = factor_L[:, None] * d_LC
        products_LC += d_LC * x_LC
        d_tokens_LC = d_tokens_LC.to(d_tokens.dtype.element_ty)
        tl.store(d_tokens + o_tokens + o_C, d_tokens_LC, mask=m_L[:, None] & (o_C < C))
        d_updated_LC = (importance_L[:, None] * d_LC).to(d_updated.dtype.element_ty)
        m_selected_LC = m_selected_L[:, None] & (o_C < C)
        tl.store(d_updated + o_updated + o_C, d_updated_LC, mask=m_selected_LC)
    tl.store(d_importance + i_token + o_L, tl.sum(products_LC, 1), mask=m_L)
