"""Availability of the CUDA kernels of mamba-ssm and causal-conv1d."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmdynamicvis.ops.dispatch import Backend

_KERNELS = {'mamba_ssm': 'selective_scan_cuda', 'causal_conv1d': 'causal_conv1d_cuda'}
"""Package -> compiled module with its kernels."""


def _why_not_installed() -> str | None:
    missing, uncompiled = (
        ' and '.join(name for name in names if importlib.util.find_spec(name) is None)
        for names in (_KERNELS, _KERNELS.values())
    )
    if missing:
        return f'{missing} not installed (pip install mmdynamicvis[ssm])'
    if uncompiled:
        return (
            f'installed without the kernels {uncompiled}: build mamba-ssm and causal-conv1d from '
            'source with MAMBA_KEEP_CUDA_BUILD=TRUE in the environment'
        )
    return None


_NOT_INSTALLED = _why_not_installed()


def unavailable() -> str | None:
    """Return why the kernels cannot run on this machine, or None if they can."""
    if _NOT_INSTALLED is not None:
        return _NOT_INSTALLED
    return None if torch.cuda.is_available() else 'torch sees no GPU'


def unsupported(*tensors: Tensor) -> str | None:
    """Return why the kernels cannot run on these tensors, or None if they can."""
    for tensor in tensors:
        if tensor.device.type != 'cuda':
            return f'the tensors are on the {tensor.device.type}'
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            return f'no kernel for {tensor.dtype}'
    return None


def backend(
    function: Callable[..., Any], unsupported: Callable[..., str | None] = unsupported
) -> Backend:
    """Return an op's backend 'mamba_ssm'; ``function`` imports the packages when it is called."""
    return Backend('mamba_ssm', function, unavailable, unsupported)
