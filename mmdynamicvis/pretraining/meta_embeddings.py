"""Files of meta-embeddings of categories, and projection of features to another width."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmdynamicvis.fileio import shorten
from mmdynamicvis.models.weights import import_safetensors, save_weights

_TENSOR = 'meta_embeddings'
_REMEDY = 'write it with tools/text_meta_embeddings.py'
_VANISHED = 1e-6  # length below which the direction of a projected unit vector is rounding error


class TextEmbeddings(NamedTuple):
    """Text features of names, in the space of a text model.

    Args:
        names: The C names.
        features: (C, D) float32.
        space: Text model that they come from. Features of one space can be compared, in whatever
            files they are.
    """

    names: list[str]
    features: Tensor
    space: str

    def of(self, names: Sequence[str]) -> Tensor:
        """Return the features (len(names), D) of some of the names, in their order.

        Raises:
            ValueError: A name has no features; the message lists those without.
        """
        row = {name: i for i, name in enumerate(self.names)}
        if missing := [name for name in names if name not in row]:
            raise ValueError(
                f'there are no text embeddings of {shorten(missing)}, but of '
                f'{shorten(self.names)}: {_REMEDY} for the names that you want'
            )
        return self.features[[row[name] for name in names]]


def save_meta_embeddings(
    path: str | os.PathLike, embeddings_CE: Tensor, classes: Sequence[str], space: str = ''
) -> None:
    """Write meta-embeddings and the names of their categories to a .safetensors file, atomically.

    Args:
        path: .safetensors file to write.
        embeddings_CE: (C, E), one row per category; stored as float32.
        classes: The C names of the categories.
        space: Text model whose own features these are; empty for embeddings that can only be
            compared with each other, such as those of :func:`project_keeping_cosines`.

    Raises:
        ValueError: The number of rows and names differ, a name is repeated, or a value is not
            finite.
    """
    path = Path(path)
    _check(path, embeddings_CE, classes)
    weights = {_TENSOR: embeddings_CE.float()}
    save_weights(weights, path, {'classes': json.dumps(list(classes)), 'space': space})


def load_text_embeddings(path: str | os.PathLike) -> TextEmbeddings:
    """Read names and their features in the space of a text model.

    No code in the file is executed.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file was not written by ``save_meta_embeddings`` or is damaged, or its
            embeddings were projected to the width of region embeddings, for these names together.
    """
    path = Path(path)
    features_CD, names, space = _read(path)
    _check(path, features_CD, names)
    if not space:
        raise ValueError(
            f'{path} does not say which text model its embeddings are of, as they were projected '
            'for its names together: run tools/text_meta_embeddings.py again with --no-projection'
        )
    return TextEmbeddings(names, features_CD.float(), space)


def load_meta_embeddings(path: str | os.PathLike, classes: Sequence[str], dim: int) -> Tensor:
    """Read the meta-embeddings of ``classes``, (C, dim) float32, in the order of ``classes``.

    No code in the file is executed.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file was not written by ``save_meta_embeddings`` or is damaged, or its
            categories or its width differ.
    """
    path = Path(path)
    embeddings_CE, names, _ = _read(path)
    _check(path, embeddings_CE, names)
    if set(names) != set(classes):
        raise ValueError(
            f'{path} is of other classes: missing {sorted(set(classes) - set(names))}, unexpected '
            f'{sorted(set(names) - set(classes))}; {_REMEDY} for the classes of this dataset'
        )
    if embeddings_CE.shape[1] != dim:
        raise ValueError(
            f'the meta-embeddings in {path} are {embeddings_CE.shape[1]} wide, not {dim}: run '
            f'tools/text_meta_embeddings.py again with --dim {dim}'
        )
    row = {name: i for i, name in enumerate(names)}
    return embeddings_CE[[row[name] for name in classes]].float()


def project_keeping_cosines(features_CF: Tensor, dim: int) -> Tensor:
    """Project features to another width while preserving the cosines between them.

    If the features span at most ``dim`` dimensions, as those of up to ``dim`` categories always do,
    all cosines are preserved. Otherwise the normalized features are replaced by their best
    rank-``dim`` approximation, and cosines change. A fixed random rotation then spreads every
    direction over all coordinates; without it, most coordinates would be nearly or exactly 0.

    Args:
        features_CF: (C, F), any floating dtype; the length of a row does not matter.
        dim: Width of the result.

    Returns:
        (C, dim) float32 on the CPU, with rows of length 1. The result is deterministic.

    Raises:
        ValueError: ``dim`` is not positive, a feature is zero or not finite, or the projection of
            a feature vanishes.
    """
    if dim < 1:
        raise ValueError(f'dim is {dim}; it must be positive')
    if not torch.isfinite(features_CF).all():
        raise ValueError('the features are not finite; check the weights they come from')
    unit_CF = _unit_rows(features_CF.detach().cpu().double(), 0, 'is 0: it has no direction')
    left_CK, scale_K, _ = torch.linalg.svd(unit_CF, full_matrices=False)
    # The sign of a singular vector is arbitrary: make its largest entry positive.
    left_CK = left_CK * left_CK.gather(0, left_CK.abs().argmax(0, keepdim=True)).sign()
    n_kept = min(dim, len(scale_K))
    coordinates_CE = unit_CF.new_zeros(len(unit_CF), dim)
    coordinates_CE[:, :n_kept] = (left_CK * scale_K)[:, :n_kept]
    problem = f'has no part in {dim} dimensions; give a larger dim'
    unit_CE = _unit_rows(coordinates_CE, _VANISHED, problem)
    return (unit_CE @ _rotation(dim)).float()


def _rotation(dim: int) -> Tensor:
    """Return an orthogonal matrix (dim, dim), float64, the same on every call."""
    generator = torch.Generator().manual_seed(0)
    gaussian = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    orthogonal, triangular = torch.linalg.qr(gaussian)
    # The decomposition is unique only with a positive diagonal.
    return orthogonal * triangular.diagonal().sign()


def _unit_rows(rows: Tensor, shortest: float, problem: str) -> Tensor:
    """Normalize rows to length 1; raise ValueError for a row of at most ``shortest``."""
    lengths = rows.norm(dim=1, keepdim=True)
    too_short = (lengths.squeeze(1) <= shortest).nonzero().flatten().tolist()
    if too_short:
        raise ValueError(f'feature {too_short[0]} {problem}')
    return rows / lengths


def _read(path: Path) -> tuple[Tensor, list[str], str]:
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; {_REMEDY}')
    import_safetensors(path)  # its error says how to install the package
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            embeddings_CE = file.get_tensor(_TENSOR)
        names = json.loads(metadata['classes'])
    except SafetensorError as error:
        raise ValueError(f'{path} is damaged or holds no meta-embeddings: {error}') from error
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(f'{path} does not name the classes it is for; {_REMEDY}') from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path} names its classes as {names!r}, not as a list; {_REMEDY}')
    return embeddings_CE, names, metadata.get('space', '')


def _check(path: Path, embeddings_CE: Tensor, classes: Sequence[str]) -> None:
    if embeddings_CE.dim() != 2 or len(embeddings_CE) != len(classes):
        raise ValueError(
            f'{path}: meta-embeddings of shape {tuple(embeddings_CE.shape)} for {len(classes)} '
            'classes; there must be one row for each'
        )
    twice = sorted({name for name in classes if list(classes).count(name) > 1})
    if twice:
        raise ValueError(f'{path}: classes named twice: {twice}')
    if not torch.isfinite(embeddings_CE).all():
        raise ValueError(f'{path}: meta-embeddings that are not finite')
