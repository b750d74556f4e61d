"""A picture of the queries and results of an image search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmdynamicvis.visualization.pictures import Picture

_TILE_INCHES = 1.5


def show_search_results(
    queries: Sequence[Picture],
    results: Sequence[Sequence[Picture | None]],
    titles: Sequence[Sequence[str]],
) -> Picture:
    """Compose one row per query: the query, then its results, nearest first.

    Args:
        queries: RGB pictures, uint8 (H, W, 3) each.
        results: The same number of pictures for each query; None for an image that no longer
            exists.
        titles: Text above each result.

    Returns:
        RGB picture, uint8 (H', W', 3).

    Raises:
        ValueError: The numbers of queries, results and titles differ.
    """
    counts = {len(row) for row in (*results, *titles)}
    if not queries or len(results) != len(queries) or len(titles) != len(queries):
        raise ValueError(f'{len(queries)} queries, {len(results)} results, {len(titles)} titles')
    if len(counts) != 1:
        raise ValueError(f'queries have {sorted(counts)} results and titles; need one number')
    columns = 1 + counts.pop()
    size = (columns * _TILE_INCHES, len(queries) * (_TILE_INCHES + 0.3))
    figure = Figure(figsize=size, dpi=120, layout='constrained')
    axes = figure.subplots(len(queries), columns, squeeze=False)
    for row, query, found, texts in zip(axes, queries, results, titles, strict=True):
        for axis, picture, text in zip(row, [query, *found], ['query', *texts], strict=True):
            if picture is None:
                axis.set_facecolor('lightgray')
                axis.text(0.5, 0.5, 'gone', ha='center', va='center', transform=axis.transAxes)
            else:
                axis.imshow(picture)
            axis.set_title(text, fontsize=6)
            axis.set_xticks([])
            axis.set_yticks([])
        for side in row[0].spines.values():
            side.set(color='firebrick', linewidth=2)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
