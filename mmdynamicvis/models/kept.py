"""Tensors that depend on parameters alone, kept between forward passes without gradients."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Kept:
    """Keeps one tensor computed from a parameter, for as long as the parameter stays as it is.

    It is computed anew if the parameter is another one, was written to, or lies elsewhere. Writing
    through ``.data`` leaves no trace, so the owner calls :meth:`clear` in ``train`` and ``eval``,
    which host frameworks call after they swap weights. Nothing is kept in training or where
    gradients are recorded, under torch.compile, export or tracing, or of tensors that count no
    changes. The tensor is no buffer: it is not saved, moved, copied or pickled.
    """

    def __init__(self) -> None:
        self._entry: tuple[weakref.ref, tuple, Tensor] | None = None

    def __call__(
        self, owner: nn.Module, compute: Callable[[], Tensor], parameter: Tensor, *key: Hashable
    ) -> Tensor:
        """Return ``compute()``, or what it returned before.

        Args:
            owner: The module; keeps nothing in training mode.
            compute: Computes the tensor from the parameter and ``key`` alone.
            parameter: What the tensor depends on.
            *key: What else it depends on.
        """
        if not _may_keep(owner, parameter):
            return compute()
        state = _state(parameter, key)
        entry = self._entry
        if entry is None or entry[0]() is not parameter or entry[1] != state:
            if _is_capturing():  # its memory would be the graph's
                return compute()
            tensor = compute()
            if type(tensor) is not Tensor:  # of a mode that only pretends to compute
                return tensor
            entry = self._entry = weakref.ref(parameter), state, tensor
        elif _is_capturing():
            if _recorded is None:  # a graph that does not look after what is kept
                return compute()
            _recorded.append((self, entry))
        return entry[2]

    def holds(self, entry: tuple) -> bool:
        """Tell whether an entry is still what is kept, and right."""
        parameter = entry[0]()
        if entry is not self._entry or parameter is None:
            return False
        _, *key = entry[1]
        return _state(parameter, tuple(key)) == entry[1]

    def clear(self) -> None:
        """Forget the tensor."""
        self._entry = None

    def __reduce__(self) -> tuple[type[Kept], tuple]:
        """Copies and pickles are empty."""
        return Kept, ()


Entries = list[tuple[Kept, tuple]]
_recorded: Entries | None = None


@contextmanager
def recording() -> Iterator[Entries]:
    """Let CUDA graphs that are captured here read what is kept, and record it.

    Such a graph is right for as long as each :meth:`Kept.holds` its entry, and must keep the
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
