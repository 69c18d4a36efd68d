"""Numbered cases: what a worker is given, what it returns, and how many are submitted at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mureg import __version__
from mureg.errors import MuregError, UsageError

AHEAD = 2
"""Cases submitted for each worker: one at work, one waiting, so that no worker is idle between two cases."""


@dataclass(frozen=True)
class JobResult:
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


class Job(Protocol):
    """What there is to do, by number; it is sent to the workers, so that it must be picklable."""

    def name(self, index: int) -> str:
        """Name of the case with that number."""
        ...

    def __call__(self, index: int) -> JobResult:
        """Process the case with that number."""
        ...


def require_fit_worker(version: str, marker: Path, folder: str) -> None:
    """Refuse to work with another mureg than the run was begun with, or where its output folder is not seen.

    Args:
        version: of the mureg that began the run.
        marker: file in the output folder that each worker must see.
        folder: the output folder, for the sentence.
    """
    if version != __version__:
        raise UsageError(f"a worker with mureg {__version__}", f"mureg {version}", "install the same everywhere")
    if not marker.is_file():
        raise UsageError(
            f"a worker that sees no {marker.name} in {folder}",
            "an output folder that all workers share",
            "choose a folder on a shared disk",
        )


def windowed(
    remaining: deque[int], submit: Callable[[int], Any], wait_for: Callable[..., Any], window: Callable[[], int]
) -> Iterator[tuple[int, Any]]:
    """Keep `window` cases submitted, and yield number and future as they finish; ends early with a broken pool."""
    running: dict[Any, int] = {}
    pool_is_broken = False
    while running or (remaining and not pool_is_broken):
        most = window()
        while remaining and not pool_is_broken and len(running) < most:
            try:
                future = submit(remaining[0])
            except BrokenProcessPool:
                pool_is_broken = True
            else:
                running[future] = remaining.popleft()
        if running:
            for future in wait_for(list(running), return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future


def result_of(work: Job, index: int, future: Any) -> JobResult:
    """What came of a case, a failure in one sentence."""
    try:
        result: JobResult = future.result()
    except Exception as problem:
        if future.cancelled():  # by a scheduler that is gone
            raise
        sentence = str(problem) if isinstance(problem, MuregError) else f"{type(problem).__name__}: {problem}"
        return JobResult(index, work.name(index), problem=" ".join(sentence.split()))
    return result
