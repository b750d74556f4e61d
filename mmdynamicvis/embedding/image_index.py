"""An index of image embeddings that records the model it was made with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmdynamicvis.embedding.embedder import Embedder
from mmdynamicvis.embedding.images import read_image
from mmdynamicvis.embedding.vector_files import Embeddings
from mmdynamicvis.fileio import digest, expand_home
from mmdynamicvis.visualization import as_picture
from mmdynamicvis.visualization.pictures import Picture


def settings_of(
    model: str | Path, checkpoint: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Return the settings from which :func:`make_embedder` rebuilds an embedder, of JSON types.

    Args:
        model: Checkpoint or config.
        checkpoint: Weights for a config.
        **options: Further arguments of :class:`~mmdynamicvis.embedding.Embedder`.
    """
    files = [Path(expand_home(path)).resolve() for path in (model, checkpoint) if path]
    return dict(
        model=str(files[0]),
        checkpoint=str(files[1]) if checkpoint else None,
        options=options,
        digests=[digest(path) for path in files],
    )


def make_embedder(settings: Mapping[str, Any], device: str | None = None) -> Embedder:
    """Return the embedder of an index.

    Args:
        settings: As returned by :func:`settings_of`.
        device: Device of the backbone; by default an accelerator if there is one.

    Raises:
        FileNotFoundError: A file of the model no longer exists.
        ValueError: A file of the model has changed since the index was made, or the settings are
            incomplete.
    """
    if missing := {'model', 'checkpoint', 'digests', 'options'} - set(settings):
        raise ValueError(
            f'the index does not say how it was made, {", ".join(sorted(missing))} are missing: '
            'build it with tools/search_images.py'
        )
    files = [Path(path) for path in (settings['model'], settings['checkpoint']) if path]
    for path, expected in zip(files, settings['digests'], strict=True):
        if digest(path) != expected:
            raise ValueError(f'{path} has changed since the index was made: build it again')
    options = settings['options']
    return Embedder(files[0], checkpoint=settings['checkpoint'], device=device, **options)


def embed_images(
    images: Sequence[Path], settings: Mapping[str, Any], device: str | None = None
) -> Embeddings:
    """Return embeddings of images, named by absolute path; skips unsuitable ones with a warning."""
    names, vectors, _ = make_embedder(settings, device).files([path.resolve() for path in images])
    return Embeddings(names, vectors, settings)


def indexed_picture(path: str | Path, bands: Sequence[int] | None = None) -> Picture | None:
    """Return the picture of an indexed image; None, with a warning, if it can no longer be read.

    Args:
        path: The image.
        bands: Bands of rasters, counted from 1.
    """
    try:
        return as_picture(read_image(path, bands).numpy())
    except (OSError, ValueError) as error:
        print_log(f'not shown: {path} ({error})', 'current', logging.WARNING)
        return None
