"""Workers of a Ray cluster: processes that hold a model and do one piece of work after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

DEATHS = 2
"""Times that work is tried again after the death of its worker."""
DIED = (
    f'its worker died {DEATHS + 1} times, for want of memory perhaps: the next run goes on where '
    'it ended'
)
"""The reason of a failure."""
SURVEYED = 16
"""Rasters whose headers a worker reads at once."""


def maker(worker: type, num_cpus: float, num_gpus: float) -> Callable[..., Any]:
    """Return what starts a worker, an actor of Ray, with the arguments of its class.

    Args:
        worker: The class. Its errors must be those of its methods: Ray reports an error of the
            constructor as the death of the worker.
        num_cpus: CPU cores per worker.
        num_gpus: GPUs per worker.
    """
    names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')
    variables = dict.fromkeys(names, str(threads_of(num_cpus)))
    actor = ray.remote(worker).options(
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_restarts=-1,
        max_task_retries=DEATHS,
        runtime_env=dict(env_vars=variables),
    )
    return actor.remote


def threads_of(num_cpus: float) -> int:
    """Return the number of threads of a worker with these cores."""
    return max(int(num_cpus), 1)


def capacity(num_cpus: float, num_gpus: float) -> int:
    """Return how many workers of these resources the cluster has room for; at least 1."""
    resources = ray.cluster_resources()
    asked = dict(CPU=num_cpus, GPU=num_gpus)
    return max(1, min(int(resources.get(name, 0) / n) for name, n in asked.items() if n))


def answer(task: Any) -> Any:
    """Return what a task returns, or raise its own error, without the worker's traceback."""
    try:
        return ray.get(task)
    except RayTaskError as error:
        raise error.cause from None


def run(pool: Sequence[Any], calls: Sequence[Callable[[Any], Any]]) -> Iterator[tuple[int, Any]]:
    """Yield the number of each call and its result, as they end; a worker does one at a time.

    The result of a call whose workers died is ``dict(status='failed', reason=DIED)``.
    """
    idle, waiting, running = list(pool), list(enumerate(calls))[::-1], {}
    while waiting or running:
        while idle and waiting:
            worker, (number, call) = idle.pop(), waiting.pop()
            running[call(worker)] = worker, number
        (task, *_), _ = ray.wait(list(running), num_returns=1)
        worker, number = running.pop(task)
        idle.append(worker)
        try:
            yield number, ray.get(task)
        except RayActorError:
            yield number, dict(status='failed', reason=DIED)


def survey_by(pool: Sequence[Any], rows: Sequence[dict[str, Any]]) -> None:
    """Fill in sizes, numbers of bands, places and dates of rows of an index."""
    parts = [rows[start : start + SURVEYED] for start in range(0, len(rows), SURVEYED)]
    calls = [
        lambda worker, part=part: worker.survey.remote([row['source'] for row in part])
        for part in parts
    ]
    for number, found in run(pool, calls):
        if isinstance(found, dict):  # the worker died
            found = [found] * len(parts[number])
        for row, facts in zip(parts[number], found, strict=True):
            row.update(facts)
