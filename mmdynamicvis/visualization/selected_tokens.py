"""The tokens that the stages of DynamicVis selected, drawn over the image."""

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

# How much of the light is left on tokens that were not selected, and of the image under the heat.
_DIMMED = 0.4
_UNDER_HEAT = 0.6
# The heat starts at purple: black would look like a token that was left out.
_COLDEST = 0.3
_TILE_INCHES = 1.7
_LEGEND = (
    'Gray: not selected. '
    'Color: importance among the selected tokens, from purple (lowest) to yellow (highest).'
)


def draw_selected_tokens(
    image: Picture, indices: ArrayLike, importance: ArrayLike, grid: tuple[int, int]
) -> Picture:
    """Draws the selected tokens of one stage over the image that the model saw.

    Selected tokens are tinted from purple (the least important of them) to yellow (the most
    important one); the others are gray and dimmed.

    Args:
        image: RGB, uint8 (H, W, 3).
        indices: Places of the selected tokens in row-major order of the grid, int (K,).
        importance: Importance of every token, (rows * columns,).
        grid: Rows and columns of tokens; the grid is spread evenly over the image.

    Returns:
        RGB picture, uint8 (H, W, 3).

    Raises:
        ValueError: An argument has the wrong shape or type, or an index is not in the grid.
    """
    indices, importance = np.asarray(indices), np.asarray(importance, dtype=np.float64)
    _check(image, indices, importance, grid)

    selected = np.zeros(importance.size, bool)
    selected[indices] = True
    # Importances are a softmax, in which one token may hold nearly everything: ranks stay readable.
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
    """Composes one row per image: the image, and beside it what each stage selected.

    Args:
        images: RGB images that the model saw as one batch, uint8 (H, W, 3) each.
        selections: What each stage selected, as `DynamicVis.forward_with_selection` returns it for
            that batch; None for a stage without selection.
        titles: Text over each image.
        title_colors: Matplotlib color of each title, black unless given.

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
    """Returns pictures to be shown one after the other: the image, then what each stage selected.

    Args:
        image: RGB image that the model saw, uint8 (H, W, 3).
        selections: What each stage selected, of a batch of this image alone; None for a stage
            without selection, which shows the image.

    Returns:
        One picture more than there are stages, with a line of text below, all of one size.
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
    """Write what the stages selected of some images of a batch; of one, without the first axis."""
    arrays = {}
    for stride, selection in selections.items():
        indices, importance = (part[list(rows)].cpu().numpy() for part in selection[:2])
        importance = importance.reshape(-1, *selection.grid)
        arrays[f'stride{stride}_indices'] = indices[0] if len(rows) == 1 else indices
        arrays[f'stride{stride}_importance'] = importance[0] if len(rows) == 1 else importance
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
