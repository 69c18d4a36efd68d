"""Numbered cases in processes of this machine, or on a Dask cluster; a few are submitted at a time, never all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

from mureg.jobs.cases import AHEAD, Done, Job, result_of, windowed
from mureg.jobs.cluster import on_cluster
from mureg.jobs.processes import fresh_processes

__all__ = ["Done", "Job", "all_done", "in_processes"]


def all_done(
    work: Job,
    missing: list[int],
    jobs: int,
    scheduler: str | None,
    progress: Callable[[int, int], None],
    each: Callable[[Done], None] = lambda _done: None,
) -> list[Done]:
    """Do what is missing in processes, or on a cluster where a scheduler is named; yields results as they finish.

    `progress` receives how many are done and of how many, `each` receives every result before that.
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


def in_processes(work: Job, indices: Iterable[int], jobs: int) -> Generator[Done, None, None]:
    """Do the work in `jobs` fresh processes of this machine, each with one thread, in the order they finish.

    A process that dies ends the cases that were submitted with it; those are tried once more, each alone, so that the
    one that killed it is identified and the others are made.
    """
    remaining = deque(indices)
    while remaining:
        suspects = deque((yield from _until_a_process_dies(work, remaining, jobs, AHEAD)))
        while suspects:
            for index in (yield from _until_a_process_dies(work, suspects, 1, 1)):
                yield Done(
                    index, work.name(index), problem="the process ended unexpectedly, perhaps because memory ran out"
                )


def _until_a_process_dies(work: Job, remaining: deque[int], jobs: int, ahead: int) -> Generator[Done, None, list[int]]:
    """Take cases off `remaining` and yield their results; return those that were lost with a process."""
    lost = []
    with fresh_processes(jobs) as pool:
        for index, future in windowed(remaining, lambda index: pool.submit(work, index), wait, lambda: ahead * jobs):
            if isinstance(future.exception(), BrokenProcessPool):
                lost.append(index)
            else:
                yield result_of(work, index, future)
    return lost
