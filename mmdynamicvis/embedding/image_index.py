"""An index of image embeddings that records the model it was made with."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmdynamicvis import zoo
from mmdynamicvis.embedding.embedder import Embedder
from mmdynamicvis.embedding.images import read_image, read_window
from mmdynamicvis.embedding.vector_files import Embeddings
from mmdynamicvis.fileio import digest, expand_home
from mmdynamicvis.models.weights import local_file
from mmdynamicvis.visualization import as_picture
from mmdynamicvis.visualization.pictures import Picture


def settings_of(
    model: str | Path, checkpoint: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Return the settings from which :func:`make_embedder` rebuilds an embedder, of JSON types.

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
    sources = [source for source in (settings['model'], settings['checkpoint']) if source]
    for source, expected in zip(sources, settings['digests'], strict=True):
        if digest(local_file(source)) != expected:
            raise ValueError(f'{source} has changed since the index was made: build it again')
    options = settings['options']
    return Embedder(sources[0], checkpoint=settings['checkpoint'], device=device, **options)


def embed_images(
    images: Sequence[Path], settings: Mapping[str, Any], device: str | None = None
) -> Embeddings:
    """Return embeddings of images, named by absolute path; skips unsuitable ones with a warning.

    Their settings have ``stamps``, the :func:`stamp_of` of each image.
    """
    paths = [path.resolve() for path in images]
    # taken before the images are read, so that a later change is noticed
    stamps = {path.as_posix(): stamp_of(path) for path in paths}
    names, vectors, _ = make_embedder(settings, device).files(paths)
    return Embeddings(names, vectors, {**settings, 'stamps': [stamps[name] for name in names]})


def stamp_of(path: Path) -> list[int] | None:
    """Return size in bytes and modification time in nanoseconds; None for a broken link."""
    if not path.exists():
        return None
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def indexed_picture(name: str | Path, **reading: Any) -> Picture | None:
    """Return the picture of an indexed image; None, with a warning, if it can no longer be read.

    Args:
        name: The image, or the window of a raster, as
            :func:`~mmdynamicvis.embedding.partitions.name_of` writes it.
        **reading: Arguments of :func:`~mmdynamicvis.embedding.images.read_image`, which an embedder
            has as ``reading``.
    """
    window = re.fullmatch(r'(.+)\[(\d+):(\d+),(\d+):(\d+)\]', str(name))
    try:
        if window is None or Path(name).exists():
            return as_picture(read_image(name, **reading).numpy())
        path, *edges = window.groups()
        top, bottom, left, right = map(int, edges)
        return as_picture(read_window(path, ((top, bottom), (left, right)), **reading).numpy())
    except (OSError, ValueError) as error:
        print_log(f'not shown: {name} ({error})', 'current', logging.WARNING)
        return None
