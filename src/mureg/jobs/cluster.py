"""Cases on the workers of a Dask scheduler."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from mureg.errors import UsageError
from mureg.jobs.alone import LostProcessError, UnwantedError
from mureg.jobs.cases import AHEAD, Job, JobResult, result_of, windowed
from mureg.jobs.cores import prepare_process

_RETRIES = 2
"""Further attempts at a case that fails by accident, such as a disk that does not answer; a round value."""
_CONNECT_S, _LOOK_S = 30.0, 1.0
"""Until a scheduler must answer, and between two looks at whether the work is still wanted; round values."""


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


def on_one_worker(work: Callable[..., Any], arguments: tuple[Any, ...], address: str, unwanted: threading.Event) -> Any:
    """Call an importable function on a worker of a Dask scheduler, as `mureg.jobs.alone.run_alone` does here.

    Raises:
        LostProcessError: the worker died each time, the scheduler does not answer, or is gone.
        UnwantedError: the work was stopped.
        Exception: whatever `work` raises.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed import wait as wait_for
    except ImportError as problem:
        raise UsageError(
            "--scheduler without Dask", "dask and distributed", "run pip install mureg[cluster]"
        ) from problem
    try:
        with Client(address, timeout=_CONNECT_S, set_as_default=False) as client:
            future = client.submit(_alone_in_worker, work, arguments, key=secrets.token_hex(8), pure=False)
            while not future.done():
                if unwanted.is_set():
                    future.cancel()
                    raise UnwantedError("work that is not wanted any more", "nothing", "give the same command again")
                with suppress(TimeoutError):
                    wait_for([future], timeout=_LOOK_S)
            return future.result()
    except (OSError, CancelledError, TimeoutError, KilledWorker) as problem:
        raise LostProcessError(
            f"no answer from the workers of the Dask scheduler at {address}",
            "a scheduler with workers that have enough memory",
            "start them again: the study is tried again",
        ) from problem


def _alone_in_worker(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    prepare_process()
    return work(*arguments)


def _in_worker(work: Job, index: int) -> JobResult:
    prepare_process()
    return work(index)
