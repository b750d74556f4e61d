"""Compare models in one run: latency, memory, throughput, growth with the image size.

    python tools/benchmark/models.py --out benchmarks/results/models_cpu.json
    python tools/benchmark/models.py --growth --out benchmarks/results/growth_cpu.json

On a CPU, the models of one size and dtype are timed in alternation under the same conditions. On a
GPU, which nothing else uses, each row is written before the next is measured, and an error costs
only its row. Models must first give finite outputs, and the published scheme the same maps as
DynamicVis; otherwise they are skipped with a note. Memory is the sum of weights, images and the
peak growth in a pass, measured by torch's allocator on a GPU and as growth of the resident set in a
separate process on a CPU. bfloat16 applies to the whole model; it is not autocast.
Modes: 'eager'; 'compiled' (torch.compile); 'graph' (a replayed CUDA graph). A training step is
forward, backward and AdamW, in eager mode. The GPU's L2 cache is flushed before each repeat.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
from typing import Any

import torch
from contenders import CONTENDERS, PAPER, Spec, check, forward, training_step
from measure import (
    Run,
    add_arguments,
    exponent,
    fresh,
    graphed,
    growth_mb,
    medians,
    parse,
    timer_for,
)
from published import kernels
from record import LOST, Record, gpu_is_lost, reason_of
from torch import Tensor, nn

MODES = ('eager', 'compiled', 'graph')
TASKS = {'forward': forward, 'training_step': training_step}
SIZES = {'cpu': [128, 256], 'cuda': [128, 256, 512, 1024, 2048, 4096]}
GROWTH_SIZES = {'cpu': [256, 512, 1024, 2048], 'cuda': [1024, 2048, 4096, 8192, 10240]}
MAX_BATCH = {'cpu': 4, 'cuda': 1024}
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError


def held_mb(model: nn.Module, images: Tensor) -> float:
    """Return the MB of the weights and the images."""
    held = [*model.parameters(), *model.buffers(), images]
    return sum(x.numel() * x.element_size() for x in held) / 2**20


def prepare(spec: Spec, task: str, mode: str, *built: Any) -> tuple[Run, float | None]:
    """Return a function that runs a pass, and the growth of memory in it in MB (None if unknown).

    Args:
        spec: The model to measure.
        task: One of :data:`TASKS`.
        mode: One of :data:`MODES`.
        built: The model and the images.
    """
    model, images = built
    if mode == 'compiled':
        model = torch.compile(model, dynamic=False)
    run = TASKS[task](model, images)
    if mode == 'eager':
        if spec.device == 'cpu':
            return run, fresh(resident_growth_mb, spec, task, torch.get_num_threads())
        return run, growth_mb(run, spec.device)  # includes the optimizer's state, created here
    run()  # compiles, which needs memory of its own
    if mode == 'compiled':
        return run, growth_mb(run, spec.device) if spec.device == 'cuda' else None
    captured: list[Run] = []
    growth = growth_mb(lambda: captured.append(graphed(run)), spec.device)
    return captured[0], growth


def resident_growth_mb(spec: Spec, task: str, threads: int) -> float:
    """Return the growth of memory in MB in the first pass on a CPU; for use by :func:`fresh`."""
    torch.set_num_threads(threads)
    return growth_mb(TASKS[task](*spec.build()), 'cpu')


def release(device: str) -> None:
    """Release the memory of deleted models."""
    if 'torch._dynamo' in sys.modules:  # importing it takes seconds
        torch._dynamo.reset()
    gc.collect()
    if device == 'cuda':
        torch.cuda.empty_cache()


def about(spec: Spec, task: str, mode: str | None = None) -> dict[str, Any]:
    """Return the values that identify a row."""
    found = dict(model=spec.name, size=spec.size, dtype=spec.dtype, batch=spec.batch, task=task)
    if mode is not None:
        found['mode'] = mode
    return found


def measure(
    specs: list[Spec], task: str, modes: list[str], args: argparse.Namespace, record: Record
) -> None:
    """Time models of one size and dtype; print and record the results."""
    cases = [(spec, mode) for spec in specs for mode in modes]
    cases = [(spec, mode) for spec, mode in cases if not record.has(**about(spec, task, mode))]
    # on a GPU one row at a time, on a CPU all in alternation
    for group in [[case] for case in cases] if args.device == 'cuda' else [cases]:
        runs, rows = {}, {}
        for spec, mode in group:
            print(f'  preparing {spec.name}, {mode}', flush=True)
            row = record.begin(**about(spec, task, mode))
            with record.guard(row):
                runs[spec.name, mode] = prepared(spec, task, mode, row)
                rows[spec.name, mode] = row
        with record.guard(*rows.values()):
            limit_s = args.seconds * max(1, len(runs))
            times = medians(runs, args.repeats, timer_for(args.device), limit_s)
            for (name, mode), seconds in times.items():
                rows[name, mode] |= {'seconds': seconds, 'images/s': args.batch / seconds}
        runs.clear()
        release(args.device)
        for row in rows.values():
            if 'seconds' in row:
                mark_best(row, record)
                show(row, args.arch)


def prepared(spec: Spec, task: str, mode: str, row: dict[str, Any]) -> Run:
    """Return a function that runs a model's pass, after checking it; describe it in its row.

    Raises:
        ValueError: Outputs are not finite.
    """
    if spec.name == 'published':
        row['kernels'] = kernels(spec.device)
    model, images = spec.build()
    run, growth = prepare(spec, task, mode, model, images)
    if not all(x.isfinite().all() for x in run()):
        raise ValueError('NaN or infinite values')
    row['held (MB)'] = held = held_mb(model, images)
    row['memory (MB)'] = None if growth is None else held + growth
    if spec.device == 'cuda':
        row['allocated (MB)'] = torch.cuda.max_memory_allocated() / 2**20
    return run


def mark_best(row: dict[str, Any], record: Record) -> None:
    """Mark the fastest mode of the model of a row."""
    alike = ('model', 'size', 'dtype', 'batch', 'task')
    rows = [
        other
        for other in record.rows
        if 'seconds' in other and all(other.get(key) == row[key] for key in alike)
    ]
    best = min(rows, key=lambda other: other['seconds'])
    for other in rows:
        other['best'] = other is best
    record.save()


def show(row: dict[str, Any], arch: str) -> None:
    """Print a row, with the paper's values if there are any."""
    paper = ''
    if arch == 'base' and row['batch'] == 1 and row['task'] == 'forward':
        found = PAPER.get(row['model'], {}).get(row['size'])
        paper = f'   paper (L20): {found[0]:.2f} ms, {found[1]:.0f} MB' if found else ''
    memory = math.nan if row['memory (MB)'] is None else row['memory (MB)']
    print(
        f'  {row["model"]:18} {row["mode"]:9} {1e3 * row["seconds"]:10.2f} ms '
        f'{memory:10.1f} MB{" best" if row["best"] else "     "}{paper}',
        flush=True,
    )


