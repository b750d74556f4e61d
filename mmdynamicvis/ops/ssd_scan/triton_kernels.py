"""Triton kernels of the SSD scan: chunks of a sequence as products of matrices.

Shapes: Q tokens of a chunk, P channels of a head or a block of them, N states; a row is a sequence
of one image in one direction. Chunks are numbered by place in both directions.
"""

import triton
import triton.language as tl

from mmdynamicvis.ops.selective_scan.triton_forward import LOG2_E, step_size

UNSPECIALIZED = ('length', 'n_rows', 'n_batch', 'n_heads', 'n_chunks', 'first_reverse')
"""Sizes that change from call to call: a kernel is not compiled again for each."""


@triton.jit
def load_steps(
    p_dt,
    p_A,
    p_dt_bias,
    i_batch,
    i_head,
    length,
    stride_dt,
    token_Q,
    SOFTPLUS: tl.constexpr,
    EXACT: tl.constexpr,
):
    """The step sizes of tokens, and exponents to the base 2 of their decays, in float64.

    Decays are exponentials of differences of sums of these exponents. In float32 they would lose
    digits where a head forgets within a few tokens. There are few of them: one per token and head.
    """
    bias = 0.0
    if p_dt_bias is not None:
        bias = tl.load(p_dt_bias + i_head).to(tl.float32)
    rate = tl.load(p_A + i_head).to(tl.float32) * LOG2_E
    o_token = i_batch.to(tl.int64) * length + token_Q
    dt_Q = step_size(p_dt + o_token * stride_dt + i_head, bias, token_Q < length, SOFTPLUS, EXACT)
    return dt_Q, dt_Q.to(tl.float64) * rate


