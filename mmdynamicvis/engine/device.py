"""Choice of the device."""

from __future__ import annotations

import torch
from mmengine.device import get_device


def choose_device(name: str | None = None) -> torch.device:
    """Return a device after checking that it can be used.

    Args:
        name: Name of a torch device, e.g. 'cuda:1'; by default an accelerator if there is one.

    Raises:
        ValueError: The machine has no such device.
    """
    name = get_device() if name is None else name
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # torch raises different exceptions for different reasons
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f'device {name!r} cannot be used on this machine ({reason}): use {get_device()!r}'
        ) from error
    return device
