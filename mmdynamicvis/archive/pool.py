"""Workers of a Ray cluster: processes that hold a model and do one piece of work after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

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
LOOK = 10
"""Seconds without a result after which it is looked whether machines were lost."""

Call = Callable[[Any], Any]
"""Function from a worker to a task of Ray."""


class Worker:
    """Base of the classes of workers."""

    def node(self) -> str:
        """Return the machine of the cluster that the worker runs on."""
        return ray.get_runtime_context().get_node_id()


def maker(worker: type[Worker], num_cpus: float, num_gpus: float) -> Callable[..., Any]:
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
        max_restarts=0,
        max_task_retries=0,  # a pool repeats calls, perhaps with another worker
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


class _Member(NamedTuple):
    """A worker, and the machine that it was on when it began."""

    worker: Any
    node: str


class Pool:
    """Workers, which get work once they run: a cluster may have room for some of them only.

    Args:
        make: Starts a worker, see :func:`maker`.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._starting: dict[Any, Any] = {}
        self._idle: list[_Member] = []

    def hire(self, count: int) -> None:
        """Start workers until there are ``count``."""
        while len(self._starting) + len(self._idle) < count:
            self._start(self._make())

    def ask(self, call: Call) -> Any:
        """Return what a worker answers, or raise its own error."""
        self.hire(1)
        return answer(call(next(iter(self._starting.values()))))

    def run(self, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield the number of each call and its result, as they end; a worker does one at a time.

        A call whose worker or machine was lost is repeated. The result of one whose workers died
        is ``dict(status='failed', reason=DIED)``.
        """
        waiting, running = list(enumerate(calls))[::-1], {}
        losses: Counter[int] = Counter()
        while waiting or running:
            while self._idle and waiting:
                member, (number, call) = self._idle.pop(), waiting.pop()
                running[call(member.worker)] = member, number
            ready, _ = ray.wait([*running, *self._starting], num_returns=1, timeout=LOOK)
            if starting := [task for task in ready if task in self._starting]:
                self._begin(*starting)
                continue
            lost = [] if ready else self._lost(running)
            for task in [*ready, *lost]:
                member, number = running.pop(task)
                try:
                    if task in lost:  # Ray may not say so
                        raise RayActorError
                    result = ray.get(task)
                except RayActorError:
                    ray.kill(member.worker)
                    self._start(self._make())
                    losses[number] += 1
                    if losses[number] <= DEATHS:
                        waiting.append((number, calls[number]))
                        continue
                    result = dict(status='failed', reason=DIED)
                else:
                    self._idle.append(member)
                yield number, result

    def _start(self, worker: Any) -> None:
        self._starting[worker.node.remote()] = worker

    def _begin(self, task: Any) -> None:
        worker = self._starting.pop(task)
        try:
            self._idle.append(_Member(worker, ray.get(task)))
        except RayActorError:  # it was lost before it began
            self._start(self._make())

    @staticmethod
    def _lost(running: dict[Any, tuple[_Member, int]]) -> list[Any]:
        """Return the tasks whose worker was on a machine that no longer answers."""
        alive = {node['NodeID'] for node in ray.nodes() if node['Alive']}
        return [task for task, (member, _) in running.items() if member.node not in alive]


def survey_by(pool: Pool, rows: Sequence[dict[str, Any]]) -> None:
    """Fill in sizes, numbers of bands, places and dates of rows of an index."""
    parts = [rows[start : start + SURVEYED] for start in range(0, len(rows), SURVEYED)]
    calls = [
        lambda worker, part=part: worker.survey.remote([row['source'] for row in part])
        for part in parts
    ]
    for number, found in pool.run(calls):
        if isinstance(found, dict):  # the worker died
            found = [found] * len(parts[number])
        for row, facts in zip(parts[number], found, strict=True):
            row.update(facts)
