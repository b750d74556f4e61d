"""Target values on an H200, and how the measured values are read from the result files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from measure import exponent

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Bar:
    """A target value.

    Args:
        name: Description of the measurement.
        unit: Unit of the value.
        limit: Target value.
        at_least: Whether larger values are better.
        value: Function that reads the value from results; None if it was not measured.
    """

    name: str
    unit: str
    limit: float
    at_least: bool
    value: Callable[[dict[str, Rows]], float | None]

    def verdict(self, results: dict[str, Rows]) -> tuple[float | None, str]:
        """Return the measured value, and 'met', 'NOT met' or 'not measured'."""
        value = self.value(results)
        if value is None:
            return None, 'not measured'
        met = value >= self.limit if self.at_least else value <= self.limit
        return value, 'met' if met else 'NOT met'


def _find(rows: Rows, **conditions: Any) -> Rows:
    return [row for row in rows if all(row.get(k) == v for k, v in conditions.items())]


def _fair(rows: Rows) -> Rows:
    """Return measured rows; those of the published scheme only if on mamba-ssm's kernels."""
    return [
        row
        for row in rows
        if 'seconds' in row
        and (row.get('model') != 'published' or row.get('kernels') == 'mamba-ssm')
    ]


def _best(results: dict[str, Rows], model: str, dtype: str) -> dict[str, Any] | None:
    rows = _find(
        results['models'] + results['compiled'], model=model, dtype=dtype, size=2048, task='forward'
    )
    return min(_fair(rows), key=_seconds, default=None)


def _seconds(row: dict[str, Any]) -> float:
    return row['seconds']


def _milliseconds(results: dict[str, Rows]) -> float | None:
    row = _best(results, 'dynamicvis', 'bfloat16')
    return row and 1e3 * row['seconds']


def _megabytes(results: dict[str, Rows]) -> float | None:
    # that of the fastest mode, or all that torch allocated in a run without other models
    row = _best(results, 'dynamicvis', 'bfloat16')
    alone = _find(results['growth'], model='dynamicvis', dtype='bfloat16', size=2048)
    found = [row['memory (MB)']] if row else []
    return max(found + [r['allocated (MB)'] for r in alone if 'seconds' in r], default=None)


def _times_faster(other: str, dtype: str) -> Callable[[dict[str, Rows]], float | None]:
    def value(results: dict[str, Rows]) -> float | None:
        ours, theirs = (_best(results, model, dtype) for model in ('dynamicvis', other))
        return theirs['seconds'] / ours['seconds'] if ours and theirs else None

    return value


def _memory_ratio(dtype: str) -> Callable[[dict[str, Rows]], float | None]:
    def value(results: dict[str, Rows]) -> float | None:
        ours, theirs = (_best(results, model, dtype) for model in ('dynamicvis', 'published'))
        return ours['memory (MB)'] / theirs['memory (MB)'] if ours and theirs else None

    return value


def _training(results: dict[str, Rows]) -> float | None:
    rows = {row['model']: row for row in _fair(results['training'])}
    if not {'dynamicvis', 'published'} <= rows.keys():
        return None
    return rows['published']['seconds'] / rows['dynamicvis']['seconds']


def _growth(results: dict[str, Rows]) -> float | None:
    rows = _find(results['growth'], model='dynamicvis', dtype='bfloat16', mode='eager')
    points = [(row['size'] ** 2, row['seconds']) for row in _fair(rows)]
    return exponent(points) if len(points) > 1 else None


def _of_the_floor(op: str, stage: int, dtype: str) -> Callable[[dict[str, Rows]], float | None]:
    def value(results: dict[str, Rows]) -> float | None:
        conditions = {'op': op, 'stage': stage, 'dtype': dtype, 'size': 2048}
        rows = _find(results['ops'], backend='triton', **conditions, **{'pass': 'forward'})
        return rows[0].get('percent of floor') if rows else None

    return value


def _first_use(results: dict[str, Rows]) -> float | None:
    by_dtype: dict[str, float] = {}
    for row in _fair(results['first_use']):
        by_dtype[row['dtype']] = by_dtype.get(row['dtype'], 0) + row['seconds']
    return max(by_dtype.values(), default=None)


def _bars() -> Iterator[Bar]:
    yield Bar('base, 2048, bfloat16, best mode', 'ms', 8, False, _milliseconds)
    yield Bar('base, 2048, bfloat16, peak with weights', 'MB', 450, False, _megabytes)
    for dtype in ('float32', 'bfloat16'):
        name = f'against the published scheme, 2048, {dtype}'
        faster = _times_faster('published', dtype)
        yield Bar(f'{name}: faster', 'x', 1.5, True, faster)
        yield Bar(f'{name}: memory', 'x', 0.5, False, _memory_ratio(dtype))
    for dtype in ('float32', 'bfloat16'):
        faster = _times_faster('vit_b16', dtype)
        yield Bar(f'against ViT-B/16, 2048, {dtype}: faster', 'x', 10, True, faster)
    # a single block orders the tokens of an image, and few threads write the kept tokens
    for op, limit in (('selective_scan', 60), ('token_select', 40), ('token_update', 40)):
        for stage in (1, 2, 3, 4):
            for dtype in ('float32', 'bfloat16'):
                name = f'{op}, 2048, stage {stage}, {dtype}: of the floor'
                yield Bar(name, '%', limit, True, _of_the_floor(op, stage, dtype))
    yield Bar('training step, 1024, batch 4, bfloat16: faster', 'x', 1.5, True, _training)
    yield Bar('time over pixels up to 10,240 x 10,240: exponent', '', 1.05, False, _growth)
    yield Bar('compilation at first use, forward and training', 's', 20, False, _first_use)


BARS = tuple(_bars())
FILES = ('models', 'ops', 'training', 'first_use', 'growth', 'compiled')
"""Result files from which the bars are read; their rows are passed under these names."""


def table(results: dict[str, Rows]) -> list[dict[str, Any]]:
    """Return a row per bar: measured value, target and verdict."""
    rows = []
    for bar in BARS:
        value, verdict = bar.verdict(results)
        sign = '>=' if bar.at_least else '<='
        reach = f'{sign} {bar.limit:g} {bar.unit}'
        rows.append({'bar': bar.name, 'measured': value, 'to reach': reach, 'verdict': verdict})
    return rows
