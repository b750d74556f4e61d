"""Try every config that the installed hosts ship with DynamicVis as its backbone, one step each.

    python tools/dev/sweep_shipped.py
    python tools/dev/sweep_shipped.py --only mmseg/upernet --out /tmp/some.csv

Writes a table: config, verdict, reason. A run that was stopped goes on where it was; to try all
anew, remove the table. Configs that become one model with another's backbone gone are tried once.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / 'tests'))  # what is tried is what the tests try

from drop_in.exceptions import UNFIT  # noqa: E402
from drop_in.shipped import HOSTS, Shipped, Trial, all_shipped  # noqa: E402

from mmdynamicvis.whole_files import replacing  # noqa: E402

TABLE = CHECKOUT / 'benchmarks/results/drop_in.csv'
COLUMNS = ('config', 'verdict', 'reason', 'key')
TRAINS, FAILS, UNTRIED, NO_CANDIDATE = 'trains', 'fails', 'not tried', 'no candidate'
LIMIT = 300
"""Seconds for one config."""
PACKAGES = dict(mmdet='mmdetection', mmseg='mmsegmentation')


class Row(NamedTuple):
    """What became of a config."""

    config: str
    verdict: str
    reason: str = ''
    key: str = ''
    """The first digits of a hash of the model; configs with equal ones are one model."""


def explained(shipped: Shipped) -> str | None:
    """Return the known reason why a config does not fit, or None."""
    return next((unfit.reason for unfit in UNFIT if shipped in unfit), None)


def attempt(shipped: Shipped, known: dict[str, Row]) -> Row:
    """Try one config; ``known`` has a row for each model that was tried before, by its key."""
    name, why = str(shipped), explained(shipped)
    if any(shipped in unfit and unfit.error is None for unfit in UNFIT):
        return Row(name, UNTRIED, why)  # shown by its config alone: trying it would download
    key = ''
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    try:
        trial = Trial(shipped)
        if not trial.is_candidate:
            return Row(name, NO_CANDIDATE)
        key = trial.key[:12]
        if key in known:
            return known[key]._replace(config=name)
        trial.train()
    except Exception as error:  # any of a thousand configs may fail in its own way
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = ' '.join(f'{type(error).__name__}: {error}'.split())[:160]
        where = '/'.join(Path(last.filename).parts[-2:])
        return Row(name, FAILS, why or f'{text} ({where}:{last.lineno})', key)
    finally:
        signal.alarm(0)
    return Row(name, TRAINS, '', key)


def _too_long(*_: object) -> None:
    raise TimeoutError(f'no step within {LIMIT} s')


class Worker:
    """A process that tries configs, and another one if it dies."""

    def __init__(self) -> None:
        self._pool = self._start()

    def attempt(self, shipped: Shipped, known: dict[str, Row]) -> Row:
        """Try one config in the process."""
        try:
            return self._pool.submit(attempt, shipped, known).result()
        except BrokenProcessPool:
            self._pool = self._start()
            return Row(str(shipped), FAILS, explained(shipped) or 'the process died')

    @staticmethod
    def _start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=get_context('spawn'), initializer=_be_quiet)


def _be_quiet() -> None:
    os.environ['TRITON_INTERPRET'] = '0'
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # hosts print and warn
        os.dup2(null, stream)


def read(path: Path) -> list[Row]:
    """Return the rows of a table, of which the last may have been cut off."""
    if not path.exists():
        return []
    with path.open(newline='') as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith('#')]
    return [Row(*row) for row in rows[1:] if len(row) == len(COLUMNS)]


def header() -> str:
    """Return a line with the versions of the hosts."""
    found = []
    for host in HOSTS:
        name = PACKAGES.get(host, host)
        for package in (f'onedl-{name}', name.replace('mmdetection', 'mmdet')):
            try:
                found.append(f'{package} {version(package)}')
                break
            except ModuleNotFoundError:
                continue
    return f'# {", ".join(found)}'


def write(path: Path, rows: list[Row]) -> None:
    """Write the whole table, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open('w', newline='') as file:
        file.write(f'{header()}\n')
        csv.writer(file, lineterminator='\n').writerows([COLUMNS, *sorted(rows)])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, default=TABLE, help='default: %(default)s')
    parser.add_argument('--only', default='', help='part of the names of the configs to try')
    parser.add_argument('--again', default='', help='try these anew: part of a verdict or reason')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    rows = read(args.out)
    if args.again:
        rows = [row for row in rows if args.again not in f'{row.verdict} {row.reason}']
    if args.out.exists() and args.out.read_text().split('\n')[0] != header():
        raise SystemExit(f'{args.out} is of other versions than {header()}: remove it first')
    write(args.out, rows)
    done = {row.config for row in rows}
    known = {row.key: row for row in rows if row.key}
    left = [s for s in all_shipped() if args.only in str(s) and str(s) not in done]
    worker, start = Worker(), time.monotonic()
    for number, shipped in enumerate(left, 1):
        row = worker.attempt(shipped, known)
        rows.append(row)
        if row.key:
            known.setdefault(row.key, row)
        with args.out.open('a', newline='') as file:
            csv.writer(file, lineterminator='\n').writerow(row)
        seconds = time.monotonic() - start
        rest = seconds / number * (len(left) - number)
        print(
            f'{number} of {len(left)}, {rest / 60:.0f} min left: {row.config}: '
            f'{row.verdict} {row.reason}',
            flush=True,
        )
    write(args.out, rows)
    for host in HOSTS:
        mine = [row for row in rows if row.config.startswith(f'{host}/')]
        counts = Counter(row.verdict for row in mine)
        models = len({row.key for row in mine if row.verdict == TRAINS})
        print(f'{host}: {dict(counts)}; those that train are {models} models')


if __name__ == '__main__':
    main()
