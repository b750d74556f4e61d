"""Compare ways to fuse the selective scan on a CPU: C++, numba, torch.compile, plain torch.

    python tools/benchmark/cpu_scan_candidates.py --out benchmarks/results/cpu_scan_candidates.json

Each candidate is first compared with the float64 oracle, then timed at the shapes of the stages of
base for an image of 512 pixels, with both directions averaged. The cold start is the time until the
end of the first call, including imports and compilation, in a new process with empty caches; the
warm start is the same with the caches filled by the cold start. Importing torch and this package,
which all candidates share, is not included. Starts are measured at the first of the given stages.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import torch
from measure import add_arguments, medians, parse
from op_cases import CASES, Stage, make_inputs, stages
from record import Record
from torch import Tensor
from torch.nn.functional import pad, silu, softplus

SIZE = 512
SMALL = Stage(number=0, grid=10, channels=96, kept=90)
LIMIT = 2e-5
"""Largest relative RMS difference from the oracle, in float32."""
STEPS = 32
"""Tokens per chunk of the plain version, whose loops over steps and chunks are unrolled."""
CACHES = ('NUMBA_CACHE_DIR', 'TORCHINDUCTOR_CACHE_DIR', 'TRITON_CACHE_DIR', 'MMDYNAMICVIS_CACHE')
SCAN = CASES['selective_scan']

Scan = Callable[[Sequence[Tensor]], Tensor]


def chunked(inputs: Sequence[Tensor]) -> Tensor:
    """Scan in plain torch: all chunks in parallel, then the states of chunks in sequence, then all.

    Args:
        inputs: x, dt, A, B, C, D, z and dt_bias of ``selective_scan``.
    """
    x, dt, A, B, C, D, z, dt_bias = inputs
    dt = softplus(dt + dt_bias)
    length = x.shape[2]
    # both directions as rows; padding has a step size of zero, which leaves the state unchanged
    x_, dt_, B_, C_ = (
        pad(torch.cat([t[0], t[1].flip(1)]), (0, 0, 0, -length % STEPS)).unflatten(1, (-1, STEPS))
        for t in (x, dt, B, C)
    )
    A_ND = A.t()

    def advance(h: Tensor, i: int) -> Tensor:
        step = dt_[:, :, i].unsqueeze(-2)
        inflow = (dt_[:, :, i] * x_[:, :, i]).unsqueeze(-2) * B_[:, :, i].unsqueeze(-1)
        return torch.exp(step * A_ND) * h + inflow

    rows, n_chunks = x_.shape[:2]
    h = x.new_zeros(rows, n_chunks, *A_ND.shape)
    for i in range(STEPS):
        h = advance(h, i)
    decay = torch.exp(dt_.sum(2).unsqueeze(-2) * A_ND)
    entered = [torch.zeros_like(h[:, 0])]
    for i in range(n_chunks - 1):
        entered.append(decay[:, i] * entered[-1] + h[:, i])
    h = torch.stack(entered, dim=1)
    steps = []
    for i in range(STEPS):
        h = advance(h, i)
        steps.append((h * C_[:, :, i].unsqueeze(-1)).sum(-2))
    y = torch.stack(steps, dim=2).flatten(1, 2)[:, :length]
    forward, reverse = y.chunk(2)
    return ((forward + reverse.flip(1)) / 2 + D * (x[0] + x[1]) / 2) * silu(z)


def build_compiled() -> Scan:
    """Return the plain version compiled by inductor."""
    return torch.compile(chunked, dynamic=False)


def build_numba() -> Scan:
    """Return a loop over tokens compiled by numba."""
    from numba_scan import scan

    def run(inputs: Sequence[Tensor]) -> Tensor:
        x, dt, A, B, C, D, z, dt_bias = inputs
        dt = softplus(dt + dt_bias)
        y = torch.empty_like(x)
        arrays = (t.squeeze(1).contiguous().numpy() for t in (x, dt, B, C, y))
        scan(*arrays, A.t().contiguous().numpy())
        return (y.mean(0) + D * x.mean(0)) * silu(z)

    return run


def build_op(backend: str) -> Callable[[], Scan]:
    """Return a function that builds the scan of a backend of this package."""
    return lambda: lambda inputs: SCAN.call(SMALL, inputs, backend)[0]


CANDIDATES: dict[str, Callable[[], Scan]] = {
    'cpu': build_op('cpu'),
    'numba': build_numba,
    'compiled': build_compiled,
    'eager': build_op('eager'),
}


def make(stage: Stage) -> list[Tensor]:
    """Return random inputs that do not require gradients."""
    return [x.detach() for x in make_inputs(SCAN, stage, torch.float32, 'cpu')]


def error(scan: Scan) -> float:
    """Return the relative RMS difference from the float64 oracle."""
    inputs = make(SMALL)
    expected = SCAN.call(SMALL, [x.double() for x in inputs], 'naive')[0]
    return ((scan(inputs) - expected).norm() / expected.norm()).item()


def start_seconds(name: str, stage: Stage) -> float:
    """Return the seconds until the end of the first call in this process."""
    inputs = make(stage)
    start = time.perf_counter()
    CANDIDATES[name]()(inputs)
    return time.perf_counter() - start


def starts(name: str) -> dict[str, float]:
    """Measure the cold and the warm start, each in its own process."""
    command = [sys.executable, *sys.argv, '--start', name]
    with tempfile.TemporaryDirectory() as empty:
        caches = {variable: f'{empty}/{variable}' for variable in CACHES}
        return {
            which: float(subprocess.check_output(command, env=os.environ | caches).split()[-1])
            for which in ('cold', 'warm')
        }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument('--size', type=int, default=SIZE, help=f'in pixels (default: {SIZE})')
    parser.add_argument('--stages', nargs='+', type=int, default=[1, 2, 3, 4])
    parser.add_argument('--candidates', nargs='+', choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument(
        '--start', choices=CANDIDATES, help='time one start in this process; for internal use'
    )
    return parse(parser)


@torch.no_grad()
def main() -> int:
    args = parse_args()
    chosen = [s for s in stages(args.arch, args.size) if s.number in args.stages]
    if args.start:
        print(start_seconds(args.start, chosen[0]))
        return 0
    record = Record(args.out, 'cpu')
    scans: dict[str, Scan] = {}
    for name in args.candidates:
        if name == 'numba' and importlib.util.find_spec('numba') is None:
            print('numba: not installed (pip install numba)')
            record.add(candidate=name, skipped='numba is not installed')
            continue
        scans[name] = CANDIDATES[name]()
        worst = error(scans[name])
        if not worst <= LIMIT:
            print(f'{name}: off by {worst:.1e} from the oracle: not timed')
            return 1
        found = starts(name)
        print(
            f'{name:10} off by {worst:.1e}; first call after {found["cold"]:.2f} s, with caches '
            f'{found["warm"]:.2f} s',
            flush=True,
        )
        record.add(candidate=name, error=worst, **{f'{k} start (s)': v for k, v in found.items()})
    for stage in chosen:
        inputs = make(stage)
        runs = {name: lambda scan=scan, x=inputs: scan(x) for name, scan in scans.items()}
        print(f'stage {stage.number}: {stage.mixed} tokens, {stage.inner} channels', flush=True)
        for name, seconds in medians(runs, args.repeats, limit_s=args.seconds).items():
            print(f'  {name:10} {1e3 * seconds:10.2f} ms', flush=True)
            record.add(candidate=name, size=args.size, stage=stage.number, seconds=seconds)
    return 0


if __name__ == '__main__':
    sys.exit(main())
