"""What the selective scan and the SSD scan share: arguments, their checks, both directions."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

Direction = Literal['forward', 'reverse', 'both']
MAX_STATES = 64
"""States per channel that kernels hold."""


def too_many_states(B: Tensor) -> str | None:
    """Return why there are more states per channel than kernels hold, or None if there are not."""
    n_state = B.shape[-1]
    return f'{n_state} states per channel, more than {MAX_STATES}' if n_state > MAX_STATES else None


def check_tokens(x: Tensor, direction: str, average: bool) -> None:
    """Raise a ValueError unless the direction exists and x has a dimension for both directions."""
    if direction not in get_args(Direction):
        raise ValueError(f'direction is {direction!r}; choose one of {get_args(Direction)}')
    if average and direction != 'both':
        raise ValueError(f"average=True needs direction='both', not {direction!r}")
    n_dim = 4 if direction == 'both' else 3
    if x.dim() != n_dim or (direction == 'both' and x.shape[0] != 2):
        expected = '(2, B, L, D)' if direction == 'both' else '(B, L, D)'
        raise ValueError(f'x has shape {tuple(x.shape)}; direction={direction!r} needs {expected}')


def check_shapes(tensors: Mapping[str, tuple[Tensor | None, tuple[int, ...]]]) -> None:
    """Raise a ValueError unless every tensor, by its name, is None or has the shape beside it."""
    for name, (tensor, shape) in tensors.items():
        if tensor is not None and tensor.shape != shape:
            raise ValueError(
                f'{name} has shape {tuple(tensor.shape)}; the other inputs need {tuple(shape)}'
            )


def scan_directions(
    scan: Callable[..., tuple[Tensor, Tensor]],
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
    """Run a scan of one direction in plain torch, with step sizes, skip and gate around it.

    Args:
        scan: Takes x, dt, A, B, C of one direction and whether it is the reverse one; returns y.
        x: Tokens in float32 or float64, as are dt, A, B and C.
        dt: Step sizes; with a dimension for the directions, or else for both.
        D: Skip connection per channel.

    For the others see :func:`mmdynamicvis.ops.selective_scan`.
    """
    if dt_bias is not None:
        dt = dt + dt_bias
    if dt_softplus:
        dt = softplus(dt)
    if direction == 'both':
        dt_forward, dt_reverse = (dt[0], dt[1]) if dt.dim() == x.dim() else (dt, dt)
        forward = scan(x[0], dt_forward, A, B[0], C[0], False)[0]
        reverse = scan(x[1], dt_reverse, A, B[1], C[1], True)[0]
        if average:
            y, x = forward.lerp(reverse, 0.5), x[0].lerp(x[1], 0.5)
        else:
            y = torch.stack([forward, reverse])
    else:
        y = scan(x, dt, A, B, C, direction == 'reverse')[0]
    if D is not None:
        y = torch.addcmul(y, D.to(x.dtype), x)
    return y if z is None else y * silu(z.to(x.dtype))
