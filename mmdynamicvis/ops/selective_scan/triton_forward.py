"""Triton kernels of the forward selective scan.

The sequence is cut into chunks that run side by side, in three kernels:

1. ``chunk_state_fwd_kernel``: the state that each chunk leaves behind if it starts from zero, and
   the sum of its step sizes, which gives the decay over the chunk.
2. ``state_passing_kernel``: from these the state that each chunk is really entered with.
3. ``selective_scan_fwd_kernel``: y, from there.

This costs two exponentials per token, channel and state, which are the bottleneck (a GPU computes
16 per clock and multiprocessor); one pass over whole sequences would cost one, but has no work for
most of the GPU.

A program is one warp and 32 channels: a lane holds all states of its channel, so that sums over
states stay inside of a lane, and what is computed per channel is computed once. Tokens are taken in
groups of GROUP, so that the loads of a group overlap. Chunks are cut at the same tokens in both
directions, and counted in the order of the scan.

Triton chooses how a tile lies in a warp from the loads. So sizes and strides are not specialized:
knowing their divisors, it would give a lane several channels. And axes are ordered such that it
puts the last one over the lanes, then the first one, over warps or the lanes that are left.

A is (N, D) here. Suffixes of shapes: N states, K directions, D channels, G tokens of a group.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
SIZES = ('length', 'n_batch', 'n_rows', 'n_dy_rows', 'n_channels', 'n_chunks')
STRIDES = ('stride_x', 'stride_dt', 'stride_z', 'stride_dy')
UNSPECIALIZED = [*SIZES, *STRIDES, 'first_reverse']


@triton.jit
def take(tile, m_here, AXIS: tl.constexpr = 0):
    """Return the slice of ``tile`` along an axis where ``m_here`` holds.

    The axis lies within a lane and the mask is known to the compiler, so this costs nothing: adding
    -0.0, unlike 0.0, changes no number and is left out.
    """
    return tl.sum(tl.where(m_here, tile, -0.0), AXIS)


@triton.jit
def softplus(x):
    """log(1 + exp(x)), with a small relative error everywhere.

    log(1 + e) = 2 atanh(e / (2 + e)) keeps the digits of a small e, which log would lose.
    """
    e = tl.exp2(-tl.abs(x) * LOG2_E)
    s = e / (2 + e)
    s2 = s * s
    series = 1 / 15 + s2 * (1 / 17)
    series = 1 / 13 + s2 * series
    series = 1 / 11 + s2 * series
    series = 1 / 9 + s2 * series
    series = 1 / 7 + s2 * series
    series = 1 / 5 + s2 * series
    series = 1 / 3 + s2 * series
    return tl.maximum(x, 0.0) + 2 * s * (1 + s2 * series)


@triton.jit
def step_size(dt, bias, m_token, SOFTPLUS: tl.constexpr):
    """The step size of a token; zero for a token that does not exist: it leaves the state alone."""
    dt = dt.to(tl.float32) + bias
    if SOFTPLUS:
        dt = softplus(dt)
    return tl.where(m_token, dt, 0.0)


@triton.jit
def load_channels(p_channel, o_d, m_d):
    """A parameter per channel in float32, or zeros if there is none."""
    if p_channel is None:
        return tl.zeros_like(o_d).to(tl.float32)
    else:
        return tl.load(p_channel + o_d, mask=m_d, other=0.0).to(tl.float32)


@triton.jit
def load_map(p_map, o_token, o_n, N: tl.constexpr, BLOCK_N: tl.constexpr):
    """B or C of a token: without a mask, which costs an instruction per number, if N allows."""
    if N == BLOCK_N:
        return tl.load(p_map + o_token * N + o_n)
    else:
        return tl.load(p_map + o_token * N + o_n, mask=o_n < N, other=0.0)


@triton.jit
def split_program(n_rows, n_channels, BLOCK_D: tl.constexpr):
    """Return chunk, row and channel block: the last is the fastest, its programs share B and C."""
    n_blocks = tl.cdiv(n_channels, BLOCK_D)
    i_program = tl.program_id(0)
    i_row = i_program // n_blocks % n_rows
    return i_program // n_blocks // n_rows, i_row, i_program % n_blocks


@triton.jit
def locate(i_chunk, i_row, length, first_reverse, CHUNK: tl.constexpr):
    """Return the first token of a chunk in scan order, the step to the next, and their number."""
    reverse = i_row >= first_reverse
    i_block = tl.where(reverse, tl.cdiv(length, CHUNK) - 1 - i_chunk, i_chunk)
    start = i_block * CHUNK
    count = tl.minimum(CHUNK, length - start)
    return tl.where(reverse, start + count - 1, start), tl.where(reverse, -1, 1), count


@triton.jit(do_not_specialize=UNSPECIALIZED)
def chunk_state_fwd_kernel(
    p_x,
    p_dt,
    p_A,
    p_B,
    p_dt_bias,
    p_states,
    p_dt_sums,
    length,
    n_rows,
    n_channels,
    first_reverse,
    stride_x,
    stride_dt,
    N: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
    GROUP: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):
    """Write what chunk c leaves behind from zero to ``states[c + 1]``, and its sum of dt."""
    i_chunk, i_row, i_d = split_program(n_rows, n_channels, BLOCK_D)
    first, step, count = locate(i_chunk, i_row, length, first_reverse, CHUNK)
    o_d = i_d * BLOCK_D + tl.arange(0, BLOCK_D)
    o_n = tl.arange(0, BLOCK_N)
    o_g = tl.arange(0, GROUP)[:, None]
    m_d = o_d < n_channels
    m_ND = (o_n < N)[:, None] & m_d[None, :]
    o_ND = o_n[:, None] * n_channels + o_d[None, :]
    rate_ND = tl.load(p_A + o_ND, mask=m_ND, other=0.0) * LOG2_E
    bias_D = load_channels(p_dt_bias, o_d, m_d)
    h_ND = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    dt_sum_D = tl.zeros([BLOCK_D], tl.float32)
    for i in range(0, count, GROUP):
        o_token = i_row.to(tl.int64) * length + first + step * i
        left = count - 1 - i  # of a token that does not exist, any B does: its dt and x are zero
        m_GD = (i + o_g < count) & m_d[None, :]
        o_x = step * o_g * stride_x + o_d[None, :]
        o_dt = step * o_g * stride_dt + o_d[None, :]
        x_GD = tl.load(p_x + o_token * stride_x + o_x, mask=m_GD, other=0.0).to(tl.float32)
        dt_GD = tl.load(p_dt + o_token * stride_dt + o_dt, mask=m_GD, other=0.0)
        dt_GD = step_size(dt_GD, bias_D[None, :], m_GD, SOFTPLUS)
        u_GD = dt_GD * x_GD
        for g in tl.static_range(GROUP):
            o_map = o_token + step * tl.minimum(g, left)
            B_N = load_map(p_B, o_map, o_n, N, BLOCK_N)
            dt_D = take(dt_GD, o_g == g)
            decay_ND = tl.exp2(dt_D[None, :] * rate_ND)
            h_ND = decay_ND * h_ND + take(u_GD, o_g == g)[None, :] * B_N[:, None]
            dt_sum_D += dt_D
    o_chunk = i_chunk.to(tl.int64) * n_rows + i_row
    o_states = (o_chunk + n_rows) * N * n_channels
    tl.store(p_states + o_states + o_ND, h_ND, mask=m_ND)
    tl.store(p_dt_sums + o_chunk * n_channels + o_d, dt_sum_D, mask=m_d)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def state_passing_kernel(
    p_states,
    p_dt_sums,
    p_A,
    n_rows,
    n_channels,
    n_chunks,
    N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    GROUP: tl.constexpr,
    BACKWARD: tl.constexpr,
):
    """Turn what the neighbor of a chunk leaves behind from zero into what it really leaves.

    In place, from the first chunk to the last, or from the last to the first for the backward pass.
    A chunk without a neighbor is entered with zero; its place is not read. A program takes one
    state of its channels, and reads GROUP chunks at once.
    """
    i_n, i_row, i_d = split_program(n_rows, n_channels, BLOCK_D)
    o_d = i_d * BLOCK_D + tl.arange(0, BLOCK_D)
    o_g = tl.arange(0, GROUP)[:, None]
    m_d = o_d < n_channels
    rate_D = tl.load(p_A + i_n * n_channels + o_d, mask=m_d, other=0.0) * LOG2_E
    state_D = tl.zeros([BLOCK_D], tl.float32)
    for i in range(0, n_chunks, GROUP):
        i_step = i + o_g
        m_GD = (i_step < n_chunks) & m_d[None, :]
        m_read = m_GD & (i_step > 0)
        i_chunk = n_chunks - 1 - i_step if BACKWARD else i_step
        i_neighbor = i_chunk + 1 if BACKWARD else i_chunk - 1
        o_row = i_chunk.to(tl.int64) * n_rows + i_row
        o_neighbor = i_neighbor.to(tl.int64) * n_rows + i_row
        o_state = (o_row * N + i_n) * n_channels + o_d[None, :]
        state_GD = tl.load(p_states + o_state, mask=m_read, other=0.0)
        o_sum = o_neighbor * n_channels + o_d[None, :]
        dt_sum_GD = tl.load(p_dt_sums + o_sum, mask=m_read, other=0.0)
        decay_GD = tl.exp2(dt_sum_GD * rate_D[None, :])
        for g in tl.static_range(GROUP):
            state_D = take(decay_GD, o_g == g) * state_D + take(state_GD, o_g == g)
            state_GD = tl.where(o_g == g, state_D[None, :], state_GD)
        tl.store(p_states + o_state, state_GD, mask=m_GD)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def selective_scan_fwd_kernel(
    p_x,
    p_dt,
    p_A,
    p_B,
    p_C,
    p_D,
    p_z,
    p_dt_bias,
    p_states,
    p_partial,
    p_y,
    length,
    n_rows,
    n_channels,
    n_batch,
    first_reverse,
    stride_x,
    stride_dt,
    stride_z,
    N: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
    GROUP: tl.constexpr,
    K: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):
    """Scan a chunk from the state that it is entered with, and apply skip and gate.

    With K = 2, a program scans the same tokens in both directions, each in a warp of its own. Each
    leaves its y in ``partial`` (K * B, L, D); then both warps read these, mostly from the L2 cache,
    and write the mean.
    """
    i_block, i_row, i_d = split_program(n_rows // K, n_channels, BLOCK_D)
    row_K = i_row + n_batch * tl.arange(0, K)
    n_chunks = tl.cdiv(length, CHUNK)
    chunk_K = tl.where(row_K >= first_reverse, n_chunks - 1 - i_block, i_block)
    first_K, step_K, _ = locate(chunk_K, row_K, length, first_reverse, CHUNK)
    start = i_block * CHUNK
    count = tl.minimum(CHUNK, length - start)
    o_d = i_d * BLOCK_D + tl.arange(0, BLOCK_D)
    o_n = tl.arange(0, BLOCK_N)
    o_g = tl.arange(0, GROUP)[None, :, None]
    m_d = o_d < n_channels
    m_ND = (o_n < N)[:, None] & m_d[None, :]
    o_ND = o_n[:, None] * n_channels + o_d[None, :]
    rate_ND = tl.load(p_A + o_ND, mask=m_ND, other=0.0) * LOG2_E
    bias_D = load_channels(p_dt_bias, o_d, m_d)
    skip_D = load_channels(p_D, o_d, m_d)

    o_enter_K = (chunk_K.to(tl.int64) * n_rows + row_K) * N * n_channels
    o_KND = o_enter_K[:, None, None] + o_ND[None, :, :]
    h_KND = tl.load(p_states + o_KND, mask=m_ND[None, :, :], other=0.0)
    for i in range(0, count, GROUP):
        left = count - 1 - i
        token_K = row_K.to(tl.int64) * length + first_K + step_K * i
        token_KGD = token_K[:, None, None] + step_K[:, None, None] * o_g
        m_KGD = (o_g <= left) & m_d[None, None, :]
        o_KGD = o_d[None, None, :]
        x_KGD = tl.load(p_x + token_KGD * stride_x + o_KGD, mask=m_KGD, other=0.0).to(tl.float32)
        dt_KGD = tl.load(p_dt + token_KGD * stride_dt + o_KGD, mask=m_KGD, other=0.0)
        dt_KGD = step_size(dt_KGD, bias_D[None, None, :], m_KGD, SOFTPLUS)
        u_KGD = dt_KGD * x_KGD
        y_KGD = skip_D[None, None, :] * x_KGD
        for g in tl.static_range(GROUP):
            o_map = (token_K + step_K * tl.minimum(g, left))[:, None]
            B_KN = load_map(p_B, o_map, o_n[None, :], N, BLOCK_N)
            C_KN = load_map(p_C, o_map, o_n[None, :], N, BLOCK_N)
            dt_KD = take(dt_KGD, o_g == g, 1)
            u_KD = take(u_KGD, o_g == g, 1)
            decay_KND = tl.exp2(dt_KD[:, None, :] * rate_ND[None, :, :])
            h_KND = decay_KND * h_KND + u_KD[:, None, :] * B_KN[:, :, None]
            y_KD = tl.sum(C_KN[:, :, None] * h_KND, 1)
            y_KGD += tl.where(o_g == g, y_KD[:, None, :], -0.0)
        if K == 1:
            if p_z is not None:
                o_z = (token_KGD - (i_row - i_row % n_batch).to(tl.int64) * length) * stride_z
                z_KGD = tl.load(p_z + o_z + o_KGD, mask=m_KGD, other=0.0).to(tl.float32)
                y_KGD *= z_KGD * tl.sigmoid(z_KGD)
            tl.store(p_y + token_KGD * n_channels + o_KGD, y_KGD, mask=m_KGD)
        else:
            tl.store(p_partial + token_KGD * n_channels + o_KGD, y_KGD, mask=m_KGD)

    if K == 2:
        tl.debug_barrier()  # the warps exchange what they wrote
        o_j = tl.arange(0, 8 * GROUP)[:, None]
        for i in range(0, count, 8 * GROUP):
            m_GD = (i + o_j < count) & m_d[None, :]
            token_G = i_row.to(tl.int64) * length + start + i + o_j
            o_GD = token_G * n_channels + o_d[None, :]
            y_GD = tl.load(p_partial + o_GD, mask=m_GD, other=0.0)
            o_other = n_batch.to(tl.int64) * length * n_channels
            y_GD += tl.load(p_partial + o_other + o_GD, mask=m_GD, other=0.0)
            y_GD *= 0.5
            if p_z is not None:
                o_z = token_G * stride_z + o_d[None, :]
                z_GD = tl.load(p_z + o_z, mask=m_GD, other=0.0).to(tl.float32)
                y_GD *= z_GD * tl.sigmoid(z_GD)
            tl.store(p_y + o_GD, y_GD, mask=m_GD)
