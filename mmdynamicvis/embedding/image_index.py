"""An index over images that remembers the model that made it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmdynamicvis import zoo
from mmdynamicvis.embedding.embedder import Embedder
from mmdynamicvis.embedding.images import read_image
from mmdynamicvis.embedding.vector_files import Embeddings
from mmdynamicvis.fileio import digest, expand_home
from mmdynamicvis.models.weights import local_file
from mmdynamicvis.visualization import as_picture
from mmdynamicvis.visualization.pictures import Picture


def settings_of(
    model: str | Path, checkpoint: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Return what makes the same embedder again, of JSON types.

    Args:
        model: Checkpoint, config, or name of weights in the :mod:`~mmdynamicvis.zoo`.
        checkpoint: Weights for a config.
        **options: Further arguments of :class:`~mmdynamicvis.embedding.Embedder`.
    """
    sources = [zoo.address(source) for source in (model, checkpoint) if source]
    sources = [x if '://' in x else str(Path(expand_home(x)).resolve()) for x in sources]
    return dict(
        model=sources[0],
        checkpoint=sources[1] if checkpoint else None,
        options=options,
        digests=[digest(local_file(source)) for source in sources],
    )


def make_embedder(settings: Mapping[str, Any], device: str | None = None) -> Embedder:
    """Return the embedder of an index.

    Raises:
        FileNotFoundError: A file of the model is no longer where it was.
        ValueError: A file of the model has changed since, or the settings are not of an index.
    """
    if missing := {'model', 'checkpoint', 'digests', 'options'} - set(settings):
        raise ValueError(
            f'the index does not say how it was made, {", ".join(sorted(missing))} are missing: '
            'build it with tools/search_images.py'
        )
    sources = [source for source in (settings['model'], settings['checkpoint']) if source]
    for source, expected in zip(sources, settings['digests'], strict=True):
        if digest(local_file(source)) != expected:
            raise ValueError(f'{source} has changed since the index was made: build it anew')
    options = settings['options']
    return Embedder(sources[0], checkpoint=settings['checkpoint'], device=device, **options)


def embed_images(
    images: Sequence[Path], settings: Mapping[str, Any], device: str | None = None
) -> Embeddings:
    """Return the index of images by their full paths; it says which do not fit, and lacks those."""
    names, vectors, _ = make_embedder(settings, device).files([path.resolve() for path in images])
    return Embeddings(names, vectors, settings)


def indexed_picture(path: str | Path, bands: Sequence[int] | None = None) -> Picture | None:
    """Return the picture of an image of an index; None, and a warning, if it cannot be read now.

    Args:
        path: The image.
        bands: Bands of rasters, counted from 1.
    """
    try:
        return as_picture(read_image(path, bands).numpy())
    except (OSError, ValueError) as error:
        print_log(f'not shown: {path} ({error})', 'current', logging.WARNING)
        return None
