"""Weights from files, without running anything from them, and what became of them in a model."""

from __future__ import annotations

import errno
import functools
import hashlib
import logging
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn.functional import interpolate

from mmdynamicvis.models.state_dict_map import to_ours, unflatten_position
from mmdynamicvis.whole_files import replacing

if TYPE_CHECKING:
    from mmdynamicvis.models.dynamicvis import DynamicVis

_STEM = 'stages.0.merger.projection.weight'
_POSITION = 'pos_embed'
_SHOWN = 8  # names in a message before it is cut


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
    path = str(path)
    if path.startswith(('http://', 'https://')):
        path = _download(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    read = _read_safetensors if path.endswith('.safetensors') else _read_pth
    content = read(path)
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


@functools.cache
def register_safetensors() -> None:
    """Let mmengine's own loading read local .safetensors files, onto the CPU.

    So ``load_from`` and ``init_cfg=dict(type='Pretrained', ...)`` of a neck, say, take such files.
    """
    # mmengine.runner takes longer to import than all of this package
    from mmengine.runner import CheckpointLoader

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
        raise ValueError(
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


@dataclass
class LoadReport:
    """What becomes of a state dict in a backbone."""

    total: int
    """Tensors of the backbone."""
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @classmethod
    def adapt(cls, model: DynamicVis, state_dict: dict[str, Tensor], prefix: str) -> LoadReport:
        """Make the part of ``state_dict`` under ``prefix`` fit the model, in place.

        Published names become ours, the position embedding is resized to the model's grid, and a
        stem for three bands is repeated over the model's bands.

        The model takes over the published design from a checkpoint of that design.

        Raises:
            RuntimeError: Nothing fits the model, a tensor has another shape, or the model is of the
                published design and the checkpoint is not.
        """
        own = {name: tensor.shape for name, tensor in model.state_dict().items()}
        given = {}
        for name in [name for name in state_dict if name.startswith(prefix)]:
            given[to_ours(name.removeprefix(prefix))] = state_dict.pop(name)
        if _fit_design(model, given):
            own = {name: tensor.shape for name, tensor in model.state_dict().items()}
        report = cls(total=len(own))
        for name, adapt in ((_POSITION, _resize_position), (_STEM, _repeat_bands)):
            if name in own and name in given and given[name].shape != own[name]:
                source = tuple(given[name].shape)
                given[name] = adapt(given[name], own[name])
                # A published embedding of the same grid only changes its layout.
                if given[name].numel() != torch.Size(source).numel():
                    report.resized.append(f'{name} {source} -> {tuple(own[name])}')
        report.loaded = [name for name in given if name in own]
        report.missing = [name for name in own if name not in given]
        report.unexpected = [name for name in given if name not in own]
        if not report.loaded:
            raise RuntimeError(
                f'the checkpoint has nothing for the backbone: of its names under {prefix!r}, '
                f'{_names(list(given))}, none is one of the backbone. For a whole model, pass '
                "prefix='backbone.'"
            )
        wrong = [
            f'{name} is {tuple(given[name].shape)} there and {tuple(own[name])} in the model'
            for name in report.loaded
            if given[name].shape != own[name]
        ]
        if wrong:
            raise RuntimeError(
                f'the checkpoint is of another backbone (arch, in_channels or scan_mode): '
                f'{len(wrong)} tensors have another shape: {_names(wrong)}'
            )
        state_dict.update({prefix + name: tensor for name, tensor in given.items()})
        return report

    def log(self) -> None:
        """Log one summary; a warning if something is missing or unexpected."""
        text = f'DynamicVis: loaded {len(self.loaded)} of {self.total} tensors'
        for title in ('resized', 'missing', 'unexpected'):
            names = getattr(self, title)
            if names:
                text += f'; {len(names)} {title}: {_names(names)}'
        incomplete = self.missing or self.unexpected
        print_log(text, 'current', logging.WARNING if incomplete else logging.INFO)


def _fit_design(model: DynamicVis, given: dict[str, Tensor]) -> bool:
    """Return whether the model has become another design, that of the tensors."""
    units = [name for name in given if '.units.' in name]
    if not units:  # of a stem alone, say
        return False
    published = not any('.local.' in name for name in units)
    if model.published and not published:
        raise RuntimeError(
            'the checkpoint is not of the published design, but the model is: build the backbone '
            'with published=False, which is the default'
        )
    if model.published == published:
        return False
    model.use_published_design()
    print_log(
        'DynamicVis: the weights are of the published design, which the model takes over. '
        'Training on several GPUs needs published=True in the config',
        'current',
    )
    return True


def _names(names: list[str]) -> str:
    rest = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + rest


def _resize_position(position: Tensor, shape: torch.Size) -> Tensor:
    """Bring a position embedding, published (1, L, C) or ours (1, C, H, W), to ``shape``, ours."""
    if position.dim() == 3:
        position = unflatten_position(position, _source_grid(position.shape[1], shape[2:]))
    if position.shape == shape or position.shape[:2] != shape[:2]:
        return position
    wide = torch.promote_types(position.dtype, torch.float32)
    return interpolate(position.to(wide), shape[2:], mode='bicubic').to(position.dtype)


def _source_grid(length: int, own_grid: tuple[int, int]) -> tuple[int, int]:
    """Guess the grid of a flat embedding: the model's own, a square, or the model's shape."""
    height, width = own_grid
    if length == height * width:
        return height, width
    side = round(length**0.5)
    if side * side == length:
        return side, side
    rows = round((length * height / width) ** 0.5)
    if rows and length % rows == 0:
        return rows, length // rows
    raise RuntimeError(
        f'the position embedding of the checkpoint has {length} tokens, neither a square nor of '
        f"the shape of the model's {height} x {width}: give the img_size it was trained with"
    )


def _repeat_bands(weight: Tensor, shape: torch.Size) -> Tensor:
    """Spread a stem for 3 bands over n: band c takes the weights of band c % 3, times 3 / n.

    An image whose bands are all equal gives the same features if n is a multiple of 3, and
    features of the same scale otherwise.
    """
    n_bands = shape[1]
    if weight.dim() != 4 or weight.shape[1] != 3 or weight.shape[::2] != shape[::2]:
        return weight
    return weight[:, [band % 3 for band in range(n_bands)]] * (3 / n_bands)
