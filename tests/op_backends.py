"""Which backends of an op the tests run, on which device and with which dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from mmdynamicvis.ops.dispatch import Backend

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
Lane = tuple[str, torch.dtype]
"""A backend's name and a dtype."""


def device(backend: str) -> str:
    """Device of the tensors that a backend gets."""
    on_gpu = backend in ('triton', 'mamba_ssm') and torch.cuda.is_available()
    return 'cuda' if on_gpu else 'cpu'


def marks(backend: Backend) -> list[pytest.MarkDecorator]:
    """A skip with the reason where the backend cannot run, and what else it is marked with."""
    reason = backend.unavailable()
    found = [pytest.mark.skipif(reason is not None, reason=str(reason))]
    own = {'triton': pytest.mark.interpreter, 'mamba_ssm': pytest.mark.gpu}
    return [*found, own[backend.name]] if backend.name in own else found


def lanes(
    backends: Sequence[Backend], dtypes: Sequence[torch.dtype] = DTYPES, only: str = ''
) -> list[Any]:
    """Every backend but the oracle, which is the last, with every dtype that it takes."""
    return [
        pytest.param(
            (backend.name, dtype),
            marks=marks(backend),
            id=f'{backend.name}-{dtype}'.replace('torch.', ''),
        )
        for backend in backends[:-1]
        for dtype in dtypes
        if only in ('', backend.name)
        and not backend.unsupported(torch.empty(0, dtype=dtype, device=device(backend.name)))
    ]
