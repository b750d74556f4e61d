"""Gumbel noise on the scores during training."""

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn


class SelectionNoise(nn.Module):
    """Gumbel noise of scale v for scores (DynamicVis, section 3.3).

    With type 'decay', the scale decreases linearly to zero, v (1 - iteration / max_iterations), in
    every training loop of a Runner, which publishes its progress. Outside of a Runner's training,
    the scale is v.

    Args:
        type: 'fixed' or 'decay'.
        val: The scale v.

    Raises:
        ValueError: The type is unknown or the scale is negative.
    """

    def __init__(self, type: str = 'decay', val: float = 0.1) -> None:
        super().__init__()
        if type not in ('fixed', 'decay'):
            raise ValueError(f"selection noise has type {type!r}; choose 'fixed' or 'decay'")
        if val < 0:
            raise ValueError(f'selection noise has the scale {val}; it must not be negative')
        self.type = type
        self.val = val

    def forward(self, like: Tensor) -> Tensor:
        """Return float32 noise (B, L) for the scores of tokens ``like`` (B, L, C)."""
        uniform = torch.rand(like.shape[:2], device=like.device, dtype=torch.float32)
        # -log(-log U) with 1 - U in place of U: 1 - U is never zero, so its logarithm is finite
        gumbel = -torch.log(-torch.log1p(-uniform) + torch.finfo(uniform.dtype).tiny)
        if self.type == 'fixed':
            return gumbel * self.val
        return gumbel * (self.val * training_remaining(like))

    def extra_repr(self) -> str:
        """Show the settings in the model's summary."""
        return f'type={self.type!r}, val={self.val}'


@torch.library.custom_op('mmdynamicvis::training_remaining', mutates_args=())
def training_remaining(like: Tensor) -> Tensor:
    """Return the remaining fraction of the Runner's training, a float32 scalar on like's device.

    An op that returns a tensor, so that a compiled model reads the progress in every iteration.
    """
    hub = MessageHub.get_current_instance()
    training = hub.get_info('loop_stage') == 'train'
    remaining = 1 - hub.get_info('iter') / hub.get_info('max_iters') if training else 1
    return torch.full((), remaining, dtype=torch.float32, device=like.device)


@training_remaining.register_fake
def _(like):
    return torch.empty((), dtype=torch.float32, device=like.device)
