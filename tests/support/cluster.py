"""Two Dask workers of this machine, for the tests of runs on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import LocalCluster

# Dask reports on standard error each worker that it loses, which some tests make it do
QUIET = {"distributed.logging.distributed": "error", "distributed.worker.daemon": False}


@contextmanager
def two_workers() -> Iterator[str]:
    """Their scheduler's address."""
    with (
        dask.config.set(QUIET),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
    ):
        yield cluster.scheduler_address
