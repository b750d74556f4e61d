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

B and C of a token lie side by side here, in float32. Offsets are of 64 bits to a chunk and of 32
bits within it. Suffixes of shapes: N states, K directions, D channels, G tokens of a group.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
SIZES = ('length', 'chunk', 'n_batch', 'n_rows', 'n_dy_rows', 'n_channels', 'n_chunks')
STRIDES = ('stride_x', 'stride_dt', 'stride_z', 'stride_dy', 'stride_A', 'stride_A_n')
UNSPECIALIZED = [*SIZES, *STRIDES, 'first_reverse']


@triton.jit
def take(tile, m_here, AXIS: tl.constexpr = 0):
    """Return the slice of ``tile`` along an axis where ``m_here`` holds.

    The axis lies within a lane and the mask is known to the compiler, so this costs nothing: adding
    -0.0, unlike 0.0, changes no number and is left out.
    """
    return tl.sum(tl.where(m_here, tile, -0.0), AXIS)


@triton.jit
def softplus(x, EXACT: tl.constexpr):
    """log(1 + exp(x)), with a small relative error everywhere.

    That is max(x, 0) + e P(e) with e = exp(-|x|) and a polynomial P for log(1 + e) / e, which keeps
    the digits of a small e and needs no second special function. The error is 2e-7, or, where the
    tokens are of half precision, 1e-5.
    """
    e = tl.exp2(tl.abs(x) * -LOG2_E)
    if EXACT:
        series = -0.02950523892832616 + e * 0.005232694302317722
        series = 0.07822595211959558 + e * series
        series = -0.13663245814628952 + e * series
        series = 0.1910600676950801 + e * series
        series = -0.2484298221566188 + e * series
        series = 0.33319096807734516 + e * series
        series = -0.499994931404822 + e * series
        series = 0.9999999698795607 + e * series
    else:
        series = 0.10122228476778697 - e * 0.023869151696355513
        series = -0.21004868989521278 + e * series
        series = 0.3252066802132588 + e * series
        series = -0.4993613647033246 + e * series
        series = 0.9999915981667944 + e * series
    return tl.maximum(x, 0.0) + e * series


@triton.jit
def exp2_by_products(x):
    """2^x in float32 without a special function, of which a GPU computes fewer than products.

    x = n + f with an integer n and |f| <= 1/2; 2^f is a polynomial that is exact at f = 0, so that
    slow decays stay slow. The relative error is 2e-7, as that of the special function.
    """
    x = tl.minimum(tl.maximum(x, -126.0), 127.0)
    shifted = x + 12582912.0  # 1.5 * 2^23: the last bits are n
    f = x - (shifted - 12582912.0)
    series = 0.009671512688151886 + f * 0.0013264727247198841
    series = 0.05550733743574016 + f * series
    series = 0.2402224208463509 + f * series
    series = 0.6931469775987171 + f * series
    series = 1.0 + f * series
    bits = series.to(tl.int32, bitcast=True) + (shifted.to(tl.int32, bitcast=True) << 23)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def decay(x, o_n, BY_PRODUCTS: tl.constexpr):
    """2^x, of the first BY_PRODUCTS states without special functions.

    ``o_n`` is the number of a state. Which ones these are is known to the compiler, as a lane holds
    all states of its channel.
    """
    if BY_PRODUCTS == 0:
        return tl.exp2(x)
    else:
        return tl.where(o_n < BY_PRODUCTS, exp2_by_products(x), tl.exp2(x))


@triton.jit
def step_size(p_dt, bias, m_token, SOFTPLUS: tl.constexpr, EXACT: tl.constexpr):
    """The step size of a token; zero for a token that does not exist: it leaves the state alone."""
    if SOFTPLUS:
        dt = tl.load(p_dt, mask=m_token, other=float('-inf'))
        return softplus(dt.to(tl.float32) + bias, EXACT)
    else:
        dt = tl.load(p_dt, mask=m_token, other=0.0)
        return tl.where(m_token, dt.to(tl.float32) + bias, 0.0)


@triton.jit
def load_channels(p_channel, o_d, m_d):
    """A parameter per channel in float32, or zeros if there is none."""
    if p_channel is None:
        return tl.zeros_like(o_d).to(tl.float32)
    else:
        return tl.load(p_channel + o_d, mask=m_d, other=0.0).to(tl.float32)


