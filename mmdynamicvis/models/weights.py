"""Reading and writing of weight files; no code in a file is executed."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from mmdynamicvis import zoo
from mmdynamicvis.fileio import expand_home, replacing, shorten
from mmdynamicvis.models.stem_bands import bands_of, with_bands, without_prefix

BANDS = 'mmdynamicvis.bands'
"""Key of a .safetensors file's metadata: names of bands as JSON, by path of the backbone."""


def _inert(module: str, name: str) -> type:
    """Return a class that replaces ``module.name`` in a pickle and does nothing."""
    namespace = {
        '__module__': module,
        '__new__': lambda cls, *args: object.__new__(cls),
        '__init__': lambda self, *args: None,
        '__setstate__': lambda self, state: None,
    }
    return type(name, (), namespace)


# Classes in mmengine's checkpoints besides weights, for log histories with numpy arrays.
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
        # bytes in these arrays, which torch 2.4 does not allow by default
        ('_codecs', 'encode'),
    )
]


class UnsafeFileError(ValueError):
    """A file contains more than weights, which could execute code."""


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


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file tells.

    Args:
        path: The file or address that was asked for, for messages.
        weights: Tensors by name, a state dict with the names of a backbone's bands if they are
            known; see :mod:`mmdynamicvis.models.stem_bands`.
        classes: Names of the classes that mmengine recorded at training; none if it did not.
    """

    path: str
    weights: dict[str, Tensor]
    classes: list[str]


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint; no code in the file is executed.

    Args:
        path: See :func:`local_file`. From an mmengine checkpoint, only the ``state_dict`` and the
            names of the classes are returned; its log histories are skipped.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is truncated or contains other objects than weights; the message names
            the file.
    """
    file = local_file(path)
    if not Path(file).is_file():
        raise FileNotFoundError(f'checkpoint {file} does not exist')
    content = (_read_safetensors if file.endswith('.safetensors') else _read_pth)(file)
    return as_checkpoint(path, content)


def as_checkpoint(path: str | os.PathLike, content: object) -> Checkpoint:
    """Return the weights and classes in what was read of a checkpoint file.

    Raises:
        ValueError: There are no weights.
    """
    state_dict = content.get('state_dict', content) if isinstance(content, Mapping) else {}
    if not isinstance(state_dict, Mapping):
        state_dict = {}
    weights = {
        # of DistributedDataParallel and of torch.compile
        name.removeprefix('module.').replace('_orig_mod.', ''): value
        for name, value in state_dict.items()
        if isinstance(value, Tensor)
    }
    if not weights:
        raise ValueError(f'checkpoint {path} holds no tensors')
    for name, value in weights.items():
        if value.is_complex() or value.dtype in (torch.int8, torch.uint8):
            raise ValueError(
                f'checkpoint {path} has {name} as {value.dtype}, quantized perhaps; give one with '
                'floating-point weights'
            )
    bands = bands_of(state_dict)
    bands = without_prefix(bands, 'module.') or bands
    if not bands and str(path).startswith(zoo.SCHEME):
        whole = any(name.startswith('backbone.') for name in weights)
        bands = {'backbone' if whole else '': zoo.find(str(path)).bands}
    for key in ('meta', 'dataset_meta', 'classes'):
        content = content.get(key) if isinstance(content, Mapping) else None
    classes = list(content) if isinstance(content, (list, tuple)) else []
    return Checkpoint(str(path), with_bands(weights, bands), classes)


def refuse_broken(weights: Mapping[str, Tensor], origin: str | os.PathLike) -> None:
    """Raise a ValueError if weights are not finite, as after a training that diverged."""
    broken = [name for name, weight in weights.items() if not weight.isfinite().all()]
    if broken:
        raise ValueError(
            f'checkpoint {origin} has weights that are NaN or infinite, as after a training that '
            f'diverged: {shorten(broken, 4)}. Use an earlier checkpoint'
        )


