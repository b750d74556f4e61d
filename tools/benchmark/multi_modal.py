"""Cost of a backbone for several sensors, against DynamicVis and against one backbone per sensor.

    python tools/benchmark/multi_modal.py --out benchmarks/results/multi_modal_cpu.json

A batch has one image per sensor of one footprint of 320 m: aerial RGB at 0.3125 m, Sentinel-2 and
Sentinel-1 at 10 m, which meet on the grid of 10 m. All contenders run the same tokens. `rgb alone`
and `DynamicVis` take the aerial image only. Forward passes are timed in alternation; memory is what
a forward pass adds to that of its own process, and includes the weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import fresh, growth_mb, medians
from record import Record
from torch import nn

from mmdynamicvis import DynamicVis, MultiModalDynamicVis
from mmdynamicvis.models import ModalityImages, MultiModalBatch

FOOTPRINT = 320.0
"""Meters."""
CELL = 10.0
NO_MAP = dict(position_embedding=False)
"""A learned map would count as parameters, by the size of the images."""
S2_BANDS = tuple(f'B{i:02}' for i in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12))
SENSORS = dict(
    rgb=dict(bands=('red', 'green', 'blue'), gsd=0.3125),
    sentinel2=dict(bands=S2_BANDS, gsd=10.0),
    sentinel1=dict(bands=('VV', 'VH'), gsd=10.0),
)


def batch_of(*names: str) -> MultiModalBatch:
    """Return one sample with images of some sensors."""
    sample = torch.zeros(1, dtype=torch.int64)
    images = {}
    for name in names:
        bands, gsd = SENSORS[name]['bands'], SENSORS[name]['gsd']
        size = round(FOOTPRINT / gsd)
        images[name] = ModalityImages(torch.randn(1, len(bands), size, size), sample, gsd)
    return MultiModalBatch(images, 1)


def alone(arch: str, name: str) -> MultiModalDynamicVis:
    """Return a backbone of one sensor, with the tokens that the shared one makes of it."""
    first = {}
    if SENSORS[name]['gsd'] == CELL:
        first = dict(strides=(1, 2, 2, 2), patch_sizes=(3, 3, 3, 3))
    return MultiModalDynamicVis(arch, {name: SENSORS[name]}, cell=CELL, **NO_MAP, **first)


class Separate(nn.Module):
    """One backbone per sensor."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict({name: alone(arch, name) for name in SENSORS})

    def forward(self, batch: MultiModalBatch) -> list[Any]:
        """Return the features of each sensor."""
        return [
            self.backbones[name](MultiModalBatch({name: images}, batch.size))
            for name, images in batch.images.items()
        ]


def contenders(arch: str) -> dict[str, tuple[Callable[[], nn.Module], Any]]:
    """Return name -> (function that builds the model, its input)."""
    everything = batch_of(*SENSORS)
    rgb = everything.images['rgb'].pixels
    shared = dict(modalities=SENSORS, primary='rgb', cell=CELL, **NO_MAP)
    return {
        'DynamicVis': (lambda: DynamicVis(arch, **NO_MAP), rgb),
        'rgb alone': (lambda: MultiModalDynamicVis(arch, {'rgb': SENSORS['rgb']}, **NO_MAP), rgb),
        'shared': (lambda: MultiModalDynamicVis(arch, **shared), everything),
        'shared, 4 prompts': (
            lambda: MultiModalDynamicVis(arch, **shared, prompts=4),
            everything,
        ),
        'separate': (lambda: Separate(arch), everything),
    }


def memory_mb(arch: str, name: str) -> float:
    """Return the peak memory that a model and a forward pass add to this process."""
    torch.set_num_threads(1)
    build, inputs = contenders(arch)[name]

    def run() -> None:
        model = build().eval()
        with torch.inference_mode():
            model(inputs)

    return growth_mb(run, 'cpu')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', default='base')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    args = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(args.out, 'cpu')
    models = {}
    for name, (build, inputs) in contenders(args.arch).items():
        models[name] = build().eval(), inputs
    with torch.inference_mode():
        runs = {name: lambda m=m, x=x: m(x) for name, (m, x) in models.items()}
        times = medians(runs, args.repeats)
    for name, (model, _) in models.items():
        row = record.add(
            contender=name,
            arch=args.arch,
            parameters=sum(p.numel() for p in model.parameters()),
            forward_s=times[name],
            memory_mb=fresh(memory_mb, args.arch, name),
        )
        print(
            f'{name:20} {row["parameters"] / 1e6:6.1f} M parameters, {row["forward_s"]:.2f} s, '
            f'{row["memory_mb"]:.0f} MB'
        )


if __name__ == '__main__':
    main()
