"""Ray clusters: one for all tests that need one, because it takes seconds to start; two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

STORE = 80 * 2**20
"""Bytes of the object store of a machine."""


@pytest.fixture(scope='session')
def ray_cluster():
    pytest.importorskip('ray')
    from mmdynamicvis.archive import cluster

    with cluster('local', cpus=2, object_store=STORE):
        yield


@pytest.fixture
def two_machines() -> Iterator[tuple[Any, Any]]:
    """Yield a cluster of two nodes with a core each on the loopback address, and the second one."""
    pytest.importorskip('ray')
    from ray.cluster_utils import Cluster

    room = dict(num_cpus=1, object_store_memory=STORE)
    machines = Cluster(initialize_head=True, head_node_args=dict(room, include_dashboard=False))
    try:
        other = machines.add_node(**room)
        machines.wait_for_nodes()
        yield machines, other
    finally:
        machines.shutdown()
