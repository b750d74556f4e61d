"""Batches that travel from the loading processes in one piece of shared memory."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmdynamicvis.registry import FUNCTIONS

_ALIGNMENT = 16
"""Bytes; more than any dtype needs."""


class _Pickler(pickle.Pickler):
    """Leaves tensors out, and keeps them in their order."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.tensors: list[Tensor] = []

    def persistent_id(self, obj: Any) -> int | None:
        if type(obj) is not Tensor or obj.requires_grad or obj.layout != torch.strided:
            return None
        self.tensors.append(obj)
        return len(self.tensors) - 1


class _Unpickler(pickle.Unpickler):
    """Puts tensors back in."""

    def __init__(self, file: BytesIO, tensors: Sequence[Tensor]) -> None:
        super().__init__(file)
        self.tensors = tensors

    def persistent_load(self, pid: int) -> Tensor:
        return self.tensors[pid]


class _SingleStorageBatch(dict):
    """A batch that is a plain dict again after it was pickled."""

    def __reduce__(self) -> tuple:
        file = BytesIO()
        pickler = _Pickler(file)
        pickler.dump(dict(self))
        layout = []
        end = 0
        for tensor in pickler.tensors:
            layout.append((end, tensor.dtype, tensor.shape))
            end += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
        # As torch's own default_collate: a tensor shared afterwards would be copied once more, and
        # first touching that many pages costs as much as decoding the images.
        storage = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(end))
        for place, tensor in zip(layout, pickler.tensors, strict=True):
            _view(storage, *place).copy_(tensor)
        return _restore, (file.getvalue(), layout, storage)


def _view(storage: Tensor, start: int, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    n_bytes = shape.numel() * dtype.itemsize
    return storage[start : start + n_bytes].view(dtype).view(shape)


def _restore(content: bytes, layout: Sequence[tuple], storage: Tensor) -> dict:
    return _Unpickler(BytesIO(content), [_view(storage, *place) for place in layout]).load()


@FUNCTIONS.register_module()
def single_storage_collate(batch: Sequence[dict]) -> dict:
    """Collect samples as mmengine's ``pseudo_collate`` does, for a cheaper way between processes.

    torch sends every tensor of a batch through shared memory of its own, image by image and box by
    box, and each costs about half a millisecond. Here all tensors of the batch share one, and the
    training process gets views of it. What arrives is equal; nothing changes without workers.

    Args:
        batch: Samples, dicts.

    Returns:
        A dict with a list per key.
    """
    return _SingleStorageBatch(pseudo_collate(batch))
