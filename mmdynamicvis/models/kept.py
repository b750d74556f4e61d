"""Cache for tensors that depend only on parameters, for forward passes without gradients."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Kept:
    """Caches one tensor computed from a parameter until the parameter changes.

    The tensor is recomputed if the parameter is another object, was written to, or has moved.
    Writing through ``.data`` cannot be detected, so the owner must call :meth:`clear` in ``train``
    and ``eval``, which host frameworks call after swapping weights. Nothing is cached in training,
    while gradients are recorded, under torch.compile, export or tracing, or for tensors without a
    version counter. The tensor is not a buffer: it is not saved, moved, copied or pickled.
    """

    def __init__(self) -> None:
        self._entry: tuple[weakref.ref, tuple, Tensor] | None = None

    def __call__(
        self, owner: nn.Module, compute: Callable[[], Tensor], parameter: Tensor, *key: Hashable
    ) -> Tensor:
        """Return ``compute()``, or its cached result.

        Args:
            owner: The module; nothing is cached if it is in training mode.
            compute: Function that computes the tensor from only the parameter and ``key``.
            parameter: Parameter that the tensor depends on.
            *key: Further values that the tensor depends on.
        """
        if not _may_keep(owner, parameter):
            return compute()
        state = _state(parameter, key)
        entry = self._entry
        if entry is None or entry[0]() is not parameter or entry[1] != state:
            if _is_capturing():  # the tensor's memory would belong to the graph
                return compute()
            tensor = compute()
            if type(tensor) is not Tensor:  # from a mode such as FakeTensorMode
                return tensor
            entry = self._entry = weakref.ref(parameter), state, tensor
        elif _is_capturing():
            if _recorded is None:  # the graph would not notice when the entry becomes invalid
                return compute()
            _recorded.append((self, entry))
        return entry[2]

    def holds(self, entry: tuple) -> bool:
        """Return whether an entry is still cached and valid."""
        parameter = entry[0]()
        if entry is not self._entry or parameter is None:
            return False
        _, *key = entry[1]
        return _state(parameter, tuple(key)) == entry[1]

    def clear(self) -> None:
        """Discard the cached tensor."""
        self._entry = None

    def __reduce__(self) -> tuple[type[Kept], tuple]:
        """Copy and pickle as an empty cache."""
        return Kept, ()


Entries = list[tuple[Kept, tuple]]
_recorded: Entries | None = None


@contextmanager
def recording() -> Iterator[Entries]:
    """Let CUDA graphs captured in this context use cached tensors, and record these.

    A graph is valid as long as :meth:`Kept.holds` is true for each entry; its owner must keep the
    entries alive.
    """
    global _recorded
    before, _recorded = _recorded, []
    try:
        yield _recorded
    finally:
        _recorded = before


def _may_keep(owner: nn.Module, parameter: Tensor) -> bool:
    return not (
        owner.training
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or parameter.is_inference()
        or type(parameter) not in (Tensor, nn.Parameter)
        or parameter.is_meta
    )


def _state(parameter: Tensor, key: tuple) -> tuple[Any, ...]:
    about = (
        parameter._version,
        parameter.data_ptr(),
        parameter.dtype,
        parameter.device,
        parameter.shape,
        parameter.stride(),
    )
    return about, *key


def _is_capturing() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