@triton.jit
def load_rows(p_rows, i_row, length, stride, token_Q, o_columns, n_columns):
    """Tokens of a row, some of their columns, in float32; zeros where there are none."""
    o_token = i_row.to(tl.int64) * length + token_Q
    mask = (token_Q < length)[:, None] & (o_columns < n_columns)[None, :]
    p_tile = p_rows + o_token[:, None] * stride + o_columns[None, :]
    return tl.load(p_tile, mask=mask, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def chunk_state_kernel(
    p_x,
    p_dt,
    p_A,
    p_dt_bias,
    p_B,
    p_states,
    p_exponents,
    length,
    n_rows,
    n_batch,
    n_heads,
    first_reverse,
    stride_x,
    stride_dt,
    stride_B,
    P: tl.constexpr,
    N: tl.constexpr,
    Q: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    EXACT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write what a chunk leaves behind from zero, and the exponent of its whole decay."""
    i_head, i_row, i_chunk = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    i_batch = i_row % n_batch
    token_Q = i_chunk * Q + tl.arange(0, Q)
    o_n = tl.arange(0, BLOCK_N)
    dt_Q, step_Q = load_steps(
        p_dt, p_A, p_dt_bias, i_batch, i_head, length, stride_dt, token_Q, SOFTPLUS, EXACT
    )
    sum_Q, total = tl.cumsum(step_Q, 0), tl.sum(step_Q, 0)
    to_end_Q = tl.where(i_row >= first_reverse, sum_Q - step_Q, total - sum_Q).to(tl.float32)
    B_QN = load_rows(p_B, i_row, length, stride_B, token_Q, o_n, N)
    B_QN *= (tl.exp2(to_end_Q) * dt_Q)[:, None]
    o_state = (i_chunk.to(tl.int64) * n_rows + i_row) * n_heads + i_head
    tl.store(p_exponents + o_state, total.to(tl.float32))
    for start in tl.static_range(0, P, BLOCK_P):
        o_p = start + tl.arange(0, BLOCK_P)
        x_QP = load_rows(p_x + i_head * P, i_row, length, stride_x, token_Q, o_p, P)
        left_NP = tl.dot(tl.trans(B_QN), x_QP, input_precision=PRECISION)
        mask = (o_n < N)[:, None] & (o_p < P)[None, :]
        tl.store(p_states + o_state * (N * P) + o_n[:, None] * P + o_p[None, :], left_NP, mask=mask)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def hand_on_kernel(
    p_states,
    p_exponents,
    n_rows,
    n_heads,
    n_chunks,
    first_reverse,
    NUMEL: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Turn what chunks leave behind from zero into what they are entered with, in place."""
    i_block, i_head, i_row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    o_s = i_block * BLOCK + tl.arange(0, BLOCK)
    state = tl.zeros([BLOCK], tl.float32)
    for i in range(0, n_chunks):
        i_chunk = tl.where(i_row >= first_reverse, n_chunks - 1 - i, i)
        o_state = (i_chunk.to(tl.int64) * n_rows + i_row) * n_heads + i_head
        p_state = p_states + o_state * NUMEL + o_s
        left = tl.load(p_state, mask=o_s < NUMEL, other=0.0)
        tl.store(p_state, state, mask=o_s < NUMEL)
        state = tl.exp2(tl.load(p_exponents + o_state)) * state + left


@triton.jit(do_not_specialize=UNSPECIALIZED)
def chunk_scan_kernel(
    p_x,
    p_dt,
    p_A,
    p_dt_bias,
    p_B,
    p_C,
    p_D,
    p_z,
    p_states,
    p_y,
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
    P: tl.constexpr,
    N: tl.constexpr,
    Q: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    K: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    EXACT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Scan a chunk of some channels of a head, and apply skip and gate.

    With K = 2, a program scans the same tokens in both directions and writes the mean.
    """
    i_p, i_row, i_chunk = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    blocks: tl.constexpr = (P + BLOCK_P - 1) // BLOCK_P
    i_head = i_p // blocks
    i_batch = i_row % n_batch
    o_q, o_n = tl.arange(0, Q), tl.arange(0, BLOCK_N)
    o_p = i_p % blocks * BLOCK_P + tl.arange(0, BLOCK_P)
    token_Q = i_chunk * Q + o_q
    dt_Q, step_Q = load_steps(
        p_dt, p_A, p_dt_bias, i_batch, i_head, length, stride_dt, token_Q, SOFTPLUS, EXACT
    )
    forward_Q, total = tl.cumsum(step_Q, 0), tl.sum(step_Q, 0)
    skip = 0.0
    if p_D is not None:
        skip = tl.load(p_D + i_head).to(tl.float32)
    y_QP = tl.zeros([Q, BLOCK_P], tl.float32)
    for k in range(0, K):  # unrolled, both directions would be in registers at once
        i_one = i_row + k * n_batch
        reverse = i_one >= first_reverse
        sum_Q = tl.where(reverse, total - forward_Q + step_Q, forward_Q)
        high_Q = sum_Q.to(tl.float32)
        low_Q = (sum_Q - high_Q.to(tl.float64)).to(tl.float32)
        between = (high_Q[:, None] - high_Q[None, :]) + (low_Q[:, None] - low_Q[None, :])
        lag = o_q[:, None] - o_q[None, :]
        between = tl.where(tl.where(reverse, -lag, lag) >= 0, between, float('-inf'))
        x_QP = load_rows(p_x + i_head * P, i_one, length, stride_x, token_Q, o_p, P)
        B_QN = load_rows(p_B, i_one, length, stride_B, token_Q, o_n, N)
        C_QN = load_rows(p_C, i_one, length, stride_C, token_Q, o_n, N)
        weights_QQ = tl.dot(C_QN, tl.trans(B_QN), input_precision=PRECISION)
        weights_QQ *= tl.exp2(between) * dt_Q[None, :]
        y_QP = tl.dot(weights_QQ, x_QP, y_QP, input_precision=PRECISION)
        o_state = (i_chunk.to(tl.int64) * n_rows + i_one) * n_heads + i_head
        p_enter = p_states + o_state * (N * P) + o_n[:, None] * P + o_p[None, :]
        m_NP = (o_n < N)[:, None] & (o_p < P)[None, :]
        enter_NP = tl.load(p_enter, mask=m_NP, other=0.0)
        C_QN *= tl.exp2(high_Q)[:, None]
        y_QP = tl.dot(C_QN, enter_NP, y_QP, input_precision=PRECISION)
        y_QP += skip * x_QP
    y_QP *= 1.0 / K
    if p_z is not None:
        z_QP = load_rows(p_z + i_head * P, i_batch, length, stride_z, token_Q, o_p, P)
        y_QP *= z_QP * tl.sigmoid(z_QP)
    o_token = i_row.to(tl.int64) * length + token_Q
    p_y += o_token[:, None] * (n_heads * P) + (i_head * P + o_p)[None, :]
    tl.store(p_y, y_QP, mask=(token_Q < length)[:, None] & (o_p < P)[None, :])
