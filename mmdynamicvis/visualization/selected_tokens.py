"""Drawing of the tokens selected by the stages of DynamicVis over the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mmdynamicvis.fileio import replacing
from mmdynamicvis.models.dynamicvis import StageSelection
from mmdynamicvis.visualization.pictures import Picture

# Brightness of tokens that are not selected, and weight of the image under the heat map.
_DIMMED = 0.4
_UNDER_HEAT = 0.6
# The heat map starts at purple, because black would look like a token that is not selected.
_COLDEST = 0.3
_TILE_INCHES = 1.7
_LEGEND = (
    'Gray: not selected. '
    'Color: importance among the selected tokens, from purple (lowest) to yellow (highest).'
)


def draw_selected_tokens(
    image: Picture, indices: ArrayLike, importance: ArrayLike, grid: tuple[int, int]
) -> Picture:
    """Draw the selected tokens of one stage over the model's input image.

    Selected tokens are tinted from purple (lowest importance among them) to yellow (highest); the
    others are gray and dimmed.

    Args:
        image: RGB, uint8 (H, W, 3).
        indices: Indices of the selected tokens in row-major order of the grid, int (K,).
        importance: Importance of every token, (rows * columns,).
        grid: Rows and columns of tokens; the grid is spread evenly over the image.

    Returns:
        RGB picture, uint8 (H, W, 3).

    Raises:
        ValueError: An argument has a wrong shape or dtype, or an index is outside the grid.
    """
    indices, importance = np.asarray(indices), np.asarray(importance, dtype=np.float64)
    _check(image, indices, importance, grid)

    selected = np.zeros(importance.size, bool)
    selected[indices] = True
    # Color by rank: importance is a softmax, in which a single token may have nearly all the mass.
    rank = importance[indices].argsort().argsort() / max(1, len(indices) - 1)
    heat = np.zeros(importance.size)
    heat[indices] = _COLDEST + (1 - _COLDEST) * rank
    colors = cv2.applyColorMap(np.round(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    colors = colors[:, 0, ::-1].astype(np.float64)

    rows, columns = (
        np.arange(pixels) * tokens // pixels
        for pixels, tokens in zip(image.shape[:2], grid, strict=True)
    )
    token_of_pixel = rows[:, None] * grid[1] + columns
    gray = image.mean(axis=2, keepdims=True)
    lit = _UNDER_HEAT * image + (1 - _UNDER_HEAT) * colors[token_of_pixel]
    picture = np.where(selected[token_of_pixel][..., None], lit, _DIMMED * gray)
    return np.round(picture).astype(np.uint8)


def show_selected_tokens(
    images: Sequence[Picture],
    selections: Sequence[StageSelection | None],
    titles: Sequence[str],
    title_colors: Sequence[str] | None = None,
) -> Picture:
    """Compose one row per image: the image, then the selected tokens of each stage.

    Args:
        images: RGB images that the model got as one batch, uint8 (H, W, 3) each.
        selections: Selection of each stage for that batch, as returned by
            `DynamicVis.forward_with_selection`; None for a stage without selection.
        titles: Text above each image.
        title_colors: Matplotlib color of each title; by default black.

    Returns:
        RGB picture, uint8 (H', W', 3).

    Raises:
        ValueError: The numbers of images, titles, colors and selections differ.
    """
    title_colors = ['black'] * len(images) if title_colors is None else title_colors
    counts = [len(titles), len(title_colors)]
    counts += [len(stage.indices) for stage in selections if stage is not None]
    if not images or any(count != len(images) for count in counts):
        raise ValueError(
            f'need as many titles, colors and selections as images ({len(images)}), got {counts}'
        )

    columns = 1 + len(selections)
    size = (columns * _TILE_INCHES, len(images) * (_TILE_INCHES + 0.25))
    figure = Figure(figsize=size, dpi=120, layout='constrained')
    axes = figure.subplots(len(images), columns, squeeze=False)
    for i, row in enumerate(axes):
        row[0].imshow(images[i])
        row[0].set_title(titles[i], fontsize=8, color=title_colors[i])
        for number, (axis, stage) in enumerate(zip(row[1:], selections, strict=True), start=1):
            axis.imshow(images[i] if stage is None else _draw_stage(images[i], stage, i))
            axis.set_title(_describe(number, stage), fontsize=7)
        for axis in row:
            axis.set_axis_off()
    figure.supxlabel(_LEGEND, fontsize=7)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_stages(image: Picture, selections: Sequence[StageSelection | None]) -> list[Picture]:
    """Return a sequence of pictures: the image, then the selected tokens of each stage.

    Args:
        image: RGB input image of the model, uint8 (H, W, 3).
        selections: Selection of each stage for a batch of only this image; None for a stage
            without selection, for which the image is shown.

    Returns:
        1 + number of stages pictures of one size, each with a caption below.
    """
    captions = ['the image', *(_describe(i, stage) for i, stage in enumerate(selections, start=1))]
    stages = [image if stage is None else _draw_stage(image, stage, 0) for stage in selections]
    return [
        _caption(picture, text) for picture, text in zip([image, *stages], captions, strict=True)
    ]


def _caption(picture: Picture, text: str) -> Picture:
    scale = max(picture.shape[1] / 500, 0.35)
    bar = np.full((round(36 * scale), picture.shape[1], 3), 255, np.uint8)
    place = (round(6 * scale), round(25 * scale))
    cv2.putText(bar, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([picture, bar])


def _draw_stage(image: Picture, stage: StageSelection, i: int) -> Picture:
    indices, importance = (part[i].detach().cpu().numpy() for part in stage[:2])
    return draw_selected_tokens(image, indices, importance, stage.grid)


def _describe(number: int, stage: StageSelection | None) -> str:
    if stage is None:
        return f'stage {number}: all tokens'
    return f'stage {number}: {stage.indices.shape[1]} of {stage.grid[0]} x {stage.grid[1]}'


def _check(image: Picture, indices: NDArray, importance: NDArray, grid: tuple[int, int]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'image is {image.dtype} {image.shape}; need RGB, uint8 (H, W, 3)')
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f'indices are {indices.dtype} {indices.shape}; need integers (K,)')
    if importance.shape != (grid[0] * grid[1],):
        raise ValueError(
            f'importance has shape {importance.shape}; a grid of {grid[0]} x {grid[1]} needs '
            f'({grid[0] * grid[1]},)'
        )
    if indices.size and not 0 <= indices.min() <= indices.max() < importance.size:
        raise ValueError(
            f'indices reach from {indices.min()} to {indices.max()}; the grid has tokens 0 to '
            f'{importance.size - 1}'
        )


def write_arrays(selections: dict[int, StageSelection], rows: Sequence[int], path: Path) -> None:
    """Write the selections of some images of a batch as an .npz file, atomically.

    Args:
        selections: Stride in pixels -> selection of the stage for the batch.
        rows: Indices of the images in the batch.
        path: File to write, with ``strideS_indices``, (len(rows), K) int64, and
            ``strideS_importance``, (len(rows), rows, columns) float32; for a single image without
            the first axis.
    """
    arrays = {}
    for stride, selection in selections.items():
        indices, importance = (part[list(rows)].cpu().numpy() for part in selection[:2])
        importance = importance.reshape(-1, *selection.grid)
        arrays[f'stride{stride}_indices'] = indices[0] if len(rows) == 1 else indices
        arrays[f'stride{stride}_importance'] = importance[0] if len(rows) == 1 else importance
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
