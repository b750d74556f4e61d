"""What autocast does to ops, and the parts of them that it must leave alone."""

from __future__ import annotations

import torch
from torch import Tensor


def outside_autocast(x: Tensor) -> torch.autocast:
    """Return a context in which ops on tensors like ``x`` keep their dtypes.

    Tensors of the device 'meta', of shapes alone, have no autocast.
    """
    device = x.device.type
    return torch.autocast('cpu' if device == 'meta' else device, enabled=False)


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """Return to what autocast brings tensors like ``x``, None if it is off."""
    device = x.device.type
    if device == 'meta' or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)
