"""Try every config shipped by the installed hosts with DynamicVis as its backbone, for one step.

    python tools/dev/sweep_shipped.py
    python tools/dev/sweep_shipped.py --only mmseg/upernet --out /tmp/some.csv

open-cd is included if a clone of it is on PYTHONPATH; rows of hosts that are not installed are
kept. Writes a table: config, verdict, reason. A run that was stopped continues; to try all configs
again, remove the table. Configs that give the same model once the backbone is replaced are tried
only once.
"""

from __future__ import annotations

import argparse
import csv
import os
import runpy
import socket
import sys
import time
from collections import Counter
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / 'tests'))  # the tests define what is tried

from drop_in.exceptions import UNFIT  # noqa: E402
from drop_in.shipped import (  # noqa: E402
    HOSTS,
    Shipped,
    Trial,
    all_shipped,
    described,
    installed_hosts,
    package_of,
)

from mmdynamicvis.fileio import replacing  # noqa: E402

TABLE = CHECKOUT / 'benchmarks/results/drop_in.csv'
COLUMNS = ('config', 'verdict', 'reason', 'key')
TRAINS, FAILS, UNTRIED, NO_CANDIDATE = 'trains', 'fails', 'not tried', 'no candidate'
LIMIT = 300
"""Time limit for one config in seconds."""
DISTRIBUTIONS = dict(
    mmdet=('onedl-mmdetection', 'mmdet'),
    mmrotate=('onedl-mmrotate', 'mmrotate'),
    mmseg=('onedl-mmsegmentation', 'mmsegmentation'),
    mmpretrain=('onedl-mmpretrain', 'mmpretrain'),
    opencd=('open-cd',),
)
"""Host -> distributions: the fork, the classic package."""


class Row(NamedTuple):
    """Result of a config."""

    config: str
    verdict: str
    reason: str = ''
    key: str = ''
    """Prefix of a hash of the model; configs with the same key give the same model."""


def explained(shipped: Shipped, error: str) -> str | None:
    """Return the known reason for an error that a config raised, or None."""
    known = (unfit for unfit in UNFIT if shipped in unfit and unfit.error is not None)
    return next((unfit.reason for unfit in known if unfit.error in error), None)


def attempt(shipped: Shipped, known: dict[str, Row]) -> Row:
    """Try one config; ``known`` maps the keys of models that were already tried to their rows."""
    name = str(shipped)
    key = ''
    try:
        trial = Trial(shipped)
        if not trial.is_candidate:
            return Row(name, NO_CANDIDATE)
        for unfit in UNFIT:
            if shipped in unfit and unfit.shown is not None and unfit.shown(trial.cfg.model):
                return Row(name, UNTRIED, unfit.reason)
        key = trial.key[:12]
        if key in known:
            return known[key]._replace(config=name)
        trial.train()
    except Exception as error:  # a thousand configs may fail in many ways
        raised = described(error)
        why = explained(shipped, raised) or raised[:200]
        return Row(name, FAILS, why, key)
    return Row(name, TRAINS, '', key)


class Worker:
    """A process that tries configs, and is replaced if it dies or hangs."""

    def __init__(self) -> None:
        self._start()

    def attempt(self, shipped: Shipped, known: dict[str, Row]) -> Row:
        """Try one config in the process."""
        self._pipe.send((shipped, known))
        ended = f'no step within {LIMIT} s'
        if self._pipe.poll(LIMIT):
            try:
                return self._pipe.recv()
            except EOFError:
                ended = 'the process died'
        self._process.kill()  # works even if it hangs in native code of a host
        self._process.join()
        self._start()
        return Row(str(shipped), FAILS, ended)

    def _start(self) -> None:
        context = get_context('spawn')
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # our copy would keep the pipe of a dead worker open


def _work(pipe: Connection) -> None:
    """Serve requests from the pipe until it closes."""
    os.environ['TRITON_INTERPRET'] = '0'
    socket.getaddrinfo = _no_network
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # silence output and warnings of hosts
        os.dup2(null, stream)
    while True:
        try:
            pipe.send(attempt(*pipe.recv()))
        except EOFError:
            return


def _no_network(*_: object, **__: object) -> None:
    raise OSError('a trial must not download')


def read(path: Path) -> list[Row]:
    """Return the complete rows of a table; the last one may have been cut off."""
    if not path.exists():
        return []
    with path.open(newline='') as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith('#')]
    return [Row(*row) for row in rows[1:] if len(row) == len(COLUMNS)]


def installed_versions() -> dict[str, str]:
    """Return distribution and version of each installed host, e.g. 'onedl-mmrotate 1.2.1'."""
    return {host: _version(host) for host in installed_hosts()}


def _version(host: str) -> str:
    for package in DISTRIBUTIONS[host]:
        try:
            return f'{package} {version(package)}'
        except ModuleNotFoundError:
            continue
    number = runpy.run_path(str(package_of(host) / 'version.py'))['__version__']  # a clone
    return f'{package} {number}'


def table_versions(path: Path) -> dict[str, str]:
    """Return distribution and version of each host in a table, from its first line."""
    if not path.exists():
        return {}
    hosts = {package: host for host, packages in DISTRIBUTIONS.items() for package in packages}
    parts = path.read_text().split('\n')[0].removeprefix('# ').split(', ')
    return {hosts[part.split(' ')[0]]: part for part in parts}


def write(path: Path, rows: list[Row]) -> None:
    """Write the whole table, sorted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = table_versions(path) | installed_versions()
    header = ', '.join(found[host] for host in HOSTS if host in found)
    with replacing(path) as temporary, temporary.open('w', newline='') as file:
        file.write(f'# {header}\n')
        csv.writer(file, lineterminator='\n').writerows([COLUMNS, *sorted(rows)])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, default=TABLE, help='default: %(default)s')
    parser.add_argument('--only', default='', help='part of the names of the configs to try')
    parser.add_argument('--again', default='', help='part of the verdict or reason of rows to redo')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    rows = read(args.out)
    if args.again:
        rows = [row for row in rows if args.again not in f'{row.verdict} {row.reason}']
    written, here = table_versions(args.out), installed_versions()
    if others := [written[host] for host in here if written.get(host, here[host]) != here[host]]:
        raise SystemExit(f'{args.out} has rows of {", ".join(others)}: remove it first')
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
