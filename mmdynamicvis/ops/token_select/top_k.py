"""Triton kernels that find the K best scores of each image, without sorting any.

Scores become unsigned integers of the same order. Up to :data:`SHORT` of them stay in the registers
of one program per image, which finds the K-th best bit by bit and writes the places of the selected
in ascending order. Of more, three kernels count digits of 11, 11 and 10 bits, each among the scores
that begin like the K-th best, and a fourth writes the places.

Of equal scores the lower index is taken, and NaN counts as the highest: what
:func:`mmdynamicvis.ops.token_select.ranking.best` returns, exactly.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor, int64

SHORT = 16384
"""Scores that one program holds."""
BLOCKS = (1024, 4096, SHORT)
"""Of programs that hold all scores."""
TILE = 4096
"""Scores per program where there are more."""
DIGITS = 2048
COUNTS = 3 * DIGITS
"""Numbers per image in which digits are counted; zero before the first kernel."""
WARPS = {1024: 4, 4096: 16, SHORT: 32}


@triton.jit
def _keys(p_scores, o_L, m_L):
    """Scores as integers of the same order; 0, less than any score's, where there is none."""
    score_L = tl.load(p_scores + o_L, mask=m_L, other=0.0)
    bits_L = tl.where(score_L == 0, 0.0, score_L).to(tl.uint32, bitcast=True)  # -0 is 0
    key_L = tl.where(bits_L >> 31 != 0, bits_L ^ 0xFFFFFFFF, bits_L | 0x80000000)
    key_L = tl.where(score_L != score_L, 0xFFFFFFFF, key_L)
    return tl.where(m_L, key_L, 0)


@triton.jit
def _write_places(p_indices, o_L, above_L, equal_L, n_above, n_equal, n_ties):
    """Write which tokens are selected: those above, and of the equal ones the first ``n_ties``.

    ``n_above`` and ``n_equal`` such tokens come before the tile.
    """
    # both counts in one scan: neither reaches 2^16
    counts_L = tl.cumsum(above_L.to(tl.int32) + (equal_L.to(tl.int32) << 16), 0)
    above_before_L = n_above + (counts_L & 0xFFFF) - above_L.to(tl.int32)
    equal_before_L = n_equal + (counts_L >> 16) - equal_L.to(tl.int32)
    m_L = above_L | (equal_L & (equal_before_L < n_ties))
    place_L = above_before_L + tl.minimum(equal_before_L, n_ties)
    tl.store(p_indices + place_L, o_L.to(tl.int64), mask=m_L)


@triton.jit(do_not_specialize=['length', 'k'])
def top_k_short_kernel(
    p_scores,  # (B, L)
    p_indices,  # out: (B, K) int64
    length,
    k,
    BLOCK: tl.constexpr,
    PART: tl.constexpr,
):
    """Select of an image whose scores one program holds."""
    i_image = tl.program_id(0).to(tl.int64)
    o_L = tl.arange(0, BLOCK)
    key_L = _keys(p_scores + i_image * length, o_L, o_L < length)
    threshold = tl.zeros([1], tl.uint32)
    bit = tl.full([1], 0x80000000, tl.uint32)
    for _ in range(32):
        raised = threshold | bit
        bit = bit >> 1
        enough = tl.sum((key_L >= raised).to(tl.int32), 0) >= k
        threshold = tl.where(enough, raised, threshold)
    n_ties = k - tl.sum((key_L > threshold).to(tl.int32), 0)
    n_above, n_equal = 0, 0
    for i in range(0, length, PART):  # part by part, which takes fewer registers
        o_P = i + tl.arange(0, PART)
        key_P = _keys(p_scores + i_image * length, o_P, o_P < length)
        above_P, equal_P = key_P > threshold, key_P == threshold
        _write_places(p_indices + i_image * k, o_P, above_P, equal_P, n_above, n_equal, n_ties)
        n_above += tl.sum(above_P.to(tl.int32), 0)
        n_equal += tl.sum(equal_P.to(tl.int32), 0)


@triton.jit
def _digit(p_counts, k, DIGITS: tl.constexpr):
    """The digit of the K-th best among counted ones, and K among those that have this digit."""
    o_D = tl.arange(0, DIGITS)
    count_D = tl.load(p_counts + o_D)
    from_D = tl.sum(count_D, 0) - tl.cumsum(count_D, 0) + count_D  # of this digit or a higher one
    digit = tl.max(tl.where(from_D >= k, o_D, 0), 0)
    return digit, k - tl.sum(tl.where(o_D > digit, count_D, 0), 0)


