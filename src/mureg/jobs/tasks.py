"""One function for many tasks, on several processes with one thread each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mureg.errors import MuregError, UsageError
from mureg.jobs.cores import one_thread
from mureg.jobs.processes import fresh_processes

Task = TypeVar("Task")
Result = TypeVar("Result")


def shared_out(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, *, in_order: bool = False
) -> Generator[Result, None, None]:
    """Do every task, in this process for one job and in fresh ones for more; results as they come.

    Args:
        work: an importable function.
        tasks: what it is called with.
        jobs: how many at a time, each on one thread.
        in_order: give the results in the order of the tasks; the exception of the first task that fails is raised.

    Raises:
        MuregError: a process died.
    """
    if jobs == 1:
        with one_thread():
            for task in tasks:
                yield work(task)
        return
    try:
        with fresh_processes(jobs) as pool:
            submitted = [pool.submit(work, task) for task in tasks]
            for future in submitted if in_order else as_completed(submitted):
                yield future.result()
    except BrokenProcessPool as problem:
        raise MuregError(
            "a process ended unexpectedly, perhaps because memory ran out",
            "enough memory for every job",
            "give the same command again with fewer --jobs: finished work is kept",
        ) from problem


def check_jobs(jobs: int) -> None:
    """Refuse less than one job."""
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}", "1 or more", "correct it")
