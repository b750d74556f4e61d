"""Queries of autocast, and protection of code from it."""

from __future__ import annotations

import torch
from torch import Tensor


def outside_autocast(x: Tensor) -> torch.autocast:
    """Return a context in which ops on tensors like ``x`` keep their dtypes.

    There is no autocast for the device 'meta', whose tensors have only shapes.
    """
    device = x.device.type
    return torch.autocast('cpu' if device == 'meta' else device, enabled=False)


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """Return the dtype to which autocast casts tensors like ``x``, or None if it is off."""
    device = x.device.type
    if device == 'meta' or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)
