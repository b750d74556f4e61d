"""Embeddings with the names of their images, and files of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdynamicvis.fileio import replacing, shorten
from mmdynamicvis.models.weights import import_safetensors, save_weights

SUFFIXES = ('.npz', '.parquet', '.safetensors')


class Embeddings(NamedTuple):
    """Embeddings of images."""

    names: list[str]
    """N names of the images, e.g. their paths."""
    vectors: Tensor
    """(N, C) float32."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """How the vectors were computed, for code that adds further ones; of JSON types."""

    def save(self, path: str | Path) -> None:
        """Write a .safetensors, .npz or .parquet file, atomically; an existing file is replaced.

        A .safetensors file has the tensor ``vectors``, and names and settings as JSON in its
        metadata. An .npz file has the arrays ``vectors`` and ``names``, and ``settings`` as JSON.
        A .parquet file (requires pyarrow) has the columns ``name`` and ``vector``, and the settings
        as JSON in its metadata.

        Raises:
            OSError: The file cannot be written, for example because the disk is full.
            ValueError: The suffix is unsupported, the vectors are not (N, C) floats with one row
                per name, or a vector is not finite.
        """
        path = Path(path)
        self._check()
        write = _by_suffix(path, _to_npz, _to_parquet, _to_safetensors)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write(self, temporary)

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """Read a file written by :meth:`save`; no code in the file is executed.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The suffix is unsupported, or the file is damaged or has no embeddings.
        """
        path = Path(path)
        read = _by_suffix(path, _from_npz, _from_parquet, _from_safetensors)
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist')
        try:
            names, vectors, settings = read(path)
            embeddings = cls(names, vectors, json.loads(settings))
            embeddings._check()
        except ImportError:
            raise
        except Exception as error:  # zipfile, numpy, pyarrow and safetensors share no other class
            found = f'{type(error).__name__}: {error}'
            raise ValueError(f'{path} is damaged or holds no embeddings ({found})') from error
        return embeddings

    def _check(self) -> None:
        """Raise a ValueError unless there is one finite vector per name."""
        if self.vectors.dim() != 2 or not self.vectors.is_floating_point():
            shape = tuple(self.vectors.shape)
            raise ValueError(f'vectors are {self.vectors.dtype} of shape {shape}, not float (N, C)')
        if len(self.names) != len(self.vectors):
            raise ValueError(f'{len(self.names)} names and {len(self.vectors)} vectors')
        finite = self.vectors.isfinite().all(1).tolist()
        if bad := [name for name, good in zip(self.names, finite, strict=True) if not good]:
            raise ValueError(f'vectors are NaN or infinite: those of {shorten(bad)}')


def _by_suffix(path: Path, *functions: Callable) -> Callable:
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{path} must end with one of {", ".join(SUFFIXES)}')
    return functions[SUFFIXES.index(path.suffix)]


def _to_npz(embeddings: Embeddings, path: Path) -> None:
    # dtype str: an object array would need pickle
    np.savez(
        path,
        names=np.array(embeddings.names, dtype=str),
        vectors=embeddings.vectors.numpy(),
        settings=np.array(_settings(embeddings)),
    )


def _from_npz(path: Path) -> tuple[list[str], Tensor, str]:
    with np.load(path, allow_pickle=False) as content:
        vectors = torch.from_numpy(content['vectors'])
        return content['names'].tolist(), vectors, str(content['settings'])


def _to_safetensors(embeddings: Embeddings, path: Path) -> None:
    metadata = dict(names=json.dumps(embeddings.names), settings=_settings(embeddings))
    save_weights(dict(vectors=embeddings.vectors), path, metadata)


def _from_safetensors(path: Path) -> tuple[list[str], Tensor, str]:
    import_safetensors(path)
    from safetensors import safe_open

    with safe_open(path, framework='pt') as content:
        metadata = content.metadata() or {}
        return json.loads(metadata['names']), content.get_tensor('vectors'), metadata['settings']


def _to_parquet(embeddings: Embeddings, path: Path) -> None:
    pa, parquet = _import_pyarrow(path)
    values = pa.array(embeddings.vectors.numpy().reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(values, embeddings.vectors.shape[1])
    table = pa.table(dict(name=pa.array(embeddings.names, pa.string()), vector=vectors))
    parquet.write_table(table.replace_schema_metadata(dict(settings=_settings(embeddings))), path)


def _from_parquet(path: Path) -> tuple[list[str], Tensor, str]:
    _, parquet = _import_pyarrow(path)
    table = parquet.read_table(path, columns=['name', 'vector'])
    vectors = table['vector'].combine_chunks()
    length = vectors.type.list_size
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    settings = (table.schema.metadata or {})[b'settings'].decode()
    return table['name'].to_pylist(), torch.from_numpy(flat.reshape(-1, length).copy()), settings


def _settings(embeddings: Embeddings) -> str:
    return json.dumps(dict(embeddings.settings))


def _import_pyarrow(path: Path) -> tuple:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f'{path} needs pyarrow: pip install pyarrow') from error
    return pyarrow, parquet