def throughput(spec: Spec, args: argparse.Namespace, record: Record) -> None:
    """Double the batch size until it does not fit; record the largest one that does."""
    alike = dict(model=spec.name, size=spec.size, dtype=spec.dtype, task='throughput')
    if record.has(**alike):
        return
    row = record.begin(**alike, **{'memory limit (GB)': args.memory})
    with record.guard(row):
        row |= largest_batch(spec, args)
        print(
            f'  {spec.name:18} {row["images/s"]:10.2f} images/s at batch {row["batch"]}', flush=True
        )


def largest_batch(spec: Spec, args: argparse.Namespace) -> dict[str, float]:
    """Return the largest batch size that fits, its seconds and images per second.

    Raises:
        OutOfMemoryError: Not even one image fits.
    """
    found, batch = {}, 1
    if args.device == 'cuda' and args.memory:
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(min(1.0, args.memory / total))
    while batch <= (args.max_batch or MAX_BATCH[args.device]):
        one = Spec(**(vars(spec) | {'batch': batch}))
        try:
            model, images = one.build()
            run = forward(model, images)
            seconds = medians({'': run}, args.repeats, timer_for(args.device), args.seconds)['']
        except OUT_OF_MEMORY:
            if not found:
                raise
            break
        finally:
            model = images = run = None
            release(args.device)
        found = {'batch': batch, 'seconds': seconds, 'images/s': batch / seconds}
        batch *= 2
    if args.device == 'cuda':
        torch.cuda.set_per_process_memory_fraction(1.0)
    return found


