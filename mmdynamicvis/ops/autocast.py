"""Parts of ops that autocast must leave alone."""

from __future__ import annotations

import torch
from torch import Tensor


def outside_autocast(x: Tensor) -> torch.autocast:
    """Return a context in which ops on tensors like ``x`` keep their dtypes.

    Tensors of the device 'meta', of shapes alone, have no autocast.
    """
    device = x.device.type
    return torch.autocast('cpu' if device == 'meta' else device, enabled=False)
