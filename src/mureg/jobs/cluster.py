"""Cases on the workers of a Dask scheduler."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import CancelledError
from typing import Any

from mureg.errors import UsageError
from mureg.jobs.cases import AHEAD, Job, JobResult, result_of, windowed
from mureg.jobs.cores import prepare_process

_RETRIES = 2
"""Further attempts at a case that fails by accident, such as a disk that does not answer; a round value."""


def on_cluster(work: Job, indices: Iterable[int], address: str) -> Generator[JobResult, None, None]:
    """Do the work on the workers of a Dask scheduler; they must see the output folder under the same path.

    The case of a worker that is lost is done again elsewhere; a case that fails by accident is tried again.

    Raises:
        UsageError: Dask is not installed, or the scheduler does not answer.
    """
    try:
        from distributed import Client
        from distributed import wait as wait_for
    except ImportError as problem:
        raise UsageError(
            "--scheduler without Dask", "dask and distributed", "run pip install mureg[cluster]"
        ) from problem
    run = secrets.token_hex(8)
    try:
        with Client(address) as client:

            def submit(index: int) -> Any:
                key = f"{work.name(index)}-{run}"
                return client.submit(_in_worker, work, index, key=key, retries=_RETRIES, pure=False)

            def window() -> int:
                return AHEAD * max(1, sum(map(int, client.nthreads().values())))

            for index, future in windowed(deque(indices), submit, wait_for, window):
                yield result_of(work, index, future)
    except (OSError, CancelledError, TimeoutError) as problem:
        raise UsageError(
            f"no answer from a Dask scheduler at {address}",
            "the address that dask scheduler prints, such as tcp://host:8786",
            "start the scheduler and give the same command again: finished cases are kept",
        ) from problem


def _in_worker(work: Job, index: int) -> JobResult:
    prepare_process()
    return work(index)
