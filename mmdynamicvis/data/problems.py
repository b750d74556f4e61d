"""One error for many problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SHOWN = 10


def raise_problems(path: str | Path, problems: Sequence[str], fix: str) -> None:
    """Raise one error that names the file or folder, the first problems and how many there are.

    Raises:
        ValueError: There are problems.
    """
    if not problems:
        return
    count = '1 problem' if len(problems) == 1 else f'{len(problems)} problems'
    more = f', the first {SHOWN} are' if len(problems) > SHOWN else ''
    raise ValueError('\n  '.join([f'{path}: {count}{more}', *problems[:SHOWN], fix]))
