"""An index over images that remembers the model that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdynamicvis.embedding.embedder import Embedder
from mmdynamicvis.embedding.vector_files import Embeddings
from mmdynamicvis.fileio import digest


def settings_of(
    model: str | Path, checkpoint: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Return what makes the same embedder again, of JSON types.

    Args:
        model: Checkpoint or config.
        checkpoint: Weights for a config.
        **options: Further arguments of :class:`~mmdynamicvis.embedding.Embedder`.
    """
    files = [Path(path).resolve() for path in (model, checkpoint) if path]
    return dict(
        model=str(files[0]),
        checkpoint=str(files[1]) if checkpoint else None,
        options=options,
        digests=[digest(path) for path in files],
    )


def make_embedder(settings: Mapping[str, Any], device: str | None = None) -> Embedder:
    """Return the embedder of an index.

    Raises:
        FileNotFoundError: A file of the model is no longer where it was.
        ValueError: A file of the model has changed since.
    """
    files = [Path(path) for path in (settings['model'], settings['checkpoint']) if path]
    for path, expected in zip(files, settings['digests'], strict=True):
        if digest(path) != expected:
            raise ValueError(f'{path} has changed since the index was made: build it anew')
    options = settings['options']
    return Embedder(files[0], checkpoint=settings['checkpoint'], device=device, **options)


def embed_images(
    images: Sequence[Path], settings: Mapping[str, Any], device: str | None = None
) -> Embeddings:
    """Return the index of images by their full paths; those that are damaged are left out."""
    names, vectors, _ = make_embedder(settings, device).files([path.resolve() for path in images])
    return Embeddings(names, vectors, settings)
