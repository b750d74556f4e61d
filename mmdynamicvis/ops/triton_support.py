"""Availability of Triton kernels."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmdynamicvis.ops.dispatch import Backend

INTERPRETED = os.environ.get('TRITON_INTERPRET', '0') not in ('', '0')
"""Whether Triton interprets kernels in Python, on any device; slow, for tests."""

_INSTALLED = importlib.util.find_spec('triton') is not None


def unavailable() -> str | None:
    """Return why Triton cannot run on this machine, or None if it can."""
    if not _INSTALLED:
        return 'Triton is not installed (pip install triton)'
    if not INTERPRETED and not torch.cuda.is_available():
        return 'torch sees no GPU'
    return None


def unsupported(*tensors: Tensor) -> str | None:
    """Return why Triton kernels cannot run on these tensors, or None if they can."""
    for tensor in tensors:
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            return f'no kernel for {tensor.dtype}'
        if not INTERPRETED and tensor.device.type != 'cuda':
            return f'the tensors are on the {tensor.device.type}'
    return None


def unwanted(*tensors: Tensor) -> str | None:
    """Return why 'auto' does not use Triton although it can run, or None if it may."""
    if any(tensor.device.type != 'cuda' for tensor in tensors):
        return 'on the CPU Triton is interpreted, which is slow'
    return None


def backend(
    function: Callable[..., Any], unsupported: Callable[..., str | None] = unsupported
) -> Backend:
    """Return an op's backend 'triton'; ``function`` imports what needs Triton when it is called."""
    return Backend('triton', function, unavailable, unsupported, unwanted)
