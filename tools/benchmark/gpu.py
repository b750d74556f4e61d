"""Everything that is measured on one GPU, in one command of less than nine minutes.

    python tools/benchmark/gpu.py --out benchmarks/results

Runs the benchmarks one after the other, each in a process of its own, the most telling first, and
prints the figures to reach beside the measured ones. A benchmark that no longer fits into the time
is left out, and one that takes too long is stopped; what it had measured until then counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from bars import FILES, table
from record import Record

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """A benchmark to run.

    Args:
        name: Of the result file, before the GPU's.
        script: In this folder; None runs the ops' own check.
        arguments: Of the script.
        expected_s: It is not begun with less time than this, which the steps before it leave.
    """

    name: str
    script: str | None
    arguments: str
    expected_s: int

    def command(self, path: Path) -> list[str]:
        """Return the command line that writes to ``path``."""
        if self.script is None:
            return [sys.executable, '-m', 'mmdynamicvis.ops']
        return [
            sys.executable,
            str(HERE / self.script),
            *self.arguments.split(),
            '--out',
            str(path),
        ]


COMMON = '--device cuda --arch base'
STEPS = (
    Step('check', None, '', 30),
    Step(
        'models',
        'models.py',
        f'{COMMON} --sizes 2048 --modes eager graph --seconds 1 --repeats 11',
        100,
    ),
    Step(
        'ops',
        'ops.py',
        f'{COMMON} --sizes 2048 --backends triton mamba_ssm --seconds 0.3 --repeats 11',
        90,
    ),
    Step(
        'training',
        'models.py',
        f'{COMMON} --tasks training_step --models dynamicvis published --sizes 1024 --batch 4 '
        '--dtypes bfloat16 --seconds 2',
        40,
    ),
    Step('first_use', 'first_use.py', f'{COMMON} --dtypes bfloat16', 40),
    Step('growth', 'models.py', f'{COMMON} --growth --seconds 2', 60),
    Step(
        'compiled',
        'models.py',
        f'{COMMON} --sizes 2048 --models dynamicvis published --seconds 1 --repeats 11',
        120,
    ),
)
"""The slowest and least certain comes last."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results'))
    parser.add_argument(
        '--budget', type=float, default=520, help='seconds for everything (default: 520)'
    )
    names = [step.name for step in STEPS]
    parser.add_argument('--steps', nargs='+', choices=names, default=names)
    return parser.parse_args()


def run(step: Step, path: Path, limit_s: float) -> str:
    """Run a step for so many seconds at most; return what became of it."""
    if limit_s < step.expected_s:
        return f'left out: {limit_s:.0f} s were left, it needs about {step.expected_s} s'
    start = time.perf_counter()
    # a session of its own: what it starts in turn ends with it
    process = subprocess.Popen(step.command(path), start_new_session=True)
    try:
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f'stopped after {limit_s:.0f} s'
    return f'exit status {status} after {time.perf_counter() - start:.0f} s'


def rows_of(path: Path) -> list[dict]:
    """Return the rows of a result file; none if it was not written."""
    return json.loads(path.read_text())['rows'] if path.exists() else []


def main() -> int:
    args = parse_args()
    if not torch.cuda.is_available():
        print('torch sees no GPU: this needs one (tools/benchmark/backbone.py does not)')
        return 2
    start = time.perf_counter()
    name = re.sub(r'\W+', '_', torch.cuda.get_device_name().lower()).strip('_')
    paths = {step.name: args.out / f'{step.name}_{name}.json' for step in STEPS}
    steps = [step for step in STEPS if step.name in args.steps]
    for step in steps:
        paths[step.name].unlink(missing_ok=True)  # what stands there is no result of this run
    record = Record(args.out / f'bars_{name}.json', 'cuda')
    good = True
    for i, step in enumerate(steps):
        print(f'== {step.name}', flush=True)
        reserved = sum(later.expected_s for later in steps[i + 1 :])
        left_s = args.budget - (time.perf_counter() - start)
        became = run(step, paths[step.name], max(left_s - reserved, min(left_s, step.expected_s)))
        print(f'== {step.name}: {became}', flush=True)
        record.note(step.name, became)
        good = good and became.startswith('exit status 0')
    for row in table({key: rows_of(paths[key]) for key in FILES}):
        record.add(**row)
        measured = '-' if row['measured'] is None else f'{row["measured"]:.2f}'
        print(f'{row["bar"]:58} {measured:>10}  {row["to reach"]:10}  {row["verdict"]}')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
