"""The Ray cluster on which archives are processed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import ray
except ImportError as error:
    raise ImportError("archives need Ray: pip install 'mmdynamicvis[archive]'") from error

OBJECT_STORE = 256 * 2**20
"""Bytes of the object store of a cluster that is started here; Ray's default is 30 % of the RAM."""


@contextmanager
def cluster(
    address: str | None = None, cpus: int | None = None, object_store: int = OBJECT_STORE
) -> Iterator[None]:
    """Connect to a Ray cluster, or run one on this machine until the block ends.

    A connection that the process has already is used, and stays open.

    Args:
        address: Address of a running cluster, 'auto' for the one of this machine, or 'local' to
            start one. By default the environment's ``RAY_ADDRESS``, otherwise 'local'.
        cpus: CPU cores of a cluster that is started here; by default those of the machine.
        object_store: Bytes of its object store.

    Raises:
        ConnectionError: No cluster answers at the address.
        TimeoutError: A cluster does not start here in the time that Ray allows.
        ValueError: ``cpus`` is not positive.
    """
    if cpus is not None and cpus < 1:
        raise ValueError(f'cpus is {cpus}; give 1 or more')
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get('RAY_ADDRESS') or 'local'
    options = {}
    if address == 'local':
        options = dict(num_cpus=cpus, object_store_memory=object_store, include_dashboard=False)
    try:
        ray.init(address, log_to_driver=False, logging_level='error', **options)
    except ConnectionError:
        raise
    except Exception as error:  # Ray's own class for this is Exception
        if 'timed out during startup' not in str(error):
            raise
        raise TimeoutError(
            'Ray did not start in the 30 seconds that it allows itself: this machine is too busy. '
            'Start it once (ray start --head), and give address="auto"'
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
