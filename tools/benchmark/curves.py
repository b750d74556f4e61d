"""Curves of trainings side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLORS = {'dynamicvis-tiny': '#0072b2', 'resnet18': '#7f7f7f', 'fcsn': '#d55e00'}
"""Of the networks that are compared often, by their name in a config's."""


def draw_seeds(
    axis: Axes,
    curves: Sequence[Mapping[int, float]],
    label: str,
    color: str | None = None,
    scale: float = 1.0,
) -> None:
    """Draw the curves of several seeds thinly, and their mean.

    Args:
        axis: Where to draw.
        curves: Step -> value, of the same steps for every seed.
        label: Of the mean.
        color: Of all; the axis chooses one unless told.
        scale: What makes a step the unit of the x axis.
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
    """Draw a panel per task, and in it a metric in percent per network.

    Args:
        panels: The rows of each task, by its title; a row has ``backbone``, ``step_s`` and
            ``curves``, metric -> {step: value}.
        metrics: The metric of each task.
        unit: What is counted, e.g. 'epoch'.
        path: PNG file.
        scale: What makes a value percent.
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
            axis.plot(list(curve), percent, 'o-', color=color, label=label)
        axis.set(title=title, xlabel=unit, ylabel=f'{metrics[title]}, %')
        axis.set_ylim(bottom=0)
        axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
