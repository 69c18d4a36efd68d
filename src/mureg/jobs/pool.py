"""Who does the work: processes of this machine, or a Dask cluster. A few cases are under way at a time, never all."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Protocol

from mureg.errors import MuregError, UsageError

_AHEAD = 2
"""Cases under way for each worker: one at work, one waiting, so that nobody idles."""

_TRIES_AGAIN = 2
_THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


@dataclass(frozen=True)
class Done:
    """What comes back of one case: small, since the case itself stays on disk.

    Attributes:
        index, name: of the case.
        seconds: that it took.
        problem: why there is no case, one sentence; "" where all went well.
    """

    index: int
    name: str
    seconds: float = 0.0
    problem: str = ""


class Work(Protocol):
    """What there is to do, numbered; it travels to whoever does it."""

    def name(self, index: int) -> str:
        """Of the case with that number."""
        ...

    def __call__(self, index: int) -> Done:
        """Do it and say what came of it."""
        ...


def all_done(
    work: Work,
    missing: list[int],
    jobs: int,
    scheduler: str | None,
    progress: Callable[[int, int], None],
    each: Callable[[Done], None] = lambda _done: None,
) -> list[Done]:
    """Do what is missing in processes, or on a cluster where a scheduler is named; what came of it, as it came.

    `progress` is told how many are done and of how many, `each` of every one of them before that.
    """
    results: list[Done] = []
    if not missing:
        return results
    if scheduler is not None:
        working = on_cluster(work, missing, scheduler)
    else:
        working = in_processes(work, missing, min(jobs, len(missing)))
    with closing(working) as finished:
        progress(0, len(missing))
        for one in finished:
            each(one)
            results.append(one)
            progress(len(results), len(missing))
    return results


def in_processes(work: Work, indices: Iterable[int], jobs: int) -> Generator[Done, None, None]:
    """Do the work in `jobs` fresh processes of this machine, each with one thread, in the order they finish.

    A process that dies takes the cases with it that were under way; those are tried once more, each alone, so that
    the one that killed it is found and the others are made.
    """
    remaining = deque(indices)
    with one_thread_each():
        while remaining:
            suspects = deque((yield from _until_a_process_dies(work, remaining, jobs, _AHEAD)))
            while suspects:
                for index in (yield from _until_a_process_dies(work, suspects, 1, 1)):
                    yield Done(index, work.name(index), problem="the process died, perhaps for want of memory")


def on_cluster(work: Work, indices: Iterable[int], address: str) -> Generator[Done, None, None]:
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
                return client.submit(work, index, key=f"{work.name(index)}-{run}", retries=_TRIES_AGAIN, pure=False)

            def window() -> int:
                return _AHEAD * max(1, sum(map(int, client.nthreads().values())))

            for index, future in _windowed(deque(indices), submit, wait_for, window):
                yield _result(work, index, future)
    except (OSError, CancelledError, TimeoutError) as problem:
        raise UsageError(
            f"no answer from a Dask scheduler at {address}",
            "the address that dask scheduler prints, such as tcp://host:8786",
            "start the scheduler and give the same command again: finished cases are kept",
        ) from problem


def _until_a_process_dies(work: Work, remaining: deque[int], jobs: int, ahead: int) -> Generator[Done, None, list[int]]:
    """Take cases off `remaining` and yield what came of them; return those that went down with a process."""
    lost = []
    with _pool(jobs) as pool:
        for index, future in _windowed(remaining, lambda index: pool.submit(work, index), wait, lambda: ahead * jobs):
            if isinstance(future.exception(), BrokenProcessPool):
                lost.append(index)
            else:
                yield _result(work, index, future)
    return lost


def _windowed(
    remaining: deque[int], submit: Callable[[int], Any], wait_for: Callable[..., Any], window: Callable[[], int]
) -> Iterator[tuple[int, Any]]:
    """Keep `window` cases under way, and yield the futures as they finish."""
    running: dict[Any, int] = {}
    broken = False
    while running or (remaining and not broken):
        most = window()
        while remaining and not broken and len(running) < most:
            try:
                future = submit(remaining[0])
            except BrokenProcessPool:
                broken = True
            else:
                running[future] = remaining.popleft()
        if running:
            for future in wait_for(list(running), return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future


def _result(work: Work, index: int, future: Any) -> Done:
    """What came of a case, a failure in one sentence."""
    try:
        done: Done = future.result()
    except Exception as problem:
        if future.cancelled():  # by a scheduler that is gone
            raise
        sentence = str(problem) if isinstance(problem, MuregError) else f"{type(problem).__name__}: {problem}"
        return Done(index, work.name(index), problem=" ".join(sentence.split()))
    return done


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes that are stopped at once when the block is left otherwise than by its end."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()


def _begin() -> None:
    """A worker leaves Ctrl-C to the process that began it, and ends when that one is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """What a new process finds in its environment, for libraries that count their threads when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_COUNTS}
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
