"""Triton kernels of the gradients of the selective scan.

With g_t the gradient of h_t and r_t = decay_t g_t what it sends to h_{t-1}: g_t = C_t dy_t +
r_{t+1}, and the gradient of dt_t A is r_t h_{t-1}. Three kernels, as in the forward pass:

1. ``chunk_state_bwd_kernel`` walks through each chunk in scan order, from the state that it is
   entered with, and writes the state before each group of STORED tokens, and what the chunk would
   send to the one before if nothing came from the one after. It also does all that needs no g.
2. ``state_passing_kernel`` (of the forward pass): what really comes from the chunk after.
3. ``selective_scan_bwd_kernel`` walks through each chunk against the scan, group by group. It
   recomputes the states of a group and keeps them in registers.

Beside the gradients themselves, float32 buffers are needed. With R = K * B rows they hold: states
before groups, R L D N / STORED; parts of dB and dC per channel block, 2 R L N D / (P Q); what
chunks send, R L D N / CHUNK. For N = 16 that is 2, 2 and 0.25 times the tokens x. No state per
token is ever stored.

In the third kernel sums over channels, 2 N per token, are the bottleneck if a lane holds one
channel (10 exchanges between lanes per 32 elements). So there states are tiles (P, N, Q) of
P * Q channels that Triton spreads over a warp as 4 lanes along N times 8 along Q: 4 exchanges.
"""

import triton
import triton.language as tl

from mmdynamicvis.ops.selective_scan.triton_forward import (
    UNSPECIALIZED,
    load_channels,
    load_map,
    load_rates,
    locate,
    split_program,
    step_size,
    take,
)

LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def chunk_state_bwd_kernel(
    p_dy,
    p_x,
    p_dt,
    p_A,
    p_maps,
    p_D,
    p_z,
    p_dt_bias,
    p_states,
    p_grads,
    p_dt_sums,
    p_before,
    p_step,
    p_dout,
    p_dz,
    p_dD,
    scale,
    length,
    chunk,
    n_rows,
    n_channels,
    n_batch,
    n_dy_rows,
    first_reverse,
    stride_dy,
    stride_x,
    stride_dt,
    stride_z,
    stride_A,
    stride_A_n,
    N: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    GROUP: tl.constexpr,
    STORED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):
    """Write what chunk c sends to the one before it to ``grads[c - 1]``.

    Also the states ``before`` groups (chunks, CHUNK / STORED, R, N, D); per token, all (R, L, D) in
    float32, the ``step`` size after softplus, the gradient ``dout`` of y before gate and mean, and
    this direction's part of ``dz``; and the chunk's part of ``dD``.
    """
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
    skip_D = load_channels(p_D, o_d, m_d)

    o_chunk = i_chunk.to(tl.int64) * n_rows + i_row
    o_row = i_row.to(tl.int64) * length
    o_row_z = (i_row % n_batch).to(tl.int64) * length
    o_row_dy = (i_row % n_dy_rows).to(tl.int64) * length
    h_ND = tl.load(p_states + o_chunk * N * n_channels + o_ND, mask=m_ND, other=0.0)
    decays_ND = tl.full([BLOCK_N, BLOCK_D], 1.0, tl.float32)  # of all tokens so far
    grad_ND = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    dt_sum_D = tl.zeros([BLOCK_D], tl.float32)
    dD_D = tl.zeros([BLOCK_D], tl.float32)
    for i in range(0, count, GROUP):
        if i % STORED == 0:
            o_kept = i_chunk.to(tl.int64) * (chunk // STORED) + i // STORED
            o_before = (o_kept * n_rows + i_row) * N * n_channels
            tl.store(p_before + o_before + o_ND, h_ND, mask=m_ND)

        o_token = first + step * i
        left = count - 1 - i
        m_GD = (o_g <= left) & m_d[None, :]
        o_x = (o_row + o_token) * stride_x + step * o_g * stride_x + o_d[None, :]
        o_dt = (o_row + o_token) * stride_dt + step * o_g * stride_dt + o_d[None, :]
        o_dy = (o_row_dy + o_token) * stride_dy + step * o_g * stride_dy + o_d[None, :]
        o_out = (o_row + o_token) * n_channels + step * o_g * n_channels + o_d[None, :]
        x_GD = tl.load(p_x + o_x, mask=m_GD, other=0.0).to(tl.float32)
        dt_GD = step_size(p_dt + o_dt, bias_D[None, :], m_GD, SOFTPLUS, EXACT)
        u_GD = dt_GD * x_GD
        dy_GD = tl.load(p_dy + o_dy, mask=m_GD, other=0.0).to(tl.float32) * scale
        dout_GD = dy_GD
        if p_z is not None:
            o_z = (o_row_z + o_token) * stride_z + step * o_g * stride_z + o_d[None, :]
            z_GD = tl.load(p_z + o_z, mask=m_GD, other=0.0).to(tl.float32)
            sigmoid_GD = tl.sigmoid(z_GD)
            dout_GD *= z_GD * sigmoid_GD
            dy_GD *= sigmoid_GD * (1 + z_GD * (1 - sigmoid_GD))
        out_GD = skip_D[None, :] * x_GD
        for g in tl.static_range(GROUP):
            o_map = o_row + o_token + step * tl.minimum(g, left)
            B_N = load_map(p_maps + o_map * (2 * N), o_n, N, BLOCK_N)
            C_N = load_map(p_maps + o_map * (2 * N), o_n, N, BLOCK_N, N)
            decay_ND = tl.exp2(take(dt_GD, o_g == g)[None, :] * rate_ND)
            h_ND = decay_ND * h_ND + take(u_GD, o_g == g)[None, :] * B_N[:, None]
            decays_ND *= decay_ND
            grad_ND += decays_ND * (C_N[:, None] * take(dout_GD, o_g == g)[None, :])
            if p_z is not None:
                out_D = tl.sum(C_N[:, None] * h_ND, 0)
                out_GD += tl.where(o_g == g, out_D[None, :], -0.0)
        dt_sum_D += tl.sum(dt_GD, 0)
        dD_D += tl.sum(dout_GD * x_GD, 0)
        tl.store(p_step + o_out, dt_GD, mask=m_GD)
        tl.store(p_dout + o_out, dout_GD, mask=m_GD)
        if p_z is not None:
            tl.store(p_dz + o_out, dy_GD * out_GD, mask=m_GD)
    if i_chunk > 0:
        o_grads = (o_chunk - n_rows) * N * n_channels
        tl.store(p_grads + o_grads + o_ND, grad_ND, mask=m_ND)
    tl.store(p_dt_sums + o_chunk * n_channels + o_d, dt_sum_D, mask=m_d)
    if p_D is not None:
        tl.store(p_dD + o_chunk * n_channels + o_d, dD_D, mask=m_d)


@triton.jit
def advance(h_1NPQ, dt_PQ, x_PQ, B_1N11, rate_1NPQ):
    """Return the state after a token from the state before it."""
    decay_1NPQ = tl.exp2(dt_PQ[None, None, :, :] * rate_1NPQ)
    return decay_1NPQ * h_1NPQ + (dt_PQ * x_PQ)[None, None, :, :] * B_1N11


@triton.jit
def sum_states(x_1NPQ):
    """Sum over the states (P, Q)."""
    return tl.sum(tl.sum(x_1NPQ, 1), 0)


@triton.jit
def sum_channels(x_1NPQ):
    """Sum over the channels (N): first within the lanes, over P."""
    return tl.sum(tl.sum(tl.sum(x_1NPQ, 2), 2), 0)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def selective_scan_bwd_kernel(
    p_x,
    p_dt,
    p_A,
    p_maps,
    p_D,
    p_dt_bias,
    p_grads,
    p_before,
    p_dx,
    p_ddt,
    p_dB,
    p_dC,
    p_ddt_bias,
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
    P: tl.constexpr,
    Q: tl.constexpr,
    KEPT: tl.constexpr,
    STORED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
):
    """Write the gradients of the inputs.

    ``dx`` and ``ddt`` (R, L, D) in float32 hold ``dout`` and ``step`` of the first kernel, read
    before they are overwritten. The chunk's part of the gradient of A takes the place of ``grads``.
    ``dB`` and ``dC`` (channel blocks, R, L, N) and ``ddt_bias`` (chunks, R, D) are parts too.
    """
    i_chunk, i_row, i_d = split_program(n_rows, n_channels, P * Q)
    first, step, count = locate(i_chunk, i_row, length, chunk, first_reverse)
    o_PQ = i_d * (P * Q) + tl.arange(0, P)[:, None] * Q + tl.arange(0, Q)[None, :]
    o_n = tl.arange(0, BLOCK_N)
    o_g = tl.arange(0, KEPT)[:, None, None, None]
    m_PQ, m_n = o_PQ < n_channels, o_n < N
    o_1NPQ = (o_n[:, None, None] * n_channels + o_PQ[None, :, :])[None, :, :, :]
    m_1NPQ = (m_n[:, None, None] & m_PQ[None, :, :])[None, :, :, :]
    rate_1NPQ = load_rates(
        p_A,
        o_n[None, :, None, None],
        o_PQ[None, None, :, :],
        stride_A,
        stride_A_n,
        m_1NPQ,
    )

    o_chunk = i_chunk.to(tl.int64) * n_rows + i_row
    o_row = i_row.to(tl.int64) * length + first
    p_chunk = p_grads + o_chunk * N * n_channels
    send_1NPQ = tl.load(p_chunk + o_1NPQ, mask=m_1NPQ, other=0.0)
    dA_1NPQ = tl.zeros([1, BLOCK_N, P, Q], tl.float32)
    before_GNPQ = tl.zeros([KEPT, BLOCK_N, P, Q], tl.float32)
    ddt_bias_PQ = tl.zeros([P, Q], tl.float32)
    n_groups = tl.cdiv(count, KEPT)
    for i_back in range(n_groups):
        i_group = n_groups - 1 - i_back
        i_stored = i_group * KEPT // STORED
        o_before = (i_chunk.to(tl.int64) * (chunk // STORED) + i_stored) * n_rows + i_row
        p_stored = p_before + o_before * N * n_channels
        h_1NPQ = tl.load(p_stored + o_1NPQ, mask=m_1NPQ, other=0.0)
        for i in range(i_stored * STORED, i_group * KEPT):
            t = o_row + step * i
            B_1N11 = load_map(p_maps + t * (2 * N), o_n, N, BLOCK_N)[None, :, None, None]
            dt_PQ = tl.load(p_ddt + t * n_channels + o_PQ, mask=m_PQ, other=0.0)
            x_PQ = tl.load(p_x + t * stride_x + o_PQ, mask=m_PQ, other=0.0).to(tl.float32)
            h_1NPQ = advance(h_1NPQ, dt_PQ, x_PQ, B_1N11, rate_1NPQ)
        bias_PQ = load_channels(p_dt_bias, o_PQ, m_PQ)  # once more: registers are scarce
        skip_PQ = load_channels(p_D, o_PQ, m_PQ)
        o_token = o_row + step * (i_group * KEPT)
        left = count - 1 - i_group * KEPT
        for g in tl.static_range(KEPT):
            before_GNPQ = tl.where(o_g == g, h_1NPQ, before_GNPQ)
            if g < KEPT - 1:
                t = o_token + step * tl.minimum(g, left)
                m_token = m_PQ & (g <= left)
                B_1N11 = load_map(p_maps + t * (2 * N), o_n, N, BLOCK_N)[None, :, None, None]
                dt_PQ = tl.load(p_ddt + t * n_channels + o_PQ, mask=m_token, other=0.0)
                x_PQ = tl.load(p_x + t * stride_x + o_PQ, mask=m_token, other=0.0).to(tl.float32)
                h_1NPQ = advance(h_1NPQ, dt_PQ, x_PQ, B_1N11, rate_1NPQ)
        for g in tl.static_range(KEPT - 1, -1, -1):
            t = o_token + step * tl.minimum(g, left)
            m_token = m_PQ & (g <= left)
            o_out = t * n_channels + o_PQ
            B_1N11 = load_map(p_maps + t * (2 * N), o_n, N, BLOCK_N)[None, :, None, None]
            C_1N11 = load_map(p_maps + t * (2 * N), o_n, N, BLOCK_N, N)[None, :, None, None]
            x_PQ = tl.load(p_x + t * stride_x + o_PQ, mask=m_token, other=0.0).to(tl.float32)
            dt_PQ = tl.load(p_ddt + o_out, mask=m_token, other=0.0)
            dout_PQ = tl.load(p_dx + o_out, mask=m_token, other=0.0)
            u_11PQ = (dt_PQ * x_PQ)[None, None, :, :]
            decay_1NPQ = tl.exp2(dt_PQ[None, None, :, :] * rate_1NPQ)
            kept_1NPQ = decay_1NPQ * take(before_GNPQ, o_g == g)[None, :, :, :]
            h_1NPQ = kept_1NPQ + u_11PQ * B_1N11
            grad_1NPQ = send_1NPQ + dout_PQ[None, None, :, :] * C_1N11
            send_1NPQ = decay_1NPQ * grad_1NPQ
            dt_A_1NPQ = grad_1NPQ * kept_1NPQ
            dA_1NPQ += dt_A_1NPQ * dt_PQ[None, None, :, :]
            du_PQ = sum_states(grad_1NPQ * B_1N11)
            ddt_PQ = du_PQ * x_PQ + LN_2 * sum_states(dt_A_1NPQ * rate_1NPQ)
            if SOFTPLUS:
                raw_PQ = tl.load(p_dt + t * stride_dt + o_PQ, mask=m_token, other=0.0)
                ddt_PQ *= tl.sigmoid(raw_PQ.to(tl.float32) + bias_PQ)
            ddt_bias_PQ += tl.where(m_token, ddt_PQ, 0.0)
            dx_PQ = du_PQ * dt_PQ + skip_PQ * dout_PQ
            tl.store(p_dx + o_out, dx_PQ, mask=m_token)
            tl.store(p_ddt + o_out, ddt_PQ, mask=m_token)
            o_map = (i_d.to(tl.int64) * n_rows * length + t) * N + o_n
            m_map = m_n & (g <= left)
            tl.store(p_dB + o_map, sum_channels(grad_1NPQ * u_11PQ), mask=m_map)
            tl.store(p_dC + o_map, sum_channels(h_1NPQ * dout_PQ[None, None, :, :]), mask=m_map)
    tl.store(p_chunk + o_1NPQ, dA_1NPQ, mask=m_1NPQ)
    if p_dt_bias is not None:
        tl.store(p_ddt_bias + o_chunk * n_channels + o_PQ, ddt_bias_PQ, mask=m_PQ)
