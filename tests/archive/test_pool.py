"""The pool on real workers that answer, raise and die as they are told."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip('ray')

from mmdynamicvis.archive.pool import DEATHS, DIED, Pool, Worker, maker


def clerk() -> type[Worker]:
    """Return a class that Ray sends by value: its processes cannot import tests."""

    class Clerk(Worker):
        """Does what a call says."""

        def square(self, number: int) -> int:
            return number**2

        def refuse(self) -> None:
            raise ValueError('not that')

        def die(self, record: Path, times: int) -> int:
            """Write down each try, and die at the first so many."""
            with record.open('a') as file:
                file.write('x')
            tries = len(record.read_text())
            if tries <= times:
                os.kill(os.getpid(), signal.SIGKILL)
            return tries

    return Clerk


@pytest.mark.slow
def test_calls_errors_and_deaths(ray_cluster, tmp_path) -> None:
    pool = Pool(maker(clerk(), 1, 0))
    with pytest.raises(ValueError, match=r'^not that$'):
        pool.ask(lambda worker: worker.refuse.remote())
    pool.hire(2)

    def square(worker, number):
        return worker.square.remote(number)

    def die(worker, times):
        return worker.die.remote(tmp_path / str(times), times)

    calls = [partial(square, number=number) for number in range(20)]
    calls += [partial(die, times=times) for times in (1, DEATHS + 1)]
    found = dict(pool.run(calls))
    assert len(found) == len(calls)
    assert [found[number] for number in range(20)] == [number**2 for number in range(20)]
    assert found[20] == 2
    assert found[21] == dict(status='failed', reason=DIED)
    assert (tmp_path / str(DEATHS + 1)).read_text() == 'x' * (DEATHS + 1)
    assert dict(pool.run(calls[:2])) == {0: 0, 1: 1}  # the pool is whole again