@triton.jit(do_not_specialize=['length', 'k', 'n_tiles'])
def top_k_count_kernel(
    p_scores,  # (B, L)
    p_counts,  # in, out: (B, 3, DIGITS) int32
    length,
    k,
    n_tiles,
    PASS: tl.constexpr,
    TILE: tl.constexpr,
    DIGITS: tl.constexpr,
):
    """Count a digit of a tile: of 11 bits, but for the last of 10."""
    i_image = (tl.program_id(0) // n_tiles).to(tl.int64)
    o_L = tl.program_id(0) % n_tiles * TILE + tl.arange(0, TILE)
    key_L = _keys(p_scores + i_image * length, o_L, o_L < length)
    p_counts += i_image * (3 * DIGITS)
    if PASS == 0:
        digit_L, m_L = key_L >> 21, o_L < length
    elif PASS == 1:
        first, _ = _digit(p_counts, k, DIGITS)
        digit_L = (key_L >> 10) & 0x7FF
        m_L = (o_L < length) & (key_L >> 21 == first.to(tl.uint32))
    else:
        first, k_left = _digit(p_counts, k, DIGITS)
        second, _ = _digit(p_counts + DIGITS, k_left, DIGITS)
        digit_L = key_L & 0x3FF
        m_L = (o_L < length) & (key_L >> 10 == (first * 2048 + second).to(tl.uint32))
    o_D = tl.arange(0, DIGITS)
    count_D = tl.histogram(tl.where(m_L, digit_L, 0).to(tl.int32), DIGITS)
    n_others = TILE - tl.sum(m_L.to(tl.int32), 0)  # they were counted as zeros
    count_D -= tl.where(o_D == 0, n_others, 0)
    tl.atomic_add(p_counts + PASS * DIGITS + o_D, count_D, mask=count_D > 0)


@triton.jit(do_not_specialize=['length', 'k', 'n_tiles'])
def top_k_write_kernel(
    p_scores,  # (B, L)
    p_counts,  # (B, 3, DIGITS) int32
    p_indices,  # out: (B, K) int64
    length,
    k,
    n_tiles,
    TILE: tl.constexpr,
    DIGITS: tl.constexpr,
):
    """Write the places of a tile, after those of the tiles before it, which are counted anew."""
    i_image = (tl.program_id(0) // n_tiles).to(tl.int64)
    i_tile = tl.program_id(0) % n_tiles
    p_counts += i_image * (3 * DIGITS)
    first, k_left = _digit(p_counts, k, DIGITS)
    second, k_left = _digit(p_counts + DIGITS, k_left, DIGITS)
    third, n_ties = _digit(p_counts + 2 * DIGITS, k_left, DIGITS)
    threshold = (first.to(tl.uint32) << 21) | (second * 1024 + third).to(tl.uint32)
    p_scores += i_image * length
    above_L = tl.zeros([TILE], tl.int32)
    equal_L = tl.zeros([TILE], tl.int32)
    for i in range(i_tile):
        o_L = i * TILE + tl.arange(0, TILE)
        key_L = _keys(p_scores, o_L, o_L < length)
        above_L += (key_L > threshold).to(tl.int32)
        equal_L += (key_L == threshold).to(tl.int32)
    n_above, n_equal = tl.sum(above_L, 0), tl.sum(equal_L, 0)
    o_L = i_tile * TILE + tl.arange(0, TILE)
    key_L = _keys(p_scores, o_L, o_L < length)
    p_indices += i_image * k
    _write_places(p_indices, o_L, key_L > threshold, key_L == threshold, n_above, n_equal, n_ties)


def top_k(scores_BL: Tensor, k: int, counts: Tensor | None) -> Tensor:
    """Return the indices (B, K) int64 of the k highest scores, ascending.

    Args:
        scores_BL: float32, contiguous.
        k: How many.
        counts: Zeros (B, COUNTS) int32 if :func:`needs_counts`; written to.
    """
    n_batch, length = scores_BL.shape
    indices_BK = scores_BL.new_empty((n_batch, k), dtype=int64)
    if not needs_counts(length):
        block = next(size for size in BLOCKS if size >= length)
        top_k_short_kernel[(n_batch,)](
            scores_BL, indices_BK, length, k, block, BLOCKS[0], num_warps=WARPS[block]
        )
        return indices_BK
    n_tiles = -(-length // TILE)
    grid = (n_batch * n_tiles,)
    for i in range(3):
        top_k_count_kernel[grid](
            scores_BL, counts, length, k, n_tiles, i, TILE, DIGITS, num_warps=8
        )
    top_k_write_kernel[grid](
        scores_BL, counts, indices_BK, length, k, n_tiles, TILE, DIGITS, num_warps=8
    )
    return indices_BK


def needs_counts(length: int) -> bool:
    """Tell whether the scores are too many for one program."""
    return length > SHORT
