"""Measurement of time, memory and the limits of the machine for the benchmarks."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16}
DEFAULT_DTYPES = {'cpu': ['float32'], 'cuda': list(DTYPES)}
MATMUL_SIZE = {'cpu': 2048, 'cuda': 8192}
"""Size of the square matrices whose product gives the rate of arithmetic."""
COPY_BYTES = {'cpu': 2**28, 'cuda': 2**31}
"""Size of the tensor whose copy gives the bandwidth, several times that of any cache."""
CEILING_REPEATS = 5
EXPONENTIALS_PER_CLOCK = 16
"""Per multiprocessor, on all NVIDIA GPUs from Ampere to Hopper."""
WARM_UPS = 3
"""Number of runs before a capture, for compilation and for libraries' first allocations."""
UNKNOWN_L2_BYTES = 2**27

Run = Callable[[], Any]
Timer = Callable[[Run], float]


def seconds(function: Run) -> float:
    """Return the wall-clock time of one call in seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class CudaTimer:
    """Measures the seconds of one call on the GPU by events, starting with a flushed L2 cache."""

    def __init__(self) -> None:
        l2 = getattr(torch.cuda.get_device_properties(0), 'L2_cache_size', UNKNOWN_L2_BYTES)
        self.flush = torch.empty(2 * l2, dtype=torch.uint8, device='cuda')

    def __call__(self, function: Run) -> float:
        """Time one call, and wait until it has finished."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        self.flush.zero_()
        start.record()
        function()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3


def timer_for(device: str) -> Timer:
    """Return the timer for a device."""
    return CudaTimer() if device == 'cuda' else seconds


def medians(
    runs: Mapping[str, Run], repeats: int, timer: Timer = seconds, limit_s: float = math.inf
) -> dict[str, float]:
    """Return the median seconds of each run, sampled in alternation under the same conditions.

    Args:
        runs: Name -> function to time; each is called once beforehand.
        repeats: Number of samples per run.
        timer: Function that times one call.
        limit_s: No further round of samples is started after this number of seconds.
    """
    for run in runs.values():
        run()
    samples: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    for _ in range(repeats):
        for name, run in runs.items():
            samples[name].append(timer(run))
        if time.perf_counter() - start > limit_s:
            break
    return {name: statistics.median(values) for name, values in samples.items()}


def interval(values: list[float]) -> float | None:
    """Return the half width of the 95% interval of a mean; None for a single value."""
    if len(values) < 2:
        return None
    from scipy import stats  # missing on bare machines with a GPU, where nothing has seeds

    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def graphed(function: Run) -> Run:
    """Capture a call as a CUDA graph; return a function that replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    torch._C._cuda_clearCublasWorkspaces()  # the capture allocates its own
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = function()

    def replay() -> Any:
        graph.replay()
        return output

    return replay


def resident_mb(field: str) -> float:
    """Return ``VmRSS`` (current) or ``VmHWM`` (peak) of this process in MB (Linux)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/self/status has no {field}')


def exponent(points: list[tuple[float, float]]) -> float:
    """Return b of the least-squares fit of y = a x^b."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return covariance / sum((x - mean_x) ** 2 for x, _ in logs)


def growth_mb(function: Run, device: str) -> float:
    """Return the peak growth of memory during a call in MB.

    On a GPU, this is the memory of torch's allocator, including workspaces of libraries. On a CPU,
    it is resident memory, which is meaningful only for the first call in a :func:`fresh` process,
    before anything else has set the peak.
    """
    if device == 'cpu':
        before = resident_mb('VmRSS')
        function()
        return max(0.0, resident_mb('VmHWM') - before)
    torch.cuda.synchronize()
    torch._C._cuda_clearCublasWorkspaces()  # those of earlier calls
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def fresh(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a new process, so that memory and caches start empty."""
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


@dataclass(frozen=True)
class Ceilings:
    """Measured limits of the machine."""

    copy: float
    """Bytes per second of a large copy, counting reads and writes."""
    arithmetic: dict[str, float]
    """dtype -> FLOP per second of a large matrix product."""
    exponentials: float | None
    """Exponentials per second of a GPU, from its clock; None on a CPU or for an unknown clock."""


def ceilings(device: str, dtypes: list[str], machine: dict[str, Any]) -> Ceilings:
    """Measure the limits; ``machine`` is that of a record, with multiprocessors and clock."""
    timer = timer_for(device)
    source = torch.ones(COPY_BYTES[device] // 4, device=device)
    target = torch.empty_like(source)
    size = MATMUL_SIZE[device]
    runs: dict[str, Run] = {'copy': lambda: target.copy_(source)}
    # always with float32, in which kernels compute whatever dtype they load
    for name in {'float32', *dtypes}:
        a, b = (torch.randn(size, size, device=device).to(DTYPES[name]) for _ in range(2))
        runs[name] = lambda a=a, b=b: a @ b
    times = medians(runs, CEILING_REPEATS, timer)
    copy = 2 * COPY_BYTES[device] / times.pop('copy')
    exponentials = None
    if machine.get('clock (MHz)'):
        clock = machine['clock (MHz)'] * 1e6
        exponentials = EXPONENTIALS_PER_CLOCK * machine['multiprocessors'] * clock
    return Ceilings(copy, {name: 2 * size**3 / t for name, t in times.items()}, exponentials)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options shared by the benchmarks."""
    default = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', choices=('cpu', 'cuda'), default=default)
    parser.add_argument('--arch', default='base', help='arch of DynamicVis (default: base)')
    parser.add_argument('--dtypes', nargs='+', choices=DTYPES)
    parser.add_argument('--repeats', type=int, default=7, help='samples per median (default: 7)')
    parser.add_argument(
        '--seconds', type=float, default=10, help='stop sampling a case after this (default: 10)'
    )
    parser.add_argument('--threads', type=int, default=2, help='CPU threads (default: 2)')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    parser.add_argument(
        '--append', action='store_true', help='keep the rows in that file and measure the others'
    )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line and set up torch accordingly."""
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('torch sees no GPU')
    args.dtypes = args.dtypes or DEFAULT_DTYPES[args.device]
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    return args
