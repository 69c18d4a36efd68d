"""Numbered cases in processes of this machine, or on a Dask cluster; a few are submitted at a time, never all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

from mureg.jobs.cases import AHEAD, Job, JobResult, result_of, windowed
from mureg.jobs.cluster import on_cluster
from mureg.jobs.processes import fresh_processes

__all__ = ["Job", "JobResult", "all_done", "in_processes"]


def all_done(
    work: Job,
    indices: list[int],
    jobs: int,
    scheduler: str | None,
    progress: Callable[[int, int], None],
    each: Callable[[JobResult], None] = lambda _result: None,
) -> list[JobResult]:
    """Do what is missing in processes, or on a cluster where a scheduler is named; yields results as they finish.

    `progress` receives how many are done and of how many, `each` receives every result before that.
    """
    results: list[JobResult] = []
    if not indices:
        return results
    if scheduler is not None:
        working = on_cluster(work, indices, scheduler)
    else:
        working = in_processes(work, indices, min(jobs, len(indices)))
    with closing(working) as results_in_order:
        progress(0, len(indices))
        for result in results_in_order:
            each(result)
            results.append(result)
            progress(len(results), len(indices))
    return results


def in_processes(work: Job, indices: Iterable[int], jobs: int) -> Generator[JobResult, None, None]:
    """Do the work in `jobs` fresh processes of this machine, each with one thread, in the order they finish.

    A process that dies ends the cases that were submitted with it; those are tried once more, each alone, so that the
    one that killed it is identified and the others are made.
    """
    remaining = deque(indices)
    while remaining:
        suspects = deque((yield from _until_a_process_dies(work, remaining, jobs, AHEAD)))
        while suspects:
            for index in (yield from _until_a_process_dies(work, suspects, 1, 1)):
                yield JobResult(
                    index, work.name(index), problem="the process ended unexpectedly, perhaps because memory ran out"
                )


def _until_a_process_dies(
    work: Job, remaining: deque[int], jobs: int, ahead: int
) -> Generator[JobResult, None, list[int]]:
    """Take cases off `remaining` and yield their results; return those that were lost with a process."""
    indices_lost = []
    with fresh_processes(jobs) as pool:
        for index, future in windowed(remaining, lambda index: pool.submit(work, index), wait, lambda: ahead * jobs):
            if isinstance(future.exception(), BrokenProcessPool):
                indices_lost.append(index)
            else:
                yield result_of(work, index, future)
    return indices_lost
