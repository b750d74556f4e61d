"""Time the Triton scan on this GPU with different tile sizes, to choose its constants.

    python tools/dev/tune_scan.py --out work_dirs/tune_scan.json
    python tools/dev/tune_scan.py --size 2048 --dtype float32 --only MERGED

One constant of mmdynamicvis/ops/selective_scan/triton.py is varied at a time: tokens per chunk,
channels per program (a lane processes several if a warp has fewer lanes), tokens whose loads
overlap, and states whose decays are computed by products. Each row is written immediately. A
setting whose result differs from that of the current constants is not timed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from mmdynamicvis.fileio import replacing
from mmdynamicvis.ops import triton_support
from mmdynamicvis.ops.selective_scan import selective_scan

SHAPES = {1: (192, 1, 8), 2: (384, 2, 4), 3: (768, 4, 2), 4: (1536, 8, 1)}
"""Stage of base -> channels of the mixer, stride relative to stage 1, tokens per kept token."""
GRID: dict[str, dict[str, tuple[int, ...]]] = {
    'CHUNK': {'': (32, 64, 128, 256, 512)},
    'CHANNELS': {'BLOCK_D': (32, 64), 'GROUP': (2, 4, 8), 'BY_PRODUCTS': (0, 1, 2, 3, 4)},
    'MERGED': {'BLOCK_D': (32, 64), 'GROUP': (1, 2, 4), 'BY_PRODUCTS': (0, 1, 2)},
    'PASSING': {'GROUP': (4, 8, 16, 32)},
}
"""The constants and their values."""
Setting = tuple[str, dict[str, int]]


def settings(only: str) -> Iterator[Setting]:
    """Yield the current constants, then each constant with each of its values."""
    yield '', {}
    for name, options in GRID.items():
        if only in ('', name):
            for values in itertools.product(*options.values()):
                yield name, dict(zip(options, values, strict=True))


@contextmanager
def constants(setting: Setting) -> Iterator[None]:
    """Apply a setting to the kernels."""
    from mmdynamicvis.ops.selective_scan import triton

    name, values = setting
    with ExitStack() as stack:
        if name == 'CHUNK':
            for bound in ('CHUNK', 'MAX_CHUNK'):
                stack.enter_context(mock.patch.object(triton, bound, values['']))
        elif name:
            stack.enter_context(mock.patch.dict(getattr(triton, name), values))
        yield


def make_inputs(stage: int, size: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return random inputs with the shapes that a unit of base scans for one image."""
    n_channels, stride, tokens_per_kept = SHAPES[stage]
    side = size // (4 * stride)
    length, n_state = side + side * side // tokens_per_kept, 16

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, device='cuda', dtype=dtype)

    x, dt = randn(2, 1, length, n_channels), randn(2, 1, length, n_channels)
    B, C = randn(2, 1, length, 2 * n_state).chunk(2, dim=-1)
    rates = torch.arange(1, n_state + 1, device='cuda', dtype=torch.float32)
    D, dt_bias = (torch.randn(n_channels, device='cuda') for _ in range(2))
    A, z = -rates.repeat(n_channels, 1), randn(1, length, n_channels)
    return dict(x=x, dt=dt, A=A, B=B, C=C, D=D, z=z, dt_bias=dt_bias - 4)


def run(inputs: dict[str, Tensor]) -> Tensor:
    """Scan as the mixer does."""
    options = dict(dt_softplus=True, direction='both', average=True, backend='triton')
    return selective_scan(**inputs, **options)


def milliseconds(inputs: dict[str, Tensor], repeats: int) -> float:
    """Return the median GPU time of a scan in milliseconds, from a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(inputs)
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, default=2048, help='pixels')
    parser.add_argument('--stage', type=int, nargs='+', default=[1, 3], choices=SHAPES)
    parser.add_argument('--dtype', default='bfloat16', choices=['float32', 'bfloat16'])
    parser.add_argument('--only', default='', choices=['', *GRID], help='one constant')
    parser.add_argument('--repeats', type=int, default=50)
    parser.add_argument('--out', type=Path, help='JSON file')
    return parser.parse_args()


@torch.no_grad()
def main() -> int:
    args = parse_args()
    reason = triton_support.unavailable()
    if reason is not None or not torch.cuda.is_available() or triton_support.INTERPRETED:
        print(f'nothing to time: {reason or "Triton is interpreted"}', file=sys.stderr)
        return 2
    rows = []
    for stage in args.stage:
        inputs = make_inputs(stage, args.size, getattr(torch, args.dtype))
        expected = run(inputs).float()
        for name, values in settings(args.only):
            row = {'stage': stage, 'constant': name or 'as they are', **values}
            try:
                with constants((name, values)):
                    difference = (run(inputs).float() - expected).norm() / expected.norm()
                    if not difference <= 1e-2:
                        raise ValueError(f'the result is off by {difference:.1e}')
                    row['ms'] = milliseconds(inputs, args.repeats)
            except Exception as error:  # record any failure of a setting as a row
                row['failed'] = f'{type(error).__name__}: {error}'.splitlines()[0]
            rows.append(row)
            print(row, flush=True)
            if args.out is not None:
                args.out.parent.mkdir(parents=True, exist_ok=True)
                about = dict(gpu=torch.cuda.get_device_name(), size=args.size, dtype=args.dtype)
                with replacing(args.out) as path:
                    path.write_text(json.dumps({**about, 'rows': rows}, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