@triton.jit
def load_rates(p_A, o_n, o_d, stride_d, stride_n, m_nd):
    """The rates of decay over log(2), in float32, whatever their dtype and order in memory."""
    rate = tl.load(p_A + o_n * stride_n + o_d * stride_d, mask=m_nd, other=0.0)
    return rate.to(tl.float32) * LOG2_E


@triton.jit
def load_map(p_map, o_n, N: tl.constexpr, BLOCK_N: tl.constexpr, OFFSET: tl.constexpr = 0):
    """B of a token, or C, N numbers further, from its row of 2 N numbers.

    Without a mask, which costs an instruction per number, if N allows.
    """
    if N == BLOCK_N:
        return tl.load(p_map + (OFFSET + o_n))
    else:
        return tl.load(p_map + (OFFSET + o_n), mask=o_n < N, other=0.0)


@triton.jit
def split_program(n_rows, n_channels, BLOCK_D: tl.constexpr):
    """Return chunk, row and channel block: the last is the fastest, its programs share B and C."""
    n_blocks = tl.cdiv(n_channels, BLOCK_D)
    i_program = tl.program_id(0)
    i_row = i_program // n_blocks % n_rows
    return i_program // n_blocks // n_rows, i_row, i_program % n_blocks


@triton.jit
def locate(i_chunk, i_row, length, chunk, first_reverse):
    """Return the first token of a chunk in scan order, the step to the next, and their number."""
    reverse = i_row >= first_reverse
    i_block = tl.where(reverse, tl.cdiv(length, chunk) - 1 - i_chunk, i_chunk)
    start = i_block * chunk
    count = tl.minimum(chunk, length - start)
    return tl.where(reverse, start + count - 1, start), tl.where(reverse, -1, 1), count


