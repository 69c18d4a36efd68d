"""Many measurements on several processes, one thread each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

import SimpleITK as sitk
import torch

from mureg.errors import MuregError, UsageError
from mureg.jobs.pool import one_thread_each

Task = TypeVar("Task")
Result = TypeVar("Result")


def shared_out(work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Generator[Result, None, None]:
    """Do every task, in this process for one job and in fresh ones for more; results as they come.

    Args:
        work: an importable function.
        tasks: what it is called with.
        jobs: how many at a time, each on one thread.

    Raises:
        UsageError: a process died.
    """
    if jobs == 1:
        with _one_thread():
            for task in tasks:
                yield work(task)
        return
    with one_thread_each():
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin)
        try:
            for future in as_completed([pool.submit(work, task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool as problem:
            raise MuregError(
                "a process died, perhaps for want of memory",
                "enough memory for every job",
                "give the same command again with fewer --jobs: what was measured is kept",
            ) from problem
        finally:
            pool.shutdown(cancel_futures=True)


def check_jobs(jobs: int) -> None:
    """Refuse less than one job."""
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}", "1 or more", "correct it")


def _begin() -> None:
    """On one thread, and gone as soon as the run is, however it ends."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

    def leave() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before[1])
