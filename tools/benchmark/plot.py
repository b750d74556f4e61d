"""Plot result files: models over pixels, times of ops by backend, contenders of a study.

python tools/benchmark/plot.py benchmarks/results/*.json --out docs/images
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Rows = list[dict[str, Any]]
COLORS = dict(
    zip(
        ('dynamicvis', 'published', 'dense', 'without_reduction', 'vit_b16', 'resnet101'),
        ('#0072b2', '#d55e00', '#56b4e9', '#cc79a7', '#009e73', '#7f7f7f'),
        strict=True,
    )
)
"""Distinguishable with any color vision."""
BACKEND_COLORS = {
    'triton': '#0072b2',
    'mamba_ssm': '#d55e00',
    'cpu': '#009e73',
    'eager': '#7f7f7f',
    'naive': '#cccccc',
}


def axes_over_pixels(axes: Axes, title: str, y_label: str, sizes: list[int]) -> None:
    """Set up log-log axes over pixels, with image sizes as tick labels."""
    axes.set(xscale='log', yscale='log', title=title, xlabel='image, pixels', ylabel=y_label)
    axes.set_xticks([size**2 for size in sizes], [f'{size}²' for size in sizes])
    axes.xaxis.minorticks_off()
    axes.grid(alpha=0.3)


def whole_decades(axes: Axes) -> None:
    """Extend a logarithmic y axis to begin and end at a labeled tick."""
    low, high = axes.get_ylim()
    axes.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))


def draw_models(content: dict[str, Any]) -> Figure | None:
    """Plot the best mode of every model; return None if there are fewer than two sizes."""
    rows = [r for r in content['rows'] if r.get('task') == 'forward' and r.get('best')]
    sizes = sorted({row['size'] for row in rows})
    if len(sizes) < 2:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout='constrained')
    axes_over_pixels(left, 'time of a forward pass', 'milliseconds', sizes)
    axes_over_pixels(right, 'peak memory with weights', 'MB', sizes)
    lines: dict[tuple[str, str], Rows] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row['size']):
        lines[row['model'], row['dtype']].append(row)
    for (model, dtype), points in lines.items():
        style = dict(
            color=COLORS.get(model, 'black'),
            linestyle='-' if dtype == 'float32' else '--',
            marker='o',
            markersize=4,
            label=f'{model}, {dtype}',
        )
        pixels = [row['size'] ** 2 for row in points]
        left.plot(pixels, [1e3 * row['seconds'] for row in points], **style)
        right.plot(pixels, [row['memory (MB)'] for row in points], **style)
    for axes in (left, right):
        whole_decades(axes)
    figure.legend(*left.get_legend_handles_labels(), loc='outside right upper', fontsize='small')
    return figure


def draw_ops(content: dict[str, Any]) -> Figure | None:
    """Plot the forward times of every op by stage at the largest size; None without any."""
    rows = [row for row in content['rows'] if row.get('pass') == 'forward']
    if not rows:
        return None
    size = max(row['size'] for row in rows)
    dtype = rows[-1]['dtype']
    rows = [row for row in rows if (row['size'], row['dtype']) == (size, dtype)]
    ops = list(dict.fromkeys(row['op'] for row in rows))
    backends = list(dict.fromkeys(row['backend'] for row in rows))
    width = 0.8 / (len(backends) + 1)
    figure, all_axes = plt.subplots(
        1, len(ops), figsize=(3.2 * len(ops), 4), layout='constrained', squeeze=False
    )
    for axes, op in zip(all_axes[0], ops, strict=True):
        for i, backend in enumerate(backends):
            bars = [row for row in rows if (row['op'], row['backend']) == (op, backend)]
            places = [row['stage'] + (i - (len(backends) - 1) / 2) * width for row in bars]
            heights = [1e6 * row['seconds'] for row in bars]
            axes.bar(places, heights, width, label=backend, color=BACKEND_COLORS[backend])
        floors = {r['stage']: max(r['floor'].values()) for r in rows if r['op'] == op}
        for stage, floor in floors.items():
            label = 'floor' if stage == min(floors) else None
            axes.hlines(1e6 * floor, stage - 0.45, stage + 0.45, 'black', label=label)
        axes.set(yscale='log', title=op, xlabel='stage', xticks=sorted(floors))
        whole_decades(axes)
    all_axes[0][0].set_ylabel('microseconds')
    labeled = all_axes[0][0].get_legend_handles_labels()
    figure.legend(*labeled, loc='outside right upper', fontsize='small')
    figure.suptitle(f'forward, {size} x {size} pixels, {dtype}')
    return figure


def draw_contenders(content: dict[str, Any]) -> Figure:
    """Plot the average precision of each contender: its seeds, and their mean."""
    rows = content['rows'][::-1]
    figure, axes = plt.subplots(figsize=(7, 0.45 * len(rows) + 1), layout='constrained')
    for height, row in enumerate(rows):
        found = row['average precision']
        axes.plot(found['values'], [height] * len(found['values']), 'o', color='#7f7f7f')
        axes.plot(found['mean'], height, '|', color='#0072b2', markersize=20, markeredgewidth=3)
    labels = [f'{row["contender"]}, {row["step_s"]:.2f} s per step' for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set(xlim=(0, None), ylim=(-0.5, len(rows) - 0.5))
    axes.set_xlabel('average precision of change, %: seeds and their mean')
    axes.grid(axis='x', alpha=0.3)
    return figure


def processor(content: dict[str, Any]) -> str:
    """Return the processor that results were measured on."""
    machine = content['machine']
    return machine.get('gpu') or f'{machine["cpu"]}, {machine["threads"]} threads'


DRAWINGS: dict[str, Callable[[dict[str, Any]], Figure | None]] = {
    'models': draw_models,
    'growth': draw_models,
    'ops': draw_ops,
    'fusion': draw_contenders,
    'modality': draw_contenders,
}
"""First word of a file's name -> function that plots it."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', nargs='+', type=Path, help='JSON files of the benchmarks')
    parser.add_argument('--out', type=Path, default=Path('docs/images'))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.results:
        draw = DRAWINGS.get(path.stem.split('_')[0])
        content = json.loads(path.read_text())
        figure = draw(content) if draw else None
        if figure is None:
            print(f'{path}: nothing to draw')
            continue
        figure.supxlabel(f'{processor(content)}, {content["date"]}', fontsize='small')
        target = args.out / f'{path.stem}.png'
        figure.savefig(target, dpi=120)
        plt.close(figure)
        print(target)
    return 0


if __name__ == '__main__':
    sys.exit(main())
