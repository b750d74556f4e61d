"""Choice of the backend that runs an op."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ENVIRONMENT_VARIABLE = 'MMDYNAMICVIS_BACKEND'
NAMES = ('triton', 'mamba_ssm', 'cpu', 'eager', 'naive')
"""All backends; an op may lack some of them."""

logger = logging.getLogger('mmdynamicvis.ops')
_explained: set[tuple[str, str]] = set()


def _no_reason(*tensors: Tensor) -> str | None:
    return None


class BackendUnavailableError(RuntimeError):
    """The requested backend cannot run; the message says why."""


@dataclass(frozen=True)
class Backend:
    """One implementation of an op.

    Args:
        name: Name of the backend, one of :data:`NAMES`.
        function: The implementation; all backends of an op have the same arguments.
        unavailable: Function that returns why the backend cannot run on this machine, for example a
            missing package, or None if it can.
        unsupported: Function of the op's tensors that returns why the backend cannot run on them,
            for example because of device or dtype, or None if it can.
        unwanted: Function of the op's tensors that returns why 'auto' skips the backend although it
            can run, or None if 'auto' may use it.
    """

    name: str
    function: Callable[..., Any]
    unavailable: Callable[[], str | None] = _no_reason
    unsupported: Callable[..., str | None] = _no_reason
    unwanted: Callable[..., str | None] = _no_reason

    def why_not(self, *tensors: Tensor) -> str | None:
        """Return why the backend cannot run on these tensors, or None if it can."""
        return self.unavailable() or self.unsupported(*tensors)


def check_backend(op: str, backends: Sequence[Backend], backend: str) -> None:
    """Raise ValueError if ``backend`` is neither 'auto' nor the name of one of ``backends``."""
    if backend != 'auto' and all(candidate.name != backend for candidate in backends):
        names = ['auto', *(candidate.name for candidate in backends)]
        raise ValueError(f'{op}: unknown backend {backend!r}; choose one of {names}')


def check_device(op: str, first: Tensor, *others: Tensor | None) -> None:
    """Raise ValueError unless all tensors are on one device, because kernels get raw pointers."""
    for tensor in others:
        if tensor is not None and tensor.device != first.device:
            raise ValueError(
                f'{op}: the tensors are on {first.device} and {tensor.device}; move them together'
            )


def choose(
    op: str, backends: Sequence[Backend], backend: str, *tensors: Tensor
) -> Callable[..., Any]:
    """Return the implementation that runs ``op`` on ``tensors``.

    Args:
        op: Name of the op, for messages.
        backends: The op's backends, the preferred one first.
        backend: Name of a backend, or 'auto' for the one named by the environment variable
            MMDYNAMICVIS_BACKEND, if the op has it, or else for the first one that can run. The
            reasons for skipping earlier ones are logged once.
        tensors: Tensor arguments of the op.

    Raises:
        ValueError: The name is unknown.
        BackendUnavailableError: The requested backend cannot run; the message says why.
    """
    check_backend(op, backends, backend)
    asked = backend
    if backend == 'auto':
        backend = _from_environment(backends)
    reasons = {}
    for candidate in backends:
        if backend not in ('auto', candidate.name):
            continue
        reason = candidate.why_not(*tensors)
        if reason is None and backend == 'auto':
            reason = candidate.unwanted(*tensors)
        if reason is None:
            if asked == 'auto' and not torch.compiler.is_compiling():
                _explain_once(op, candidate.name, reasons)
            return candidate.function
        reasons[candidate.name] = reason
    why = '; '.join(f'{name}: {reason}' for name, reason in reasons.items())
    raise BackendUnavailableError(f'{op}: backend {backend!r} cannot run here ({why})')


def _from_environment(backends: Sequence[Backend]) -> str:
    name = os.environ.get(ENVIRONMENT_VARIABLE, 'auto')
    if name not in ('auto', *NAMES):
        raise ValueError(f'{ENVIRONMENT_VARIABLE} is {name!r}; choose one of {["auto", *NAMES]}')
    return name if any(candidate.name == name for candidate in backends) else 'auto'


def _explain_once(op: str, name: str, reasons: dict[str, str]) -> None:
    if (op, name) in _explained:
        return
    _explained.add((op, name))
    rejected = ''.join(f'; not {other}: {reason}' for other, reason in reasons.items())
    logger.info('%s runs on the backend %r%s', op, name, rejected)
