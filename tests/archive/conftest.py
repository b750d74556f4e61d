"""One Ray cluster for all tests that need it, because it takes seconds to start."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='session')
def ray_cluster():
    pytest.importorskip('ray')
    from mmdynamicvis.archive import cluster

    with cluster('local', cpus=2, object_store=80 * 2**20):
        yield
