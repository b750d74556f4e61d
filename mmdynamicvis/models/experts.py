"""Mixture of experts: a feed-forward layer of which each token takes the best few of several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from mmdynamicvis.models.norm import build_norm
from mmdynamicvis.ops.autocast import outside_autocast


class Experts(nn.Module):
    """Return x + the sum of G_e E_e(norm(x)) over the top k experts e of each token.

    G is the softmax of a linear layer over all experts, not normalized over the chosen ones
    (SkySense V2, arXiv 2507.13812). An expert E is linear, GELU, linear. The last linear layer
    starts at zero, so that a backbone with loaded weights starts as it was.

    Args:
        dim: Channels C of the tokens.
        num: Number M of experts.
        top_k: Experts per token.
        ratio: Inner channels of an expert over C.

    Raises:
        ValueError: An argument is out of its range; the message names it.
    """

    def __init__(self, dim: int, num: int = 8, top_k: int = 1, ratio: float = 4) -> None:
        super().__init__()
        if num < 1 or not 1 <= top_k <= num:
            raise ValueError(f'experts has num {num} and top_k {top_k}; need 1 <= top_k <= num')
        inner = round(dim * ratio)
        if inner < 1:
            raise ValueError(f'experts has ratio {ratio}; it must be positive')
        self.num, self.top_k = num, top_k
        self.norm = build_norm(dict(type='RMSNorm', eps=1e-5), dim)
        self.router = nn.Linear(dim, num, bias=False)
        self.up_weight = nn.Parameter(torch.empty(num, inner, dim))
        self.up_bias = nn.Parameter(torch.zeros(num, inner))
        self.down_weight = nn.Parameter(torch.zeros(num, dim, inner))
        self.down_bias = nn.Parameter(torch.zeros(num, dim))
        nn.init.normal_(self.router.weight, std=0.02)
        nn.init.normal_(self.up_weight, std=dim**-0.5)

    def forward(self, tokens_BLC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new tokens (B, L, C), and the routing (2, M).

        The routing holds, per expert, the number of tokens that take it over k, without gradient,
        and the sum of the gates of all tokens, at least in float32. See :func:`balance_loss`.
        """
        normed_BLC = self.norm(tokens_BLC)
        x_NC = normed_BLC.flatten(0, 1)
        with outside_autocast(x_NC):
            wide = torch.promote_types(x_NC.dtype, torch.float32)
            gates_NM = linear(x_NC.to(wide), self.router.weight.to(wide)).softmax(-1)
        gates_NK, chosen_NK = gates_NM.topk(self.top_k, dim=-1)
        taken_NM = torch.zeros_like(gates_NM).scatter(1, chosen_NK, 1.0).detach()
        if torch.compiler.is_compiling():
            # the number of tokens of an expert depends on the data, so each runs on all tokens
            y_NC = sum(
                self._expert(e, x_NC) * (gates_NM * taken_NM)[:, e, None].to(x_NC.dtype)
                for e in range(self.num)
            )
        else:
            y_NC = self._sparse(x_NC, gates_NK, chosen_NK)
        routing_2M = torch.stack([taken_NM.sum(0) / self.top_k, gates_NM.sum(0)])
        return tokens_BLC + y_NC.view_as(tokens_BLC).to(tokens_BLC.dtype), routing_2M

    def _sparse(self, x_NC: Tensor, gates_NK: Tensor, chosen_NK: Tensor) -> Tensor:
        y_NC = torch.zeros_like(x_NC, dtype=torch.promote_types(x_NC.dtype, torch.float32))
        for e in range(self.num):
            # also for no tokens, so that each parameter has a gradient, as DDP needs
            rows, ranks = (chosen_NK == e).nonzero(as_tuple=True)
            gate_R1 = gates_NK[rows, ranks].unsqueeze(-1)
            y_NC = y_NC.index_add(0, rows, (self._expert(e, x_NC[rows]) * gate_R1).to(y_NC.dtype))
        return y_NC

    def _expert(self, e: int, x_NC: Tensor) -> Tensor:
        inner_NR = gelu(linear(x_NC, self.up_weight[e], self.up_bias[e]))
        return linear(inner_NR, self.down_weight[e], self.down_bias[e])


def balance_loss(routings: Sequence[Tensor]) -> Tensor:
    """Return M sum_e f_e P_e, which is 1 if all experts are equally used (arXiv 2101.03961).

    f_e is the share of the tokens that take expert e, and P_e the mean of its gate. Its gradient
    makes frequent experts less likely.

    Args:
        routings: Routings (2, M) of one mixture of experts, of one or more sets of tokens. The
            shares are those of all tokens together, so that each modality may prefer experts.
    """
    taken_M, gates_M = torch.stack(tuple(routings)).sum(0)
    count = taken_M.sum()
    return len(taken_M) * (taken_M * gates_M).sum() / count**2
