"""Weights from and to files; nothing in a file is executed."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from mmdynamicvis.fileio import expand_home, replacing


def _inert(module: str, name: str) -> type:
    """Return a class that stands for ``module.name`` in a pickle and does nothing."""
    namespace = {
        '__module__': module,
        '__new__': lambda cls, *args: object.__new__(cls),
        '__init__': lambda self, *args: None,
        '__setstate__': lambda self, state: None,
    }
    return type(name, (), namespace)


# What mmengine keeps in a checkpoint beside the weights: histories of losses, as numpy arrays.
_SKIPPED = [
    _inert(module, name)
    for module, name in (
        ('mmengine.logging.history_buffer', 'HistoryBuffer'),
        ('mmengine.logging.message_hub', 'MessageHub'),
        ('mmengine.config.config', 'ConfigDict'),
        ('builtins', 'getattr'),
        ('numpy', 'ndarray'),
        ('numpy', 'dtype'),
        ('numpy.core.multiarray', '_reconstruct'),
        ('numpy._core.multiarray', '_reconstruct'),
        ('numpy.core.multiarray', 'scalar'),
        ('numpy._core.multiarray', 'scalar'),
        # bytes in those arrays; torch 2.4 does not allow it by itself
        ('_codecs', 'encode'),
    )
]


class UnsafeFileError(ValueError):
    """A file holds more than weights, which could run code."""


@contextmanager
def _skipping_histories() -> Iterator[None]:
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(_SKIPPED)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def load_weights(path: str | os.PathLike, prefix: str | None = None) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint; nothing in the file is executed.

    Args:
        path: A .pth or .safetensors file or its http(s) address. An mmengine checkpoint's
            ``state_dict`` is taken; the histories beside it are skipped.
        prefix: Take the names that begin with it, 'backbone.' for example, and cut it off.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated, holds something else than weights, or no name begins with
            the prefix; the message names the file.
    """
    content = _read(path)
    state_dict = content.get('state_dict', content) if isinstance(content, Mapping) else {}
    if not isinstance(state_dict, Mapping):
        state_dict = {}
    state_dict = {
        name.removeprefix('module.'): value
        for name, value in state_dict.items()
        if isinstance(value, Tensor)
    }
    if not state_dict:
        raise ValueError(f'checkpoint {path} holds no tensors')
    if prefix is None:
        return state_dict
    prefix = prefix.rstrip('.') + '.'
    part = {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }
    if not part:
        found = sorted({name.split('.')[0] for name in state_dict})
        raise ValueError(
            f'checkpoint {path}: no name begins with {prefix!r}; the names begin with {found}'
        )
    return part


def trained_classes(path: str | os.PathLike) -> list[str]:
    """Return the classes that a checkpoint of mmengine was trained on; none if it does not say.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_weights`.
    """
    content = _read(path)
    for key in ('meta', 'dataset_meta', 'classes'):
        content = content.get(key) if isinstance(content, Mapping) else None
    return list(content) if isinstance(content, (list, tuple)) else []


def _read(path: str | os.PathLike) -> object:
    """Return all that a file or address holds, histories left out."""
    path = expand_home(path)
    if path.startswith(('http://', 'https://')):
        path = _download(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    read = _read_safetensors if path.endswith('.safetensors') else _read_pth
    return read(path)


def check_resumable(path: str | os.PathLike) -> None:
    """Raise a ValueError unless a file holds a training, not weights alone.

    Addresses are left to whoever loads them.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if str(path).startswith(('http://', 'https://')):
        return
    path = Path(expand_home(path))
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        content = {} if path.suffix == '.safetensors' else _read_pth(str(path))
    except UnsafeFileError:  # a training may hold anything; who resumes from it decides
        return
    if not isinstance(content, Mapping) or 'meta' not in content:
        raise ValueError(
            f'checkpoint {path} cannot be resumed from: it holds weights alone. To start a '
            f'training from them, pass --cfg-options load_from={path} in place of --resume'
        )


@functools.cache
def register_safetensors() -> None:
    """Let mmengine's own loading read local .safetensors files, onto the CPU.

    So ``load_from`` and ``init_cfg=dict(type='Pretrained', ...)`` of a neck, say, take such files.
    """
    # mmengine.runner takes longer to import than all of this package
    try:
        from mmengine.runner import CheckpointLoader
    except ImportError:
        return  # OpenCV and others are not there, so neither is a loader that could be asked

    @CheckpointLoader.register_scheme(prefixes=r'.*\.safetensors$')
    def load(filename: str, map_location: object = None) -> dict[str, Tensor]:
        return load_weights(filename)


def save_weights(
    state_dict: Mapping[str, Tensor],
    path: str | os.PathLike,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write weights to a .safetensors file, or as ``state_dict`` to a .pth file.

    The file appears when it is complete.

    Args:
        state_dict: Tensors by name.
        path: File to write.
        metadata: What a .safetensors file says beside its tensors.

    Raises:
        OSError: The file cannot be written, since the disk is full for example.
    """
    path = Path(path)
    # safetensors refuses tensors that share memory or have gaps
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in state_dict.items()}
    with replacing(path) as temporary:
        if path.suffix == '.safetensors':
            _write_safetensors(tensors, temporary, {'format': 'pt', **(metadata or {})})
        else:
            torch.save({'state_dict': tensors}, temporary)


def import_safetensors(path: str | os.PathLike) -> ModuleType:
    """Return ``safetensors.torch``, or say how to install it for ``path``."""
    try:
        return import_module('safetensors.torch')
    except ImportError as error:
        raise ImportError(f'{path} needs safetensors: pip install safetensors') from error


def _write_safetensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    save_file = import_safetensors(path).save_file
    from safetensors import SafetensorError

    try:
        save_file(tensors, str(path), metadata=metadata)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error)) from error


def _read_safetensors(path: str) -> dict[str, Tensor]:
    load_file = import_safetensors(path).load_file
    error_type = import_module('safetensors').SafetensorError
    try:
        return load_file(path)
    except error_type as error:
        raise ValueError(f'checkpoint {path} is truncated or not safetensors: {error}') from error


def _read_pth(path: str) -> object:
    try:
        with _skipping_histories():
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        # torch puts advice to trust the file before what it met
        found = str(error).rpartition('WeightsUnpickler error: ')[2].partition('. ')[0].strip()
        if any(sign in found for sign in ('Unsupported operand', 'load key', 'truncated', 'EOF')):
            raise ValueError(
                f'checkpoint {path} is truncated or not a torch checkpoint: {found}'
            ) from error
        raise UnsafeFileError(
            f'checkpoint {path} holds more than weights and was not loaded, since that could run '
            f'code from the file: {found}'
        ) from error
    except (RuntimeError, EOFError, OSError, IndexError, TypeError) as error:
        # only what is wrong, not what torch advises
        found = str(error).partition('. ')[0]
        raise ValueError(
            f'checkpoint {path} is truncated or not a torch checkpoint: {found}'
        ) from error


def _download(url: str) -> str:
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    folder.mkdir(parents=True, exist_ok=True)
    # Addresses of one file name are different files.
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    path = folder / f'{digest}-{url.split("?")[0].rsplit("/", 1)[-1]}'
    if not path.exists():
        torch.hub.download_url_to_file(url, str(path))
    return str(path)