def load_weights(path: str | os.PathLike, prefix: str | None = None) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint; no code in the file is executed.

    Args:
        path: See :func:`read_checkpoint`.
        prefix: Return only the names with this prefix, for example 'backbone.', and remove it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is truncated or contains other objects than weights, or no name has the
            prefix; the message names the file.
    """
    weights = read_checkpoint(path).weights
    if prefix is None:
        return weights
    prefix = prefix.rstrip('.') + '.'
    part = {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    if not part:
        found = sorted({name.split('.')[0] for name in weights})
        raise ValueError(
            f'checkpoint {path}: no name begins with {prefix!r}; the names begin with {found}'
        )
    return with_bands(part, without_prefix(bands_of(weights), prefix))


def check_resumable(path: str | os.PathLike) -> None:
    """Raise a ValueError unless a checkpoint has the state of a training, not only weights.

    URLs are not checked.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file contains only weights, or is damaged.
    """
    if '://' in str(path):
        return
    path = Path(expand_home(path))
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        content = {} if path.suffix == '.safetensors' else _read_pth(str(path))
    except UnsafeFileError:  # a training state may contain any objects; the user decides
        return
    if not isinstance(content, Mapping) or 'meta' not in content:
        raise ValueError(
            f'checkpoint {path} cannot be resumed from: it holds weights alone. To start a '
            f'training from them, pass --cfg-options load_from={path} in place of --resume'
        )


def local_file(source: str | os.PathLike) -> str:
    """Return the path of a weight file; downloads it to torch's or the Hugging Face cache first.

    Args:
        source: A .pth or .safetensors file, its http(s) URL, ``hf://OWNER/REPOSITORY/FILE`` for a
            file on the Hugging Face hub, or ``mmdynamicvis://NAME`` for weights of the
            :mod:`~mmdynamicvis.zoo`.

    Raises:
        ValueError: There are no weights of that name, or the file differs from its model card.
        OSError: The file cannot be downloaded; the message has the address.
        ImportError: An ``hf://`` address, and huggingface_hub is not installed.
    """
    source = expand_home(source)
    if source.startswith(('http://', 'https://')):
        return _download(source)
    if source.startswith('hf://'):
        return _download_from_hub(source)
    if source.startswith(zoo.SCHEME):
        weights = zoo.find(source)
        path = weights.source if '://' in weights.source else zoo.FOLDER / weights.source
        path = local_file(path)
        weights.check(path)
        return path
    return source


@functools.cache
def register_sources() -> None:
    """Make mmengine's checkpoint loader read .safetensors files, ``hf://`` and ``mmdynamicvis://``.

    ``load_from`` and ``init_cfg=dict(type='Pretrained', ...)``, for example of a neck, then accept
    them. They are loaded onto the CPU.
    """
    # imported late, because importing mmengine.runner takes longer than all of this package
    try:
        from mmengine.runner import CheckpointLoader
    except ImportError:
        return  # mmengine.runner lacks dependencies such as OpenCV, so its loader cannot be used

    @CheckpointLoader.register_scheme(prefixes=[r'.*\.safetensors$', 'hf://', zoo.SCHEME])
    def load(filename: str, map_location: object = None) -> dict[str, Tensor]:
        return load_weights(filename)


def save_weights(
    state_dict: Mapping[str, Tensor],
    path: str | os.PathLike,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write weights to a .safetensors file, or as ``state_dict`` to a .pth file, atomically.

    Args:
        state_dict: Name -> tensor; names of a backbone's bands are written too.
        path: File to write.
        metadata: Metadata of a .safetensors file.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    # safetensors refuses tensors that share memory or have gaps
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in state_dict.items()}
    bands = bands_of(state_dict)
    with replacing(path) as temporary:
        if path.suffix == '.safetensors':
            named = {BANDS: json.dumps(bands)} if bands else {}
            _write_safetensors(tensors, temporary, {'format': 'pt', **named, **(metadata or {})})
        else:
            torch.save({'state_dict': with_bands(tensors, bands)}, temporary)


def import_safetensors(path: str | os.PathLike) -> ModuleType:
    """Return ``safetensors.torch``, or raise an ImportError that names ``path`` and the package."""
    try:
        return import_module('safetensors.torch')
    except ImportError as error:
        raise ImportError(f'{path} needs safetensors: pip install safetensors') from error


def _write_safetensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    save_file = import_safetensors(path).save_file
    from safetensors import SafetensorError

    path.touch()
    mode = path.stat().st_mode  # safetensors 0.8 lets nobody else read what it writes
    try:
        save_file(tensors, str(path), metadata=metadata)
        path.chmod(mode)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error)) from error


def _read_safetensors(path: str) -> dict[str, Tensor]:
    load_file = import_safetensors(path).load_file
    package = import_module('safetensors')
    try:
        with package.safe_open(path, 'pt') as file:
            bands = (file.metadata() or {}).get(BANDS, '{}')
        return with_bands(load_file(path), json.loads(bands))
    except package.SafetensorError as error:
        raise ValueError(f'checkpoint {path} is truncated or not safetensors: {error}') from error


def _read_pth(path: str) -> object:
    try:
        with _skipping_histories():
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message begins with advice to trust the file; the actual error follows
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
        # only the error itself, without torch's advice
        found = str(error).partition('. ')[0]
        raise ValueError(
            f'checkpoint {path} is truncated or not a torch checkpoint: {found}'
        ) from error


def _download(url: str) -> str:
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    folder.mkdir(parents=True, exist_ok=True)
    # Different URLs may end with the same file name.
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    path = folder / f'{digest}-{url.split("?")[0].rsplit("/", 1)[-1]}'
    if not path.exists():
        torch.hub.download_url_to_file(url, str(path))
    return str(path)


def _download_from_hub(address: str) -> str:
    try:
        hub = import_module('huggingface_hub')
    except ImportError as error:
        raise ImportError(
            f'{address} needs huggingface_hub: pip install huggingface_hub'
        ) from error
    owner, _, rest = address.removeprefix('hf://').partition('/')
    repository, _, name = rest.partition('/')
    if not name:
        raise ValueError(f'{address} is not hf://OWNER/REPOSITORY/FILE')
    try:
        return hub.hf_hub_download(f'{owner}/{repository}', name)
    except (OSError, hub.errors.HfHubHTTPError) as error:
        raise OSError(
            f'{address} is not in the cache of huggingface_hub and cannot be fetched: {error}'
        ) from error
