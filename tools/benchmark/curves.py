"""Plots of training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLORS = {'dynamicvis-tiny': '#0072b2', 'resnet18': '#7f7f7f', 'fcsn': '#d55e00'}
"""Colors of frequently compared networks, by their name in the names of configs."""


def draw_seeds(
    axis: Axes,
    curves: Sequence[Mapping[int, float]],
    label: str,
    color: str | None = None,
    scale: float = 1.0,
) -> None:
    """Plot the mean curve of several seeds, and the curve of each seed faintly.

    Args:
        axis: Axes to draw on.
        curves: Step -> value for each seed, with the same steps.
        label: Label of the mean.
        color: Color of all curves; by default chosen by the axes.
        scale: Factor from steps to the unit of the x axis.
    """
    steps = sorted(curves[0])
    x = [scale * step for step in steps]
    mean = [sum(curve[step] for curve in curves) / len(curves) for step in steps]
    (line,) = axis.plot(x, mean, color=color, linewidth=2.5, label=label)
    for curve in curves:
        axis.plot(x, [curve[step] for step in steps], color=line.get_color(), alpha=0.3)


def draw_curves(
    panels: Mapping[str, list[dict]],
    metrics: Mapping[str, str],
    unit: str,
    path: Path,
    scale: float = 1.0,
) -> None:
    """Plot a panel per task, with a curve in percent per network.

    Args:
        panels: Title of a task -> its rows, which have ``backbone``, ``step_s`` and ``curves``
            (metric -> {step: value}).
        metrics: Title of a task -> its metric.
        unit: Unit of the steps, e.g. 'epoch'.
        path: PNG file to write.
        scale: Factor from values to percent.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5 * len(panels), 4), layout='constrained', squeeze=False
    )
    for axis, (title, rows) in zip(axes[0], panels.items(), strict=True):
        for row in rows:
            curve = row['curves'][metrics[title]]
            percent = [scale * value for value in curve.values()]
            label = f'{row["backbone"]}, {row["step_s"]:.2f} s per step'
            color = COLORS.get(row['backbone'])
            steps = [int(step) for step in curve]  # text in a result file
            axis.plot(steps, percent, 'o-', color=color, label=label)
        axis.set(title=title, xlabel=unit, ylabel=f'{metrics[title]}, %')
        axis.set_ylim(bottom=0)
        axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
