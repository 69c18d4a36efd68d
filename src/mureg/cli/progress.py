"""How far a run is: a bar on a terminal; elsewhere a line a minute; each step in the log."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mureg.cli.messages import Messages

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task

LOG = logging.getLogger("mureg.cli.progress")
Step = Callable[[str], None]
Count = Callable[[int, int], None]

_TERMINAL_NAMES = {"FORCE_COLOR", "TTY_COMPATIBLE"}
"""Environment variables by which rich takes something else for a terminal."""

MINUTE_S = 60.0
"""Time between two lines where the output is not a terminal."""


class Ticker:
    """Notes the present state in the log once a minute; prints it on standard error too where there is no bar."""

    def __init__(self, *, prints: bool) -> None:
        self.state = "starting"
        self._prints, self._since, self._over = prints, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(MINUTE_S):
            line = f"{self.state} ({(time.monotonic() - self._since) / 60:.0f} min)"
            LOG.info("%s", line)
            if self._prints:
                print(f"mureg: {line}", file=sys.stderr, flush=True)


def _terminal() -> Console | None:
    """Standard error where it is a terminal, or the environment says so."""
    if not (sys.stderr.isatty() or _TERMINAL_NAMES & set(os.environ)):
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return console if console.is_terminal else None


@contextmanager
def watched(
    messages: Messages, columns: Callable[[], Sequence[ProgressColumn | str]]
) -> Iterator[tuple[Ticker, Progress | None]]:
    """A ticker; and a bar where standard error is a terminal and the options allow one.

    Args:
        messages: options of the verb.
        columns: gives those of the bar; called where there is one, since the library that draws it takes time to load.
    """
    console = _terminal() if messages.has_bar else None
    if console is None:
        with Ticker(prints=messages.has_lines) as ticker:
            yield ticker, None
        return
    from rich.progress import Progress

    # cases take seconds to minutes: five minutes hold several of them
    bar = Progress(*columns(), console=console, transient=True, speed_estimate_period=300)
    with Ticker(prints=False) as ticker, bar:
        yield ticker, bar


@contextmanager
def progress(messages: Messages) -> Iterator[Step]:
    """Show the step at work, and log each one; see the module."""
    began = time.monotonic()
    with watched(messages, _step_columns) as (ticker, bar):
        task = None if bar is None else bar.add_task("starting", total=None)

        def show(step: str) -> None:
            LOG.info("%s (after %.1f s)", step, time.monotonic() - began)
            ticker.state = step
            if bar is not None and task is not None:
                bar.update(task, description=step)

        yield show


@contextmanager
def counting(messages: Messages, doing: str, *, with_rate: bool = False) -> Iterator[Count]:
    """Show how many are done, and of how many; see the module."""
    with watched(messages, lambda: _count_columns(doing, with_rate)) as (ticker, bar):
        ticker.state = doing
        task = None if bar is None else bar.add_task(doing, total=None)

        def show(n_done: int, of: int) -> None:
            ticker.state = f"{doing}: {n_done} of {of} done"
            if bar is not None and task is not None:
                bar.update(task, completed=n_done, total=of)

        yield show
        LOG.info("%s", ticker.state)


def _step_columns() -> tuple[ProgressColumn, ...]:
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    return SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()


def _count_columns(doing: str, with_rate: bool) -> tuple[ProgressColumn, ...]:
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Cases a second, or seconds a case where that is the larger number."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            if not speed:
                return Text("")
            return Text(f"{speed:.1f} cases/s" if speed >= 1 else f"{speed:.2f} cases/s ({1 / speed:.1f} s a case)")

    middle = (Rate(),) if with_rate else ()
    return TextColumn(doing), BarColumn(), MofNCompleteColumn(), *middle, TimeRemainingColumn()