def fit(args: argparse.Namespace, record: Record) -> None:
    """Print and record the exponents with which time and memory grow with the pixels."""
    for name in args.models:
        for dtype in args.dtypes:
            rows = [r for r in record.rows if (r['model'], r['dtype']) == (name, dtype)]
            rows = [r for r in rows if r.get('mode') == 'eager' and 'seconds' in r]
            if len(rows) < 2:
                continue
            powers = {
                'time': exponent([(r['size'] ** 2, r['seconds']) for r in rows]),
                'memory': exponent(
                    [(r['size'] ** 2, r['memory (MB)'] - r['held (MB)']) for r in rows]
                ),
            }
            record.note(f'growth of {name} in {dtype}', powers)
            print(
                f'{name}, {dtype}: time grows with pixels^{powers["time"]:.3f}, '
                f'memory beyond weights and image with pixels^{powers["memory"]:.3f}'
            )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument(
        '--sizes', nargs='+', type=int, help=f'image sizes in pixels (default: {SIZES})'
    )
    parser.add_argument('--models', nargs='+', choices=CONTENDERS)
    parser.add_argument(
        '--modes', nargs='+', choices=MODES, help='modes of inference (CPU: eager; GPU: all)'
    )
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=['forward'])
    parser.add_argument('--batch', type=int, default=1, help='default: 1')
    parser.add_argument('--backend', default='auto', help="of DynamicVis's ops (default: auto)")
    parser.add_argument(
        '--throughput', action='store_true', help='also images/s at the largest batch that fits'
    )
    parser.add_argument('--memory', type=float, help='GB that the batch must fit (default: all)')
    parser.add_argument('--max-batch', type=int, help=f'default: {MAX_BATCH}')
    parser.add_argument(
        '--growth',
        action='store_true',
        help='fit how time and memory of DynamicVis grow with the pixels; other defaults: '
        f'sizes {GROWTH_SIZES}, eager mode; on a GPU in bfloat16',
    )
    args = parse(parser)
    if args.growth and args.device == 'cuda':
        args.dtypes = ['bfloat16']
    args.sizes = args.sizes or (GROWTH_SIZES if args.growth else SIZES)[args.device]
    args.models = args.models or (['dynamicvis'] if args.growth else list(CONTENDERS))
    eager_only = args.growth or args.device == 'cpu'
    args.modes = args.modes or (['eager'] if eager_only else list(MODES))
    if args.device == 'cpu' and 'graph' in args.modes:
        parser.error('CUDA graphs need a GPU')
    return args


def noted(name: str, args: argparse.Namespace) -> tuple[str, bool]:
    """Return a note about a model, and whether it can be timed on this machine."""
    reason = CONTENDERS[name].unavailable()
    if reason is not None:
        return reason, False
    try:
        return check(name, args.arch, args.device, args.backend), True
    except Exception as error:  # must not prevent measuring the other models
        return f'left out: {reason_of(error)}', False


def main() -> int:
    args = parse_args()
    record = Record(args.out, args.device, args.append)
    for name in list(args.models):
        note, fit_to_time = noted(name, args)
        if not fit_to_time:
            args.models.remove(name)
        if note:
            print(f'{name}: {note}', flush=True)
            record.note(name, note)
    if gpu_is_lost():
        return LOST

    for size in args.sizes:
        for dtype in args.dtypes:
            for task in args.tasks:
                print(f'{task}, {size} pixels, {dtype}, batch {args.batch}', flush=True)
                training = task == 'training_step'
                rest = (args.arch, size, dtype, args.device, args.batch, training, args.backend)
                specs = [Spec(name, *rest) for name in args.models]
                measure(specs, task, ['eager'] if training else args.modes, args, record)
            if args.throughput:
                print(f'throughput, {size} pixels, {dtype}', flush=True)
                for name in args.models:
                    rest = (args.arch, size, dtype, args.device, 1, False, args.backend)
                    throughput(Spec(name, *rest), args, record)
    if args.growth:
        fit(args, record)
    return 0


if __name__ == '__main__':
    sys.exit(main())
