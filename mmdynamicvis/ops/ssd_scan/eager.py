"""SSD scan in plain torch: matrix products over chunks of the sequence, on any device.

With one decay per head and token, the scan within a chunk of Q tokens is a product of matrices
(arXiv 2405.21060, section 6): with S_t the sum of dt A from the start of the chunk to token t,

    y = (C B^T * exp(S_t - S_s)) u + exp(S_t) C h,   u = dt x,   s <= t,

where h is the state that the chunk is entered with. It leaves exp(S_Q) h + (exp(S_Q - S_s) B)^T u
behind. That is Q exponentials per token and head where the selective scan of Mamba-1 takes N P, and
Q + 2 N multiply-accumulates per token and channel where that takes 3 N.

In reverse, sums run from the end of the chunk, and s >= t. The decays are exponentials of
differences of sums, which would lose digits where a head forgets within a few tokens: these sums
are float64.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad, silu, softplus

from mmdynamicvis.ops.autocast import outside_autocast
from mmdynamicvis.ops.scans import scan_directions

CHUNK = 32  # tokens


def ssd_scan(
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
    """See :func:`mmdynamicvis.ops.ssd_scan`."""
    dtype = x.dtype
    wide = torch.promote_types(dtype, torch.float32)
    with outside_autocast(x):
        x, dt, A, B, C = (tensor.to(wide) for tensor in (x, dt, A, B, C))
        if D is not None:
            D = D[:, None].expand(-1, x.shape[-1] // len(D)).flatten()
        options = dt_bias, dt_softplus, direction, average
        return scan_directions(scan, x, dt, A, B, C, D, z, *options).to(dtype)


def gradients(
    dy: Tensor,
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
) -> list[Tensor]:
    """Return the gradients of x to dt_bias, computing all anew: for kernels that go forward only.

    Of an input that is None, an empty tensor.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    reverses = [direction == 'reverse'] if direction != 'both' else [False, True]
    with outside_autocast(x):
        x_KBLD, B_KBLN, C_KBLN = (
            tensor.to(wide).view(len(reverses), *tensor.shape[-3:]) for tensor in (x, B, C)
        )
        dy_KBLD = (dy.to(wide) * (0.5 if average else 1.0)).expand(x_KBLD.shape)
        before_softplus = dt.to(wide) if dt_bias is None else dt.to(wide) + dt_bias
        steps = softplus(before_softplus) if dt_softplus else before_softplus
        rates, head_dim = A.to(wide), x.shape[-1] // len(A)
        skip = A.new_zeros(len(A)) if D is None else D.to(wide)
        skip_D = skip.to(wide).repeat_interleave(head_dim)
        dz, dD = 0, 0
        found = []
        for k, reverse in enumerate(reverses):
            inputs = x_KBLD[k], steps, rates, B_KBLN[k], C_KBLN[k]
            y_BLD, enter_BGHNP = scan(*inputs, reverse)
            dy_BLD = dy_KBLD[k]
            if z is not None:
                dz = dz + dy_BLD * torch.addcmul(y_BLD, skip_D, inputs[0])
                dy_BLD = dy_BLD * silu(z.to(wide))
            dx, *others = scan_backward(dy_BLD, *inputs, enter_BGHNP, reverse)
            dD = dD + (dy_BLD * inputs[0]).sum((0, 1)).unflatten(0, (-1, head_dim)).sum(1)
            found.append((torch.addcmul(dx, skip_D, dy_BLD), *others))
        dx, ddt, dA, dB, dC = map(torch.stack, zip(*found, strict=True))
        ddt = ddt.sum(0)
        if dt_softplus:
            ddt = ddt * before_softplus.sigmoid()
        if z is not None:
            gate = torch.sigmoid(z.to(wide))
            dz = dz * gate * (1 + z * (1 - gate))
        none = x.new_empty(0)
        return [
            dx.view(x.shape).to(x.dtype),
            ddt.to(dt.dtype),
            dA.sum(0).to(A.dtype),
            dB.view(B.shape).to(B.dtype),
            dC.view(C.shape).to(C.dtype),
            none if D is None else dD.to(D.dtype),
            none.clone() if z is None else dz.to(z.dtype),
            none.clone() if dt_bias is None else ddt.sum((0, 1)).to(dt_bias.dtype),
        ]


def _chunked(x_BLX: Tensor) -> Tensor:
    """View as (B, chunks, Q, X), after zeros at the end: with dt = 0 a token changes no state."""
    missing = -x_BLX.shape[1] % CHUNK
    return (pad(x_BLX, (0, 0, 0, missing)) if missing else x_BLX).unflatten(1, (-1, CHUNK))


