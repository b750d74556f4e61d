"""Where models run."""

from __future__ import annotations

import torch
from mmengine.device import get_device


def choose_device(name: str | None = None) -> torch.device:
    """Return a device that is there.

    Args:
        name: As torch has it, e.g. 'cuda:1'; an accelerator by default, if there is one.

    Raises:
        ValueError: There is no such device on this machine.
    """
    name = get_device() if name is None else name
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # torch raises a class of its own for each reason
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f'device {name!r} cannot be used on this machine ({reason}): take {get_device()!r}'
        ) from error
    return device
