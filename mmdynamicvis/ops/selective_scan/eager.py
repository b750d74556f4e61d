"""Selective scan in plain torch: any device, bounded memory, no Python step per token.

The sequence is cut into segments of ``chunks * STEPS`` tokens. All chunks of a segment advance
together, one step at a time, as tensors of about ``STEP_NUMEL`` elements: large enough that torch
uses every core and that its call overhead disappears, small enough that a segment stays in the
cache. A first pass finds the state that each chunk leaves behind when it starts from zero, a short
loop over the chunks turns these into the states that the chunks really start from, and a second
pass runs from there. Segments follow one another and pass their last state on.

Per element of (token, channel, state) this costs one exponential and six passes, in memory that
does not depend on the length. The backward pass stores one state per segment and recomputes the
others.

A tile is a tensor (STEPS, rows, chunks, N, D): the step comes first, so that a step is contiguous,
and the channels come last, so that the inner loops are long.
"""

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, silu, softplus

from mmdynamicvis.ops.autocast import outside_autocast

STEPS = 16  # tokens per chunk: a Python step each, in two passes
STEP_NUMEL = 2**17  # of float32: a tile is 8 MiB
CHANNELS = 192  # channels per tile at most
MIN_CHUNKS = 8


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    dt_softplus: bool,
    direction: str,
    average: bool,
) -> Tensor:
    """See :func:`mmdynamicvis.ops.selective_scan`."""
    dtype = x.dtype
    wide = torch.promote_types(dtype, torch.float32)
    with outside_autocast(x):
        x, dt, A, B, C = (tensor.to(wide) for tensor in (x, dt, A, B, C))
        if dt_bias is not None:
            dt = dt + dt_bias
        if dt_softplus:
            dt = softplus(dt)
        if direction == 'both':
            forward = scan(x[0], dt[0], A, B[0], C[0], False)[0]
            reverse = scan(x[1], dt[1], A, B[1], C[1], True)[0]
            if average:
                y, x = forward.lerp(reverse, 0.5), x[0].lerp(x[1], 0.5)
            else:
                y = torch.stack([forward, reverse])
        else:
            y = scan(x, dt, A, B, C, direction == 'reverse')[0]
        if D is not None:
            y = torch.addcmul(y, D.to(wide), x)
        if z is not None:
            y = y * silu(z.to(wide))
        return y.to(dtype)


@dataclass(frozen=True)
class _Segment:
    """The chunks [start, stop) of the padded sequence, for some rows and channels."""

    rows: slice
    channels: slice
    start: int
    stop: int
    index: int

    def tokens(self, x_BLD: Tensor) -> Tensor:
        """View the segment of a per-channel input as (STEPS, rows, chunks, 1, D)."""
        return self._chunked(x_BLD[self.rows, :, self.channels]).unsqueeze(3)

    def states(self, x_BLN: Tensor) -> Tensor:
        """View the segment of a per-state input as (STEPS, rows, chunks, N, 1)."""
        return self._chunked(x_BLN[self.rows]).unsqueeze(4)

    def _chunked(self, x_BLX: Tensor) -> Tensor:
        x_BLX = x_BLX[:, self.start * STEPS : self.stop * STEPS]
        return x_BLX.unflatten(1, (-1, STEPS)).permute(2, 0, 1, 3)


_workspaces = threading.local()


def _workspace(like: Tensor, numel: int) -> Tensor:
    """Uninitialized memory; on a CPU the thread's own, kept from call to call.

    The system hands out large blocks page by page and zeroes them, which takes time that shows. A
    GPU's memory is kept by torch itself.
    """
    if like.device.type != 'cpu':
        return like.new_empty(numel)
    kept = vars(_workspaces)
    if like.dtype not in kept or kept[like.dtype].numel() < numel:
        with torch.inference_mode(False):  # else it could not be written outside of that mode
            kept[like.dtype] = torch.empty(numel, dtype=like.dtype)
    return kept[like.dtype][:numel]


