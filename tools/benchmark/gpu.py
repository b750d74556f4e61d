"""Run all benchmarks for a single GPU in less than nine minutes.

    python tools/benchmark/gpu.py --out benchmarks/results

Runs the benchmarks in sequence, most important first, with a process per model and per op, and
prints measured and target values. Every row is written immediately. A failure (an error, NaN or the
end of the process) costs only its row; after the end of a process, another one continues with the
next row. A step for which there is not enough time is skipped, and one that takes too long is
stopped; the rows it has measured are kept.

Requires torch, triton, numpy and mmengine; timm or mmpretrain for ViT and ResNet; no network. With
``--keep`` and ``--steps``, several calls add to one folder; ``--rehearse`` runs every step on a CPU
with small models. At most eight files are written.
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
from record import LOST, Record

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """A benchmark to run in its own process.

    Args:
        name: Name of the step.
        file: Result file to add to, without the GPU's name; one of ``bars.FILES``.
        script: Script in this folder; None runs the check of the ops, which writes no file.
        arguments: Arguments of the script.
        expected_s: Expected seconds. Earlier steps leave this time, and with less the step is
            skipped.
    """

    name: str
    file: str
    script: str | None
    arguments: str
    expected_s: int

    def command(self, path: Path, rehearse: bool = False) -> list[str]:
        """Return the command line that adds to ``path``."""
        if self.script is None:
            return [sys.executable, '-m', 'mmdynamicvis.ops', *self.arguments.split()]
        arguments = f'{COMMON} {self.arguments}'
        for pattern, small in REHEARSAL if rehearse else ():
            arguments = re.sub(pattern, small, arguments)
        script = [sys.executable, str(HERE / self.script), *arguments.split()]
        return [*script, '--append', '--out', str(path)]


COMMON = '--device cuda --arch base'
REHEARSAL = (
    ('--device cuda', '--device cpu --threads 1'),
    ('--arch base', '--arch tiny'),
    (r'--sizes \d+', '--sizes 64'),
    ('eager graph|compiled', 'eager'),
    ('triton mamba_ssm', 'cpu eager'),
    ('--growth', '--growth --sizes 64 96'),
    (r'--repeats \d+', ''),
    ('$', ' --repeats 1'),
)
"""Regular expressions and replacements that adapt arguments to a CPU."""


def _model(name: str, dtype: str, expected_s: int) -> Step:
    arguments = f'--models {name} --dtypes {dtype} --sizes 2048 --modes eager graph'
    return Step(
        f'{name}-{dtype}',
        'models',
        'models.py',
        f'{arguments} --seconds 1 --repeats 11',
        expected_s,
    )


def _op(name: str) -> Step:
    arguments = f'--ops {name} --sizes 2048 --backends triton mamba_ssm --seconds 0.3 --repeats 11'
    return Step(name, 'ops', 'ops.py', arguments, 25)


def _training(name: str) -> Step:
    arguments = f'--tasks training_step --models {name} --sizes 1024 --batch 4 --dtypes bfloat16'
    return Step(f'{name}-training', 'training', 'models.py', f'{arguments} --seconds 2', 25)


STEPS = (
    _model('dynamicvis', 'bfloat16', 40),
    _op('selective_scan'),
    _model('published', 'bfloat16', 25),
    _model('dynamicvis', 'float32', 25),
    _model('vit_b16', 'bfloat16', 25),
    _op('token_select'),
    _op('token_update'),
    _training('dynamicvis'),
    _training('published'),
    Step('first_use', 'first_use', 'first_use.py', '--dtypes bfloat16', 40),
    _model('published', 'float32', 25),
    _model('vit_b16', 'float32', 25),
    _op('causal_conv1d'),
    Step('growth', 'growth', 'models.py', '--growth --seconds 2', 50),
    _model('resnet101', 'bfloat16', 25),
    _model('dense', 'bfloat16', 25),
    _model('without_reduction', 'bfloat16', 25),
    Step('check', 'check', None, '', 30),
    Step(
        'compiled',
        'compiled',
        'models.py',
        '--models dynamicvis --dtypes bfloat16 --sizes 2048 --modes compiled --seconds 1',
        120,
    ),
)
"""The most important steps first, the slowest and least reliable last."""


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
    parser.add_argument(
        '--keep', action='store_true', help='add to the results of an earlier call in that folder'
    )
    parser.add_argument(
        '--rehearse',
        action='store_true',
        help='run on a CPU with small models, without meaningful results',
    )
    return parser.parse_args()


def run(step: Step, path: Path, limit_s: float, rehearse: bool = False) -> str:
    """Run a step for at most ``limit_s`` seconds; return a description of how it ended.

    If a process ends by a signal or loses the GPU, another process continues after the row that
    the first had begun.
    """
    if limit_s < step.expected_s:
        return f'left out: {limit_s:.0f} s were left, it needs about {step.expected_s} s'
    start, ends = time.perf_counter(), []
    while True:
        n_rows = len(rows_of(path))
        # a new session, so that child processes can be killed with it
        process = subprocess.Popen(step.command(path, rehearse), start_new_session=True)
        try:
            status = process.wait(max(0.0, limit_s - (time.perf_counter() - start)))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return ', '.join([*ends, f'stopped after {limit_s:.0f} s'])
        ends.append(f'exit status {status} after {time.perf_counter() - start:.0f} s')
        ended_early = status < 0 or status == LOST
        if not ended_early or len(rows_of(path)) == n_rows:
            return ', '.join(ends)


def rows_of(path: Path) -> list[dict]:
    """Return the rows of a result file; an empty list if it does not exist."""
    return json.loads(path.read_text())['rows'] if path.exists() else []


def write_bars(record: Record, paths: dict[str, Path]) -> list[dict]:
    """Compare the measurements so far with the targets; return the rows."""
    record.rows = table({name: rows_of(paths[name]) for name in FILES})
    record.save()
    return record.rows


def main() -> int:
    args = parse_args()
    if not args.rehearse and not torch.cuda.is_available():
        print('torch sees no GPU: this needs one (tools/benchmark/backbone.py does not)')
        return 2
    start = time.perf_counter()
    device = 'cpu' if args.rehearse else torch.cuda.get_device_name()
    name = re.sub(r'\W+', '_', device.lower()).strip('_')
    steps = [step for step in STEPS if step.name in args.steps]
    paths = {file: args.out / f'{file}_{name}.json' for file in (*FILES, 'bars', 'check')}
    if not args.keep:
        for path in {paths[step.file] for step in steps}:
            path.unlink(missing_ok=True)  # results of an earlier run
    record = Record(paths['bars'], 'cpu' if args.rehearse else 'cuda', args.keep)
    good = True
    for i, step in enumerate(steps):
        print(f'== {step.name}', flush=True)
        reserved = sum(later.expected_s for later in steps[i + 1 :])
        left_s = args.budget - (time.perf_counter() - start)
        limit_s = max(left_s - reserved, min(left_s, 2 * step.expected_s))
        became = run(step, paths[step.file], limit_s, args.rehearse)
        print(f'== {step.name}: {became}', flush=True)
        record.note(step.name, became)
        good = good and became.startswith('exit status 0')
        write_bars(record, paths)
    for row in record.rows:
        measured = '-' if row['measured'] is None else f'{row["measured"]:.2f}'
        print(f'{row["bar"]:58} {measured:>10}  {row["to reach"]:10}  {row["verdict"]}')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
