"""Measure the backbone on a CPU: parameters, operations, time, memory and import time.

    python tools/benchmark/backbone.py --out benchmarks/results/backbone_cpu.json

Times are relative to float32 matrix products of 2048 x 2048, which alternate with the model in the
same process; 36 GFLOP of them correspond to the arithmetic of base at 512 x 512 pixels. Memory is
the growth of the resident set of a new process. Nothing is timed unless the scan agrees with its
float64 oracle.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from measure import Run, fresh, growth_mb, medians
from record import header, machine, write_json
from torch.utils.flop_counter import FlopCounterMode

from mmdynamicvis import DynamicVis
from mmdynamicvis.ops import selective_scan

REFERENCE_FLOP = 36e9
MATMUL_SIZE = 2048
TRAINING_REPEATS = 3
LIMITS = {
    'base parameters (M)': 36.75,
    'base GMAC': 17.9,
    'large parameters (M)': 91.3,
    'base 512 / 36 GFLOP': 2.0,
    'base 256 x 4 training, eager / fused': 2.0,
    'base 512 growth (MB)': 600,
    'base 1024 / 512': 4.4,
    'base 2048 growth (MB)': 3000,
    'import (s)': 0.2,
}


def check_scan() -> None:
    """Exit with an error if the scan is wrong."""
    torch.manual_seed(0)
    x, dt = torch.randn(2, 1, 300, 40), torch.rand(2, 1, 300, 40)
    A, B, C = -torch.rand(40, 16), torch.randn(2, 1, 300, 16), torch.randn(2, 1, 300, 16)
    y = selective_scan(x, dt, A, B, C, direction='both')
    oracle = selective_scan(x, dt, A, B, C, direction='both', backend='naive')
    error = ((y - oracle).norm() / oracle.norm()).item()
    if not error < 1e-5:
        raise SystemExit(f'selective_scan differs from its oracle by {error:.1e}: nothing is timed')


def build(arch: str, size: int) -> tuple[DynamicVis, torch.Tensor]:
    torch.manual_seed(0)
    return DynamicVis(arch).eval(), torch.randn(1, 3, size, size)


def parameters(arch: str) -> float:
    """Return the number of parameters in millions at the default image size of 512 pixels."""
    return sum(p.numel() for p in DynamicVis(arch).parameters()) / 1e6


@torch.no_grad()
def gmac(arch: str, size: int) -> float:
    """Return the multiply-accumulates (1e9) of a forward pass, without elementwise operations."""
    model, image = build(arch, size)
    with FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops() / 2e9


@torch.no_grad()
def times(arch: str, sizes: list[int], threads: int, repeats: int) -> dict[str, float]:
    """Return median seconds of 36 GFLOP of matrix products and of a forward pass per size."""
    torch.set_num_threads(threads)
    matrix = torch.randn(MATMUL_SIZE, MATMUL_SIZE)
    runs: dict[str, Run] = {'36 GFLOP': lambda: matrix @ matrix}
    for size in sizes:
        model, image = build(arch, size)
        runs[str(size)] = lambda model=model, image=image: model(image)
    figures = medians(runs, repeats)
    figures['36 GFLOP'] *= REFERENCE_FLOP / (2 * MATMUL_SIZE**3)
    return figures


def training_times(arch: str, size: int, batch: int, threads: int) -> dict[str, float]:
    """Return median seconds of a forward and backward pass with eager and with fused ops."""
    torch.set_num_threads(threads)
    images = torch.randn(batch, 3, size, size)

    def step(model: DynamicVis) -> None:
        sum(features.square().mean() for features in model(images)).backward()
        model.zero_grad()

    runs: dict[str, Run] = {}
    for backend in ('eager', 'cpu'):
        model = DynamicVis(arch, backend=backend).train()
        runs[backend] = lambda model=model: step(model)
    return medians(runs, TRAINING_REPEATS)


@torch.no_grad()
def memory_growth_mb(arch: str, size: int, threads: int) -> float:
    """Return the peak growth of the resident set in the first forward pass of this process."""
    torch.set_num_threads(threads)
    model, image = build(arch, size)
    return growth_mb(lambda: model(image), 'cpu')


def import_seconds() -> float:
    """Return the import time in addition to `import torch, mmengine.model`, the best of five."""
    code = (
        'import time, torch, mmengine.model; start = time.perf_counter(); '
        'from mmdynamicvis import DynamicVis; print(time.perf_counter() - start)'
    )
    command = [sys.executable, '-c', code]
    return min(float(subprocess.check_output(command)) for _ in range(5))


def measure(threads: int, repeats: int) -> dict[str, float]:
    figures = {
        f'{arch} parameters (M)': parameters(arch) for arch in ('tiny', 'small', 'base', 'large')
    }
    print('counting operations', flush=True)
    figures |= {f'{arch} GMAC': gmac(arch, 512) for arch in ('tiny', 'small', 'base', 'large')}
    print('timing', flush=True)
    seconds = fresh(times, 'base', [512, 1024], threads, repeats)
    figures |= {f'{name} (s)': value for name, value in seconds.items()}
    figures['base 512 / 36 GFLOP'] = seconds['512'] / seconds['36 GFLOP']
    figures['base 1024 / 512'] = seconds['1024'] / seconds['512']
    steps = fresh(training_times, 'base', 256, 4, threads)
    figures['base 256 x 4 training (s)'] = steps['cpu']
    figures['base 256 x 4 training, eager / fused'] = steps['eager'] / steps['cpu']
    print('measuring memory', flush=True)
    for size in (512, 1024, 2048):
        figures[f'base {size} growth (MB)'] = fresh(memory_growth_mb, 'base', size, threads)
    figures['import (s)'] = import_seconds()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, help='JSON file for the figures')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=7)
    args = parser.parse_args()
    check_scan()
    figures = measure(args.threads, args.repeats)
    for name, value in figures.items():
        limit = f'   figure to reach: {LIMITS[name]}' if name in LIMITS else ''
        print(f'{name:36} {value:10.3f}{limit}')
    if args.out:
        rounded = {name: round(value, 4) for name, value in figures.items()}
        write_json(args.out, header(machine(args.threads)) | {'figures': rounded})


if __name__ == '__main__':
    main()
