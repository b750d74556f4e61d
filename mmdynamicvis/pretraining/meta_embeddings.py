"""Initial meta-embeddings of categories: their file, and how features get the wanted width."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmdynamicvis.models.weights import import_safetensors, save_weights

_TENSOR = 'meta_embeddings'
_REMEDY = 'write it with tools/text_meta_embeddings.py'
_VANISHED = 1e-6  # of a unit vector; below it, its direction is rounding


def save_meta_embeddings(
    path: str | os.PathLike, embeddings_CE: Tensor, classes: Sequence[str]
) -> None:
    """Write meta-embeddings and the names of their categories to a .safetensors file.

    The file appears when it is complete: it is written beside its place and then renamed.

    Args:
        path: .safetensors file to write.
        embeddings_CE: (C, E), one row per category; kept as float32.
        classes: The C names.

    Raises:
        ValueError: The shape does not fit the names, a name is there twice, or a value is not
            finite.
    """
    path = Path(path)
    _check(path, embeddings_CE, classes)
    weights = {_TENSOR: embeddings_CE.float()}
    save_weights(weights, path, {'classes': json.dumps(list(classes))})


def load_meta_embeddings(path: str | os.PathLike, classes: Sequence[str], dim: int) -> Tensor:
    """Read the meta-embeddings (C, dim), float32, of ``classes``, in their order.

    Nothing in the file is executed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not one of ``save_meta_embeddings`` or damaged, or it is of other
            categories or of another width.
    """
    path = Path(path)
    embeddings_CE, names = _read(path)
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
    """Bring features to another width without changing the angles between them.

    If the features span at most ``dim`` dimensions, as the features of ``dim`` categories or fewer
    do, all cosines stay. Otherwise the normalized features are replaced by their best approximation
    in ``dim`` dimensions, and cosines change. A fixed random rotation then spreads every direction
    over all coordinates; without it, most coordinates would be nearly or exactly 0.

    Args:
        features_CF: (C, F), any floating dtype; the length of a row does not matter.
        dim: Width of the result.

    Returns:
        (C, dim), float32 on the CPU, rows of length 1. The same features give the same result.

    Raises:
        ValueError: ``dim`` is not positive, a feature is zero or not finite, or nothing is left of
            one in ``dim`` dimensions.
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
    # Only with a positive diagonal is the decomposition unique.
    return orthogonal * triangular.diagonal().sign()


def _unit_rows(rows: Tensor, shortest: float, problem: str) -> Tensor:
    """Bring rows to length 1; a row no longer than ``shortest`` is an error."""
    lengths = rows.norm(dim=1, keepdim=True)
    too_short = (lengths.squeeze(1) <= shortest).nonzero().flatten().tolist()
    if too_short:
        raise ValueError(f'feature {too_short[0]} {problem}')
    return rows / lengths


def _read(path: Path) -> tuple[Tensor, list[str]]:
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; {_REMEDY}')
    import_safetensors(path)  # says how to install it
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
    return embeddings_CE, names


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