@triton.jit(do_not_specialize=UNSPECIALIZED)
def chunk_state_fwd_kernel(
    p_x,
    p_dt,
    p_A,
    p_dt_bias,
    p_maps,
    p_states,
    p_dt_sums,
    length,
    chunk,
    n_rows,
    n_channels,
    first_reverse,
    stride_x,
    stride_dt,
    stride_A,
    stride_A_n,
    N: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    GROUP: tl.constexpr,
    BY_PRODUCTS: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):
    """Write what chunk c leaves behind from zero to ``states[c + 1]``, and its sum of dt."""
    EXACT: tl.constexpr = p_x.dtype.element_ty == tl.float32
    i_chunk, i_row, i_d = split_program(n_rows, n_channels, BLOCK_D)
    first, step, count = locate(i_chunk, i_row, length, chunk, first_reverse)
    o_d = i_d * BLOCK_D + tl.arange(0, BLOCK_D)
    o_n = tl.arange(0, BLOCK_N)
    o_g = tl.arange(0, GROUP)[:, None]
    m_d = o_d < n_channels
    m_ND = (o_n < N)[:, None] & m_d[None, :]
    o_ND = o_n[:, None] * n_channels + o_d[None, :]
    rate_ND = load_rates(p_A, o_n[:, None], o_d[None, :], stride_A, stride_A_n, m_ND)
    bias_D = load_channels(p_dt_bias, o_d, m_d)
    h_ND = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    dt_sum_D = tl.zeros([BLOCK_D], tl.float32)
    o_first = i_row.to(tl.int64) * length + first
    p_x += o_first * stride_x
    p_dt += o_first * stride_dt
    p_maps += o_first * (2 * N)
    for i in range(0, count, GROUP):
        left = count - 1 - i  # of a token that does not exist, any B does: its dt and x are zero
        o_token = step * (i + o_g)
        m_GD = (o_g <= left) & m_d[None, :]
        p_x_GD = p_x + (o_token * stride_x + o_d[None, :])
        p_dt_GD = p_dt + (o_token * stride_dt + o_d[None, :])
        x_GD = tl.load(p_x_GD, mask=m_GD, other=0.0).to(tl.float32)
        dt_GD = step_size(p_dt_GD, bias_D[None, :], m_GD, SOFTPLUS, EXACT)
        u_GD = dt_GD * x_GD
        for g in tl.static_range(GROUP):
            p_token = p_maps + step * (i + tl.minimum(g, left)) * (2 * N)
            B_N = load_map(p_token, o_n, N, BLOCK_N)
            dt_D = take(dt_GD, o_g == g)
            u_D = take(u_GD, o_g == g)
            decay_ND = decay(dt_D[None, :] * rate_ND, o_n[:, None], BY_PRODUCTS)
            h_ND = decay_ND * h_ND + u_D[None, :] * B_N[:, None]
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
    stride_A,
    stride_A_n,
    N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    GROUP: tl.constexpr,
    BACKWARD: tl.constexpr,
):
    """Turn what the neighbor of a chunk leaves behind from zero into what it really leaves.

    In place, from the first chunk to the last, or from the last to the first for the backward pass.
    A chunk without a neighbor is entered with zero; its place is not read. A program takes one
    state of its channels. It reads GROUP chunks at once, and the next ones before it writes these:
    what it waits for is memory.
    """
    i_n, i_row, i_d = split_program(n_rows, n_channels, BLOCK_D)
    o_d = i_d * BLOCK_D + tl.arange(0, BLOCK_D)
    o_g = tl.arange(0, GROUP)[:, None]
    m_d = o_d < n_channels
    rate_D = load_rates(p_A, i_n, o_d, stride_A, stride_A_n, m_d)
    state_D = tl.zeros([BLOCK_D], tl.float32)
    # one chunk after the other, against their order in the backward pass
    stride_sum = n_rows.to(tl.int64) * n_channels
    o_row = i_row.to(tl.int64)
    if BACKWARD:
        o_row += (n_chunks - 1).to(tl.int64) * n_rows
        stride_sum = -stride_sum
    p_states += (o_row * N + i_n) * n_channels
    p_dt_sums += o_row * n_channels - stride_sum  # the sum of a chunk decays what enters the next
    p_states_GD = p_states + o_g * (stride_sum * N) + o_d[None, :]
    p_sums_GD = p_dt_sums + o_g * stride_sum + o_d[None, :]
    m_GD = (o_g < n_chunks) & m_d[None, :]
    next_GD = tl.load(p_states_GD, mask=m_GD & (o_g > 0), other=0.0)
    sums_GD = tl.load(p_sums_GD, mask=m_GD & (o_g > 0), other=0.0)
    for i in range(0, n_chunks, GROUP):
        state_GD, m_write = next_GD, m_GD
        decay_GD = tl.exp2(sums_GD * rate_D[None, :])
        p_write = p_states_GD
        p_states_GD += stride_sum * (N * GROUP)
        p_sums_GD += stride_sum * GROUP
        m_GD = (i + GROUP + o_g < n_chunks) & m_d[None, :]
        next_GD = tl.load(p_states_GD, mask=m_GD, other=0.0)
        sums_GD = tl.load(p_sums_GD, mask=m_GD, other=0.0)
        for g in tl.static_range(GROUP):
            state_D = take(decay_GD, o_g == g) * state_D + take(state_GD, o_g == g)
            state_GD = tl.where(o_g == g, state_D[None, :], state_GD)
        tl.store(p_write, state_GD, mask=m_write)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def selective_scan_fwd_kernel(
    p_x,
    p_dt,
    p_A,
    p_dt_bias,
    p_maps,
    p_D,
    p_z,
    p_states,
    p_partial,
    p_y,
    length,
    chunk,
    n_rows,
    n_channels,
    n_batch,
    first_reverse,
    stride_x,
    stride_dt,
    stride_z,
    stride_A,
    stride_A_n,
    N: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    GROUP: tl.constexpr,
    K: tl.constexpr,
    BY_PRODUCTS: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):
    """Scan a chunk from the state that it is entered with, and apply skip and gate.

    With K = 2, a program scans the same tokens in both directions, each in a warp of its own. Each
    leaves its y in ``partial`` (K * B, L, D); then both warps read these, mostly from the L2 cache,
    and write the mean.
    """
    EXACT: tl.constexpr = p_x.dtype.element_ty == tl.float32
    i_block, i_row, i_d = split_program(n_rows // K, n_channels, BLOCK_D)
    row_K = i_row + n_batch * tl.arange(0, K)
    n_chunks = tl.cdiv(length, chunk)
    chunk_K = tl.where(row_K >= first_reverse, n_chunks - 1 - i_block, i_block)
    first_K, step_K, _ = locate(chunk_K, row_K, length, chunk, first_reverse)
    start = i_block * chunk
    count = tl.minimum(chunk, length - start)
    o_d = i_d * BLOCK_D + tl.arange(0, BLOCK_D)
    o_n = tl.arange(0, BLOCK_N)
    o_g = tl.arange(0, GROUP)[None, :, None]
    m_d = o_d < n_channels
    m_ND = (o_n < N)[:, None] & m_d[None, :]
    o_ND = o_n[:, None] * n_channels + o_d[None, :]
    rate_ND = load_rates(p_A, o_n[:, None], o_d[None, :], stride_A, stride_A_n, m_ND)
    bias_D = load_channels(p_dt_bias, o_d, m_d)
    skip_D = load_channels(p_D, o_d, m_d)

    o_enter_K = (chunk_K.to(tl.int64) * n_rows + row_K) * N * n_channels
    p_enter_KND = p_states + (o_enter_K[:, None, None] + o_ND[None, :, :])
    h_KND = tl.load(p_enter_KND, mask=m_ND[None, :, :], other=0.0)
    # 64 bits to the chunk, 32 within it
    o_first_K = row_K.to(tl.int64) * length + first_K
    o_first_K11 = o_first_K[:, None, None]
    p_x_K11 = p_x + o_first_K11 * stride_x
    p_dt_K11 = p_dt + o_first_K11 * stride_dt
    p_maps_K1 = p_maps + o_first_K[:, None] * (2 * N)
    p_out = p_y if K == 1 else p_partial
    p_out_K11 = p_out + o_first_K11 * n_channels
    o_11D = o_d[None, None, :]
    for i in range(0, count, GROUP):
        left = count - 1 - i
        token_KG1 = step_K[:, None, None] * (i + o_g)
        p_x_KGD = p_x_K11 + (token_KG1 * stride_x + o_11D)
        p_dt_KGD = p_dt_K11 + (token_KG1 * stride_dt + o_11D)
        m_KGD = (o_g <= left) & m_d[None, None, :]
        x_KGD = tl.load(p_x_KGD, mask=m_KGD, other=0.0).to(tl.float32)
        dt_KGD = step_size(p_dt_KGD, bias_D[None, None, :], m_KGD, SOFTPLUS, EXACT)
        u_KGD = dt_KGD * x_KGD
        y_KGD = skip_D[None, None, :] * x_KGD
        for g in tl.static_range(GROUP):
            p_token_K1 = p_maps_K1 + (step_K * (i + tl.minimum(g, left)) * (2 * N))[:, None]
            B_KN = load_map(p_token_K1, o_n[None, :], N, BLOCK_N)
            C_KN = load_map(p_token_K1, o_n[None, :], N, BLOCK_N, N)
            dt_KD = take(dt_KGD, o_g == g, 1)
            u_KD = take(u_KGD, o_g == g, 1)
            decay_KND = decay(
                dt_KD[:, None, :] * rate_ND[None, :, :], o_n[None, :, None], BY_PRODUCTS
            )
            h_KND = decay_KND * h_KND + u_KD[:, None, :] * B_KN[:, :, None]
            y_KD = tl.sum(C_KN[:, :, None] * h_KND, 1)
            y_KGD += tl.where(o_g == g, y_KD[:, None, :], -0.0)
        if K == 1:  # noqa: SIM102, both are known when this is compiled
            if p_z is not None:
                o_z = row_K % n_batch * length.to(tl.int64) + first_K
                p_z_K11 = p_z + o_z[:, None, None] * stride_z
                z_KGD = tl.load(p_z_K11 + (token_KG1 * stride_z + o_11D), mask=m_KGD, other=0.0).to(
                    tl.float32
                )
                y_KGD *= z_KGD * tl.sigmoid(z_KGD)
        tl.store(p_out_K11 + (token_KG1 * n_channels + o_11D), y_KGD, mask=m_KGD)

    if K == 2:
        tl.debug_barrier()  # the warps exchange what they wrote
        o_j = tl.arange(0, 16)[:, None]
        token = i_row.to(tl.int64) * length + start
        p_y += token * n_channels
        p_partial += token * n_channels
        p_other = p_partial + n_batch.to(tl.int64) * length * n_channels
        if p_z is not None:
            p_z += token * stride_z
        for i in range(0, count, 16):
            m_GD = (i + o_j < count) & m_d[None, :]
            o_GD = (i + o_j) * n_channels + o_d[None, :]
            y_GD = tl.load(p_partial + o_GD, mask=m_GD, other=0.0)
            y_GD += tl.load(p_other + o_GD, mask=m_GD, other=0.0)
            y_GD *= 0.5
            if p_z is not None:
                o_z_GD = (i + o_j) * stride_z + o_d[None, :]
                z_GD = tl.load(p_z + o_z_GD, mask=m_GD, other=0.0).to(tl.float32)
                y_GD *= z_GD * tl.sigmoid(z_GD)
            tl.store(p_y + o_GD, y_GD, mask=m_GD)