class _Plan:
    """How one scan is cut into tiles, and the buffers that the tiles share."""

    def __init__(self, x_BLD: Tensor, n_state: int, buffers: int) -> None:
        n_rows, length, n_channels = x_BLD.shape
        self.n_state = n_state
        self.n_chunks = -(-length // STEPS)
        blocks = -(-n_channels // CHANNELS)
        self.channels = -(-n_channels // blocks)
        per_row = n_state * self.channels
        self.rows = max(1, min(n_rows, STEP_NUMEL // (MIN_CHUNKS * per_row)))
        chunks = max(MIN_CHUNKS, -(-STEP_NUMEL // (self.rows * per_row)))
        self.n_segments = -(-self.n_chunks // chunks)
        self.chunks = -(-self.n_chunks // self.n_segments)
        numel = STEPS * self.rows * self.chunks * per_row
        self._buffers = _workspace(x_BLD, buffers * numel).view(buffers, numel)

    def blocks(self, x_BLD: Tensor) -> Iterator[tuple[slice, slice]]:
        """Rows and channels that are scanned together; every block is a scan of its own."""
        n_rows, _, n_channels = x_BLD.shape
        for row in range(0, n_rows, self.rows):
            for channel in range(0, n_channels, self.channels):
                yield (
                    slice(row, min(row + self.rows, n_rows)),
                    slice(channel, min(channel + self.channels, n_channels)),
                )

    def segments(self, rows: slice, channels: slice, reverse: bool) -> Iterator[_Segment]:
        order = range(self.n_segments)
        for i in reversed(order) if reverse else order:
            start = i * self.chunks
            yield _Segment(rows, channels, start, min(start + self.chunks, self.n_chunks), i)

    def tiles(self, segment: _Segment) -> list[Tensor]:
        """The shared buffers in the shape of a segment's tile."""
        shape = (
            STEPS,
            segment.rows.stop - segment.rows.start,
            segment.stop - segment.start,
            self.n_state,
            segment.channels.stop - segment.channels.start,
        )
        numel = torch.Size(shape).numel()
        return [buffer[:numel].view(shape) for buffer in self._buffers]


def _steps(x: Tensor, decay: Tensor, reverse: bool) -> list[tuple[Tensor, Tensor]]:
    """The steps of two tiles, in scan order."""
    steps = list(zip(x.unbind(0), decay.unbind(0), strict=True))
    return steps[::-1] if reverse else steps


def _enter_chunks(
    decay_BGND: Tensor, left_BGND: Tensor, enter_BND: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Find what the chunks start from, given what they leave behind when they start from zero.

    Args:
        decay_BGND: product of the decays of each chunk (G chunks).
        left_BGND: what each chunk leaves behind when it starts from zero.
        enter_BND: what the first chunk (the last for ``reverse``) starts from.

    Returns:
        What each chunk starts from (B, G, N, D), and what the last in scan order leaves behind.
    """
    chunks = list(zip(left_BGND.unbind(1), decay_BGND.unbind(1), strict=True))
    enters = []
    for left_BND, decay_BND in reversed(chunks) if reverse else chunks:
        enters.append(enter_BND)
        enter_BND = torch.addcmul(left_BND, decay_BND, enter_BND)
    return torch.stack(enters[::-1] if reverse else enters, dim=1), enter_BND


def _fill_states(
    decay: Tensor, h: Tensor, chunk_decay: Tensor, enter_BND: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Run h_t = decay_t h_{t-1} + b_t over a tile; ``h`` holds b and is overwritten.

    Returns:
        The states that the chunks start from (B, G, N, D), and that the segment ends with (B, N,
        D).
    """
    steps = _steps(h, decay, reverse)
    left = steps[0][0].clone()
    for b_t, decay_t in steps[1:]:
        torch.addcmul(b_t, decay_t, left, out=left)
    enter_BGND, enter_BND = _enter_chunks(chunk_decay, left, enter_BND, reverse)
    before = enter_BGND
    for h_t, decay_t in steps:
        before = torch.addcmul(h_t, decay_t, before, out=h_t)
    return enter_BGND, enter_BND


def _rates(A_DN: Tensor) -> Tensor:
    """A for exponentials of base 2 (N, D): torch computes these twice as fast on a CPU."""
    return (A_DN.t() / math.log(2)).contiguous()


def _pad_to_chunks(x_BLX: Tensor) -> Tensor:
    """Zeros at the end: with dt = 0 and x = 0 a token leaves the state as it is."""
    missing = -x_BLX.shape[1] % STEPS
    return pad(x_BLX, (0, 0, 0, missing)) if missing else x_BLX


@torch.library.custom_op('mmdynamicvis::selective_scan_eager', mutates_args=())
def scan(
    x_BLD: Tensor, dt_BLD: Tensor, A_DN: Tensor, B_BLN: Tensor, C_BLN: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Scan float32 or float64 inputs of one direction; ``dt`` is positive (after softplus).

    Returns:
        y (B, L, D), and the state before each segment (segments, B, N, D), for the backward pass.
    """
    n_rows, length, n_channels = x_BLD.shape
    n_state = A_DN.shape[1]
    x_BLD, dt_BLD, B_BLN, C_BLN = map(_pad_to_chunks, (x_BLD, dt_BLD, B_BLN, C_BLN))
    u_BLD = dt_BLD * x_BLD
    plan = _Plan(x_BLD, n_state, buffers=2)
    rate_ND = _rates(A_DN)
    y_BLD = torch.empty_like(x_BLD, memory_format=torch.contiguous_format)
    enter_SBND = x_BLD.new_zeros(plan.n_segments, n_rows, n_state, n_channels)
    for rows, channels in plan.blocks(x_BLD):
        rate = rate_ND[:, channels]
        enter_BND = enter_SBND[0, rows, :, channels]
        for segment in plan.segments(rows, channels, reverse):
            enter_SBND[segment.index, rows, :, channels] = enter_BND
            decay, h = plan.tiles(segment)
            dt = segment.tokens(dt_BLD)
            torch.mul(dt, rate, out=decay).exp2_()
            torch.mul(segment.tokens(u_BLD), segment.states(B_BLN), out=h)
            _, enter_BND = _fill_states(decay, h, (dt.sum(0) * rate).exp2_(), enter_BND, reverse)
            y = torch.matmul(segment.states(C_BLN).transpose(3, 4), h)
            segment.tokens(y_BLD).copy_(y)
    return y_BLD[:, :length].contiguous(), enter_SBND


@scan.register_fake
def _(x_BLD, dt_BLD, A_DN, B_BLN, C_BLN, reverse):
    n_rows, _, n_channels = x_BLD.shape
    if x_BLD.device.type == 'meta':
        n_segments = _Plan(x_BLD, A_DN.shape[1], buffers=2).n_segments
    else:  # not a number to guard on: it depends on the length, which a compiler leaves open
        n_segments = torch.library.get_ctx().new_dynamic_size()
    y_BLD = torch.empty_like(x_BLD, memory_format=torch.contiguous_format)
    return y_BLD, x_BLD.new_empty(n_segments, n_rows, A_DN.shape[1], n_channels)


@torch.library.custom_op('mmdynamicvis::selective_scan_eager_backward', mutates_args=())
def scan_backward(
    dy_BLD: Tensor,
    x_BLD: Tensor,
    dt_BLD: Tensor,
    A_DN: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    enter_SBND: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, dt, A, B and C.

    With g_t the gradient of h_t and r_t = decay_t g_t what it sends to h_{t-1}:
    g_t = C_t dy_t + r_{t+1}, and the gradient of dt_t A is r_t h_{t-1}.
    """
    length = x_BLD.shape[1]
    dy_BLD, x_BLD, dt_BLD, B_BLN, C_BLN = map(_pad_to_chunks, (dy_BLD, x_BLD, dt_BLD, B_BLN, C_BLN))
    u_BLD = dt_BLD * x_BLD
    plan = _Plan(x_BLD, A_DN.shape[1], buffers=3)
    A_ND = A_DN.t().contiguous()
    rate_ND = _rates(A_DN)
    du_BLD, ddt_BLD = torch.empty_like(u_BLD), torch.empty_like(u_BLD)
    dA_ND, dB_BLN, dC_BLN = map(torch.zeros_like, (A_ND, B_BLN, C_BLN))
    for rows, channels in plan.blocks(x_BLD):
        A, rate = A_ND[:, channels], rate_ND[:, channels]
        send_BND = torch.zeros_like(enter_SBND[0, rows, :, channels])
        for segment in plan.segments(rows, channels, not reverse):
            decay, h, g = plan.tiles(segment)
            dt, u, dy = map(segment.tokens, (dt_BLD, u_BLD, dy_BLD))
            B, C = map(segment.states, (B_BLN, C_BLN))
            chunk_decay = (dt.sum(0) * rate).exp2_()

            torch.mul(dt, rate, out=decay).exp2_()
            torch.mul(u, B, out=h)
            enter_BND = enter_SBND[segment.index, rows, :, channels]
            enter, _ = _fill_states(decay, h, chunk_decay, enter_BND, reverse)
            segment.states(dC_BLN).add_(torch.matmul(h, dy.transpose(3, 4)))

            torch.mul(dy, C, out=g)
            steps = _steps(g, decay, not reverse)
            send = torch.mul(*steps[0])
            for g_t, decay_t in steps[1:]:
                send.add_(g_t).mul_(decay_t)
            send, send_BND = _enter_chunks(chunk_decay, send, send_BND, not reverse)
            for g_t, decay_t in steps:
                g_t.add_(send)
                send = decay_t.mul_(g_t)
            segment.tokens(du_BLD).copy_(torch.matmul(B.transpose(3, 4), g))
            segment.states(dB_BLN).add_(torch.matmul(g, u.transpose(3, 4)))

            dt_A = decay  # holds r_t; times h_{t-1}, from here on the gradient of dt_t A
            if reverse:
                dt_A[:-1].mul_(h[1:])
                dt_A[-1].mul_(enter)
            else:
                dt_A[1:].mul_(h[:-1])
                dt_A[0].mul_(enter)
            dA_ND[:, channels] += torch.mul(dt_A, dt, out=g).sum((0, 1, 2))
            segment.tokens(ddt_BLD).copy_(dt_A.mul_(A).sum(3, keepdim=True))
    dx_BLD = du_BLD * dt_BLD
    ddt_BLD.addcmul_(du_BLD, x_BLD)
    dx_BLD, ddt_BLD, dB_BLN, dC_BLN = (
        grad[:, :length].contiguous() for grad in (dx_BLD, ddt_BLD, dB_BLN, dC_BLN)
    )
    return dx_BLD, ddt_BLD, dA_ND.t().contiguous(), dB_BLN, dC_BLN


@scan_backward.register_fake
def _(dy_BLD, x_BLD, dt_BLD, A_DN, B_BLN, C_BLN, enter_SBND, reverse):
    return tuple(
        torch.empty_like(x, memory_format=torch.contiguous_format)
        for x in (x_BLD, dt_BLD, A_DN, B_BLN, C_BLN)
    )


def _setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.reverse = inputs
    ctx.save_for_backward(*tensors, output[1])


def _backward(ctx, dy_BLD: Tensor, _) -> tuple[Tensor | None, ...]:
    return *scan_backward(dy_BLD, *ctx.saved_tensors, ctx.reverse), None


scan.register_autograd(_backward, setup_context=_setup_context)