def _by_head(x_BLD: Tensor, n_heads: int) -> Tensor:
    """View as (B, chunks, H, Q, P)."""
    return _chunked(x_BLD).unflatten(3, (n_heads, -1)).transpose(2, 3)


def _by_token(x_BGHQP: Tensor, length: int) -> Tensor:
    """Copy to (B, L, D)."""
    return x_BGHQP.transpose(2, 3).flatten(3).flatten(1, 2)[:, :length].contiguous()


def _not_later(like: Tensor, reverse: bool) -> Tensor:
    """Return a mask (Q, Q) of the tokens s, in columns, that are not after token t, in rows."""
    ones_QQ = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=like.device)
    return ones_QQ.triu() if reverse else ones_QQ.tril()


def _decays(
    dt_BLH: Tensor, A_H: Tensor, mask_QQ: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the decays within chunks.

    Returns:
        From token s to token t (B, G, H, Q, Q), zero for tokens s that are after t; from the start
        of the chunk to token t, t included (B, G, H, Q); from token s, s not included, to the end
        (B, G, H, Q); and of the whole chunk (B, G, H).
    """
    # to the base 2: torch computes these exponentials twice as fast on a CPU
    steps_BGHQ = _chunked(dt_BLH.double() * (A_H.double() / math.log(2))).transpose(2, 3)
    sums_BGHQ = steps_BGHQ.flip(3).cumsum(3).flip(3) if reverse else steps_BGHQ.cumsum(3)
    total_BGH = sums_BGHQ[..., 0 if reverse else -1]
    between = (sums_BGHQ.unsqueeze(4) - sums_BGHQ.unsqueeze(3)).to(dt_BLH.dtype)
    between.masked_fill_(~mask_QQ, -math.inf).exp2_()
    exponents = sums_BGHQ, total_BGH.unsqueeze(3) - sums_BGHQ, total_BGH
    return between, *(x.to(dt_BLH.dtype).exp2() for x in exponents)


def _inputs(x_BLD: Tensor, dt_BLH: Tensor) -> Tensor:
    """Return u = dt x, (B, G, H, Q, P), contiguous."""
    x_BGHQP = _by_head(x_BLD, dt_BLH.shape[2])
    u_BGHQP = torch.empty_like(x_BGHQP, memory_format=torch.contiguous_format)
    return torch.mul(x_BGHQP, _chunked(dt_BLH).transpose(2, 3).unsqueeze(4), out=u_BGHQP)


def _hand_on(left_BGHNP: Tensor, decay_BGH: Tensor, reverse: bool) -> Tensor:
    """Return what chunks are entered with, given what they leave behind if entered with zero."""
    enter_BGHNP = torch.zeros_like(left_BGHNP)
    chunks = range(left_BGHNP.shape[1])
    for before, chunk in pairwise(reversed(chunks) if reverse else chunks):
        torch.addcmul(
            left_BGHNP[:, before],
            decay_BGH[:, before, :, None, None],
            enter_BGHNP[:, before],
            out=enter_BGHNP[:, chunk],
        )
    return enter_BGHNP


@torch.library.custom_op('mmdynamicvis::ssd_scan_eager', mutates_args=())
def scan(
    x_BLD: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLN: Tensor, C_BLN: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Scan float32 or float64 inputs of one direction; ``dt`` is positive (after softplus).

    Returns:
        y (B, L, D), and the state (B, G, H, N, P) that each of the G chunks is entered with, for
        the backward pass.
    """
    mask_QQ = _not_later(x_BLD, reverse)
    between, to_token, to_end, whole = _decays(dt_BLH, A_H, mask_QQ, reverse)
    u_BGHQP = _inputs(x_BLD, dt_BLH)
    B_BG1QN, C_BG1QN = (_chunked(maps).unsqueeze(2) for maps in (B_BLN, C_BLN))
    left_BGHNP = (B_BG1QN * to_end.unsqueeze(4)).transpose(3, 4) @ u_BGHQP
    enter_BGHNP = _hand_on(left_BGHNP, whole, reverse)
    y_BGHQP = between.mul_(C_BG1QN @ B_BG1QN.transpose(3, 4)) @ u_BGHQP
    y_BGHQP += (C_BG1QN * to_token.unsqueeze(4)) @ enter_BGHNP
    return _by_token(y_BGHQP, x_BLD.shape[1]), enter_BGHNP


@scan.register_fake
def _(x_BLD, dt_BLH, A_H, B_BLN, C_BLN, reverse):
    n_rows, length, n_channels = x_BLD.shape
    n_chunks, n_heads = (length + CHUNK - 1) // CHUNK, A_H.shape[0]
    states = (n_rows, n_chunks, n_heads, B_BLN.shape[2], n_channels // n_heads)
    return x_BLD.new_empty(x_BLD.shape), x_BLD.new_empty(states)


@torch.library.custom_op('mmdynamicvis::ssd_scan_eager_backward', mutates_args=())
def scan_backward(
    dy_BLD: Tensor,
    x_BLD: Tensor,
    dt_BLH: Tensor,
    A_H: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    enter_BGHNP: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, dt, A, B and C.

    The gradient of dt_r A collects what goes through token r: from tokens before it, or the state
    that the chunk is entered with, to it and tokens after it, or the state that is left behind.
    """
    length, n_heads = x_BLD.shape[1], A_H.shape[0]
    mask_QQ = _not_later(x_BLD, reverse)
    between, to_token, to_end, whole = _decays(dt_BLH, A_H, mask_QQ, reverse)
    u_BGHQP = _inputs(x_BLD, dt_BLH)
    dy_BGHQP = _by_head(dy_BLD, n_heads).contiguous()
    B_BG1QN, C_BG1QN = (_chunked(maps).unsqueeze(2) for maps in (B_BLN, C_BLN))
    B_BGHQN, C_BGHQN = B_BG1QN * to_end.unsqueeze(4), C_BG1QN * to_token.unsqueeze(4)
    # a chunk's gradient of what it is entered with is what the chunk before it gets
    sends_BGHNP = C_BGHQN.transpose(3, 4) @ dy_BGHQP
    dleft_BGHNP = _hand_on(sends_BGHNP, whole, not reverse)

    products_BG1QQ = C_BG1QN @ B_BG1QN.transpose(3, 4)
    du_BGHQP = (between * products_BG1QQ).transpose(3, 4) @ dy_BGHQP
    du_BGHQP += B_BGHQN @ dleft_BGHNP
    dproducts = between.mul_(dy_BGHQP @ u_BGHQP.transpose(3, 4))
    summed_BGQQ = dproducts.sum(2)
    dC_BGHQN = (dy_BGHQP @ enter_BGHNP.transpose(3, 4)).mul_(to_token.unsqueeze(4))
    dB_BGHQN = (u_BGHQP @ dleft_BGHNP.transpose(3, 4)).mul_(to_end.unsqueeze(4))
    dC_BGQN = torch.matmul(summed_BGQQ, B_BG1QN.squeeze(2)).add_(dC_BGHQN.sum(2))
    dB_BGQN = torch.matmul(summed_BGQQ.transpose(2, 3), C_BG1QN.squeeze(2)).add_(dB_BGHQN.sum(2))

    not_later = mask_QQ.to(x_BLD.dtype)  # (t, r): token r is not after token t
    before = not_later.t().clone().fill_diagonal_(0)  # (s, r): token s is before token r
    dstep_BGHQ = ((dproducts.mul_(products_BG1QQ) @ before).mul_(not_later)).sum(3)
    dstep_BGHQ += (dC_BGHQN * C_BG1QN).sum(4) @ not_later
    dstep_BGHQ += (dB_BGHQN * B_BG1QN).sum(4) @ before
    dstep_BGHQ += (whole * (enter_BGHNP * dleft_BGHNP).sum((3, 4))).unsqueeze(3)

    dstep_BLH = dstep_BGHQ.transpose(2, 3).flatten(1, 2)[:, :length]
    du_BLD = _by_token(du_BGHQP, length)
    du_BLHP, x_BLHP = (tensor.unflatten(2, (n_heads, -1)) for tensor in (du_BLD, x_BLD))
    ddt_BLH = (du_BLHP * x_BLHP).sum(3).addcmul_(dstep_BLH, A_H)
    return (
        (du_BLHP * dt_BLH.unsqueeze(3)).flatten(2),
        ddt_BLH,
        (dstep_BLH * dt_BLH).sum((0, 1)),
        dB_BGQN.flatten(1, 2)[:, :length].contiguous(),
        dC_BGQN.flatten(1, 2)[:, :length].contiguous(),
    )


@scan_backward.register_fake
def _(dy_BLD, x_BLD, dt_BLH, A_H, B_BLN, C_BLN, enter_BGHNP, reverse):
    return tuple(x.new_empty(x.shape) for x in (x_BLD, dt_BLH, A_H, B_BLN, C_BLN))


def _setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.reverse = inputs
    ctx.save_for_backward(*tensors, output[1])


def _backward(ctx, dy_BLD: Tensor, _) -> tuple[Tensor | None, ...]:
    return *scan_backward(dy_BLD, *ctx.saved_tensors, ctx.reverse), None


scan.register_autograd(_backward, setup_context=_setup_context)
