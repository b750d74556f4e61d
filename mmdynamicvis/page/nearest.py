"""Search for the images of an index that are nearest to a query image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmdynamicvis.embedding.image_index import indexed_picture, make_embedder
from mmdynamicvis.embedding.vector_files import Embeddings
from mmdynamicvis.page.uploads import fit
from mmdynamicvis.retrieval import VectorIndex
from mmdynamicvis.visualization.pictures import Picture

_SIDE = 256
_GONE = np.full((_SIDE, _SIDE, 3), 210, np.uint8)


class NearestImages:
    """Searches an index whose images are all in one folder.

    Args:
        index: Index file written by ``tools/search_images.py``.
        folder: Folder that may be read: that of the images, or a parent of it.
        device: Device of the index's model.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: An image is outside the folder, the index is empty, or its model does not take
            R, G, B images or has changed.
    """

    def __init__(self, index: Path, folder: Path, device: str | None = None) -> None:
        self._folder = folder.resolve()
        names, vectors, settings = Embeddings.load(index)
        if not names:
            raise ValueError(f'{index} is empty')
        self._paths = [Path(name) for name in names]
        for path in self._paths:
            self._check(path)
        self._embedder = make_embedder(settings, device)
        if self._embedder.model.in_channels != 3:
            bands = self._embedder.model.in_channels
            raise ValueError(f'{index} has images of {bands} bands; the page takes R, G, B')
        self._index = VectorIndex()
        self._index.add(vectors)

    def __call__(self, image: Picture, k: int = 8) -> list[tuple[Picture, str]]:
        """Return the nearest images, each with a caption of its distance (1 - cosine) and name.

        An image that no longer exists, or is damaged, is replaced by a gray square, and its caption
        says so.

        Raises:
            ValueError: A file has become a link to a file outside the folder.
        """
        found = self._index.search(self._embedder([image]), min(k, len(self._index)))
        distances, places = (row[0].tolist() for row in found)
        return [
            self._show(self._paths[place], distance)
            for place, distance in zip(places, distances, strict=True)
        ]

    def _show(self, path: Path, distance: float) -> tuple[Picture, str]:
        self._check(path)
        picture = indexed_picture(path, **self._embedder.reading)
        caption = f'{distance:.3f} {path.name}'
        return (_GONE, f'{caption} (gone)') if picture is None else (fit(picture, _SIDE), caption)

    def _check(self, path: Path) -> None:
        if not path.resolve().is_relative_to(self._folder):
            raise ValueError(f'image {path} of the index is not in {self._folder}: name its folder')
