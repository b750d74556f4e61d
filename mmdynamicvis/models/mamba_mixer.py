"""Mamba-1 mixer whose two directions share every weight and every per-token projection."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from mmdynamicvis.models.kept import Kept
from mmdynamicvis.models.weight_decay import without_decay
from mmdynamicvis.ops import causal_conv1d, selective_scan
from mmdynamicvis.ops.selective_scan import Direction

ScanMode = Literal['mean', 'gate', 'shuffle_gate', 'forward']

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4
NUM_GATED = {'gate': 2, 'shuffle_gate': 3}
"""Scan mode with a gate -> number of passes that it weights."""
_PRIME = 2147483579
_SEED = 1618033988


def fixed_permutation(length: int, device: torch.device | str | None = None) -> Tensor:
    """Return the permutation of the tokens that 'shuffle_gate' scans outside of training, (L,).

    It sorts positions i by (i + s)^3 mod p, for the prime p = 2147483579 and the seed s =
    1618033988. The keys are distinct, because p - 1 is not a multiple of 3. So the order depends on
    the length only: it is the same on all devices and in all versions, and an exported graph
    computes it for any length, without a buffer.

    Args:
        length: Number of tokens L, less than p - s.
        device: Device of the result, which is int64.
    """
    base = torch.arange(length, device=device) + _SEED
    # factors below 2^31 have a product that an int64 holds
    return (base * base % _PRIME * base % _PRIME).argsort()


class MambaMixer(nn.Module):
    """Mamba-1 mixer (arXiv 2312.00752, figure 3) over a sequence in one or two directions.

    The reverse pass is the same mixer on the reversed sequence. The input projection, the gate and
    the output projection act on single tokens and are linear in what the passes contribute, so both
    directions need them once: 17.9 instead of 30.7 GMAC for the base model at 512 x 512 pixels.

    Args:
        dim: Channels d of the tokens.
        scan_mode: How the passes are merged: 'mean' of both; 'gate', weights per image from the
            token means of both; 'shuffle_gate', the same with a third pass over shuffled tokens
            (RSMamba, arXiv 2403.19654), which costs another convolution and scan; or
            'forward', no reverse pass. In training each call draws a permutation from torch's
            generator of the device; in eval mode it is :func:`fixed_permutation`.
        d_state: Size N of the state of a channel.
        d_conv: Width of the causal depthwise convolution.
        expand: Inner channels over d.
        backend: Backend of the convolution and the selective scan.

    Raises:
        ValueError: The scan mode is unknown.
    """

    def __init__(
        self,
        dim: int,
        scan_mode: ScanMode = 'mean',
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        if scan_mode not in get_args(ScanMode):
            raise ValueError(f'scan_mode is {scan_mode!r}; choose one of {get_args(ScanMode)}')
        self.scan_mode = scan_mode
        self.backend = backend
        d_inner = expand * dim
        self.split = (math.ceil(dim / 16), d_state, d_state)  # dt, B, C
        self.in_proj = nn.Linear(dim, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, sum(self.split), bias=False)
        self.dt_proj = nn.Linear(self.split[0], d_inner)
        without_decay(self.dt_proj.bias)
        self.A_log = without_decay(nn.Parameter(torch.empty(d_inner, d_state)))
        self.D = without_decay(nn.Parameter(torch.empty(d_inner)))
        self.out_proj = nn.Linear(d_inner, dim, bias=False)
        if scan_mode in NUM_GATED:
            passes = NUM_GATED[scan_mode]
            self.direction_gate = nn.Linear(passes * dim, passes, bias=False)
        self._kept_A = Kept()
        self.reset_state_parameters()

    @torch.no_grad()
    def reset_state_parameters(self) -> None:
        """Initialize A, D and the step size as the Mamba paper does (section 3.6)."""
        d_inner, d_state = self.A_log.shape
        self.A_log.copy_(torch.arange(1, d_state + 1).log().expand(d_inner, d_state))
        self.D.fill_(1)
        bound = self.split[0] ** -0.5
        self.dt_proj.weight.uniform_(-bound, bound)
        log_dt = torch.empty(d_inner).uniform_(math.log(DT_MIN), math.log(DT_MAX))
        dt = log_dt.exp().clamp_min(DT_FLOOR)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # inverse of softplus

    def train(self, mode: bool = True) -> MambaMixer:
        """Set the mode, and compute anew what depends on parameters alone."""
        self._kept_A.clear()
        return super().train(mode)

    def forward(self, x_BLC: Tensor, kept: slice = slice(None)) -> Tensor:
        """Mix tokens (B, L, C) along the sequence, and return those of them that are kept."""
        x_BLD, z_BLD = self.in_proj(x_BLC).chunk(2, dim=-1)
        direction = 'forward' if self.scan_mode == 'forward' else 'both'
        y = self._scan(x_BLD, z_BLD, direction)
        if self.scan_mode == 'shuffle_gate':
            order_L = self._order(x_BLD)
            shuffled_BLD = self._scan(x_BLD[:, order_L], z_BLD[:, order_L], 'forward')
            y = torch.cat([y, shuffled_BLD[:, order_L.argsort()].unsqueeze(0)])
        y_BLD = self._gate(y) if self.scan_mode in NUM_GATED else y
        y_BKD = y_BLD[:, kept]
        # the projection would copy the parts of several images, which costs more than it saves
        return self.out_proj(y_BKD) if y_BKD.is_contiguous() else self.out_proj(y_BLD)[:, kept]

    def _scan(self, x_BLD: Tensor, z_BLD: Tensor, direction: Direction) -> Tensor:
        """Convolve and scan: (B, L, D), or both passes (2, B, L, D) if these are not averaged."""
        x = causal_conv1d(
            x_BLD, self.conv1d.weight.squeeze(1), self.conv1d.bias, direction, self.backend
        )
        dt, B, C = self.x_proj(x).split(self.split, dim=-1)
        return selective_scan(
            x,
            linear(dt, self.dt_proj.weight),
            self._kept_A(self, lambda: -torch.exp(self.A_log.float()), self.A_log),
            B,
            C,
            D=self.D,
            z=z_BLD,
            dt_bias=self.dt_proj.bias,
            dt_softplus=True,
            direction=direction,
            average=self.scan_mode == 'mean',
            backend=self.backend,
        )

    def _order(self, like_BLC: Tensor) -> Tensor:
        length, device = like_BLC.shape[1], like_BLC.device
        if self.training:
            return torch.randperm(length, device=device)
        return fixed_permutation(length, device)

    def _gate(self, y_KBLD: Tensor) -> Tensor:
        means_KBC = self.out_proj(y_KBLD.mean(2))
        weight_BK = self.direction_gate(torch.cat(tuple(means_KBC), dim=-1)).softmax(-1)
        return torch.einsum('kbld,bk->bld', y_KBLD, weight_BK.to(y_KBLD.dtype))
