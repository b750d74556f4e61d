"""Validation of annotation files in DOTA's text format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

from mmdynamicvis.data.problems import raise_problems

HEADERS = ('imagesource:', 'gsd:')
LINE = 'x1 y1 x2 y2 x3 y3 x4 y4 category difficulty'
NO_AREA = 1e-6  # square pixels; rounding keeps slanted lines from giving exactly zero


def check_dota(
    files: str | Path | Iterable[str | Path], classes: Sequence[str], headers: bool = False
) -> None:
    """Refuse text files that mmrotate cannot read, and name the invalid lines.

    A line has eight numbers (the corners in pixels), a category and a difficulty: 0, 1, or 2 for
    objects that mmrotate's split tool has cut. An image without objects has an empty file.

    Args:
        files: A folder of .txt files, or the files themselves.
        classes: The known categories.
        headers: Whether files may start with the lines ``imagesource:`` and ``gsd:``, as in
            DOTA's download. mmrotate's split tool drops them; its datasets cannot read them.

    Raises:
        ValueError: There are no files, or a line has a wrong number of fields, a corner that is
            not a finite number, corners that enclose no area or are in relative coordinates (0 to
            1), an unknown category, or a difficulty that is not a whole number. The message names
            the first ten problems by file and line.
    """
    where, paths = _find(files)
    problems = [problem for path in paths for problem in dota_problems(path, classes, headers)]
    raise_problems(where, problems, f'a line must be: {LINE}')


def dota_problems(path: str | Path, classes: Sequence[str], headers: bool = False) -> Iterator[str]:
    """Yield the problems of a file, each with the path and the line number."""
    known = frozenset(classes)
    with Path(path).open(encoding='utf-8-sig', errors='replace') as file:
        for number, line in enumerate(file, start=1):
            if headers and number <= len(HEADERS) and line.startswith(HEADERS):
                continue
            problem = line_problem(line, known)
            if problem:
                yield f'{path}, line {number}: {problem}'


def _find(files: str | Path | Iterable[str | Path]) -> tuple[str, list[Path]]:
    if not isinstance(files, str | Path):
        return 'annotation files', [Path(file) for file in files]
    paths = sorted(Path(files).glob('[!.]*.txt'))
    if not paths:
        raise ValueError(f'{files} has no .txt files; give the folder of the DOTA text files')
    return str(files), paths


def line_problem(line: str, known: Set[str]) -> str:
    """Return the problem of a line, or an empty string.

    Args:
        line: Line of a DOTA text file.
        known: The known categories.
    """
    fields = line.split()
    if len(fields) != 10:
        header = '; tools/prepare_data/dota.py drops headers' if line.startswith(HEADERS) else ''
        return f'{len(fields)} fields instead of 10{header}'
    *corners, category, difficulty = fields
    try:
        x1, y1, *others = map(float, corners)
    except ValueError as error:
        return str(error)
    if not math.isfinite(x1 + y1 + sum(others)):
        return f'the corners {" ".join(corners)} are not finite'
    # vectors from the first corner to the others; all parallel if there is no area
    (ax, bx, cx), (ay, by, cy) = [x - x1 for x in others[::2]], [y - y1 for y in others[1::2]]
    if max(abs(ax * by - ay * bx), abs(ax * cy - ay * cx), abs(bx * cy - by * cx)) < NO_AREA:
        return f'the corners {" ".join(corners)} enclose no area'
    if min(x1, y1, *others) >= 0 and max(x1, y1, *others) <= 1:
        return f'the corners {" ".join(corners)} are from 0 to 1; they must be in pixels'
    if category not in known:
        return f'the category {category} is none of {", ".join(sorted(known))}'
    if not difficulty.isdecimal():
        return f'the difficulty {difficulty} is not a whole number'
    return ''
