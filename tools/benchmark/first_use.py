"""Time the compilation when DynamicVis is used for the first time.

    python tools/benchmark/first_use.py --out benchmarks/results/first_use_cpu.json

A new process with empty caches (Triton's and that of the C++ kernels) runs a forward pass and then
a training step, each twice; the difference between first and second is the compilation time. The
GPU, torch and its libraries are warmed up beforehand, because their startup is not measured here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
from contenders import Spec, forward, training_step
from measure import Run, add_arguments, parse, seconds
from record import Record

SIZE = 512
CACHES = ('TRITON_CACHE_DIR', 'TORCHINDUCTOR_CACHE_DIR', 'MMDYNAMICVIS_CACHE')


def compile_seconds(run: Run, device: str) -> float:
    """Return how many seconds longer the first call takes than the second."""

    def finished() -> None:
        run()
        if device == 'cuda':
            torch.cuda.synchronize()

    first = seconds(finished)
    return max(0.0, first - seconds(finished))


def warm_up(device: str) -> None:
    """Use torch so that it loads its libraries."""
    x = torch.randn(1, 3, SIZE, SIZE, device=device, requires_grad=True)
    y = torch.nn.Conv2d(3, 8, 3, device=device)(x).flatten(2)
    (y @ y.transpose(1, 2)).softmax(-1).sum().backward()
    x.detach().flatten().topk(8)


TASKS = {'forward': forward, 'training_step': training_step}


def measure_here(args: argparse.Namespace) -> None:
    """Measure in this process, whose caches are empty; print a line per task."""
    warm_up(args.device)
    for task, make in TASKS.items():
        training = task != 'forward'
        spec = Spec(
            'dynamicvis', args.arch, args.size, args.dtypes[0], args.device, 1, training, 'auto'
        )
        print(json.dumps({task: compile_seconds(make(*spec.build()), args.device)}), flush=True)


def measured(command: list[str]) -> tuple[dict[str, float], str]:
    """Return the measurements printed by a process, and a description of how it ended."""
    with tempfile.TemporaryDirectory() as empty:
        caches = {name: f'{empty}/{name}' for name in CACHES}
        done = subprocess.run(
            command, env=os.environ | caches, text=True, capture_output=True, check=False
        )
    found: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if line.startswith('{'):
            found |= json.loads(line)
    last = (done.stderr.strip().splitlines() or [''])[-1]
    return found, f'exit status {done.returncode}: {last[:300]}'


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument('--size', type=int, default=SIZE, help=f'in pixels (default: {SIZE})')
    parser.add_argument(
        '--here', action='store_true', help='measure in this process; for internal use'
    )
    args = parse(parser)
    if args.here:
        measure_here(args)
        return 0
    record = Record(args.out, args.device, args.append)
    command = [sys.executable, *sys.argv, '--here']
    for dtype in args.dtypes:
        alike = dict(model='dynamicvis', size=args.size, dtype=dtype)
        rows = {
            task: record.begin(**alike, task=task)
            for task in TASKS
            if not record.has(**alike, task=task)
        }
        if not rows:
            continue
        found, ending = measured([*command, '--dtypes', dtype])
        for task, row in rows.items():
            with record.guard(row):
                if task not in found:
                    raise RuntimeError(ending)
                row['seconds'] = found[task]
                print(f'{dtype}, first {task}: {found[task]:.1f} s of compilation', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
