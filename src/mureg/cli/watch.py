"""``mureg watch``: register what is dropped into a folder."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.batch.folder import settings_sha256
from mureg.batch.run import as_settings
from mureg.cli.batch import RegisterPair, settings_table
from mureg.cli.common import Output, parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.cli.register import Manner
from mureg.errors import SOME_FAILED, MuregError, UsageError
from mureg.jobs.cores import usable_cores
from mureg.service.store.folder import Store
from mureg.service.store.queue import DONE, FAILED, Queue
from mureg.service.watch.status import status_of
from mureg.service.watch.watch import LOG, Manners, Watch
from mureg.service.watch.work import InProcess, OnCluster, Run

_GB = 10**9
"""Bytes, as disks are sold (SI)."""


@dataclass(frozen=True)
class WatchOptions:
    """Register studies as they arrive in a folder. The same command goes on after a stop. Research use only.

    Attributes:
        folder: into which scanners, gateways or people put DICOM files; may be a network share. Never changed.
        output: the store: folder for results, inputs and queue, on a disk of this computer.
        quiet_time: seconds without a new or changed file of a patient before a study is put together.
        every: seconds between two looks into the folder.
        once: process what is there, then stop. Exit code 5 where some studies failed or wait.
        retry: repeat studies that failed.
        jobs: number of studies at a time, in a process each; they share the cores.
        scheduler: address of a Dask scheduler whose workers register instead, such as tcp://host:8786 (default: none).
        least_free: room on the disk of the store, in GB, below which no study is begun.
        fast: quick mode: coarse registration, decision and maps; no corrected image or figures.

    Example:
        mureg watch /mnt/export -o /var/lib/mureg --quiet-time 60
    """

    folder: tyro.conf.Positional[Path]
    output: Output
    quiet_time: float = 60.0
    every: float = 5.0
    once: bool = False
    retry: bool = False
    jobs: int = 1
    scheduler: str | None = None
    least_free: float = 2.0
    fast: bool = False
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)
    manner: Annotated[Manner, Flat] = field(default_factory=Manner)


OPTIONS = WatchOptions


def main(arguments: Sequence[str]) -> int:
    """Parse, claim the store, look and register until stopped, or once."""
    options = parse("watch", arguments, WatchOptions)
    _check(options)
    algorithms = options.manner.algorithms()
    threads = 1 if options.scheduler is not None else max(1, usable_cores() // options.jobs)
    register = RegisterPair(options.manner, algorithms, options.fast, threads)
    register.check()
    settings = settings_sha256(as_settings(settings_table(options.manner, algorithms) | {"fast": options.fast}))
    manners = Manners(options.quiet_time, options.jobs, round(options.least_free * _GB), settings)
    store = Store(options.output.resolve())
    run: Run = InProcess(register, threads)
    if options.scheduler is not None:
        run = OnCluster(register, options.scheduler)
    with store.claimed([options.folder]) as place:
        queue = Queue(place)
        if options.retry:
            queue.retry()
        watch = Watch(store, queue, [options.folder.resolve()], run, manners, time.monotonic)
        try:
            loop(watch, options.every, once=options.once)
        finally:
            watch.close()
        status = status_of(queue, watch.not_taken)
        options.messages.emit(_answer(status), list(_lines(status, options.output)))
    failed = any(study["state"] == FAILED for study in status["studies"]) or status["waiting"]
    return SOME_FAILED if options.once and failed else 0


def loop(watch: Watch, every_s: float, *, once: bool, stop: threading.Event | None = None) -> None:
    """Look again and again until stopped, or until nothing is left to do; a step that fails is tried again."""
    stop = stop or threading.Event()
    while not stop.is_set():
        try:
            changed = watch.step()
        except MuregError as problem:
            if once:
                raise
            LOG.warning("a look failed (%s): looking again", type(problem).__name__)
            changed = False
        if once and watch.is_idle:
            return
        if not changed:
            stop.wait(min(every_s, _LOOK_S) if watch.running else every_s)


_LOOK_S = 0.5
"""Between two looks while a study is at work, so that its result is noted soon; a round value."""


def _check(options: WatchOptions) -> None:
    if options.jobs < 1:
        raise UsageError(f"--jobs {options.jobs}", "1 or more", "correct it")
    if options.quiet_time < 0 or options.every <= 0 or options.least_free < 0:
        raise UsageError(
            "a time or a size out of range", "--quiet-time and --least-free from 0, --every above 0", "correct it"
        )
    if not options.folder.is_dir():
        raise UsageError(f"{options.folder.name} is no folder", "the folder that studies arrive in", "check the path")


def _answer(status: dict[str, Any]) -> dict[str, Any]:
    return status | {"decisions": dict(Counter(_word(study) for study in status["studies"]))}


def _lines(status: dict[str, Any], output: Path) -> Iterator[str]:
    for study in status["studies"]:
        yield f"{_word(study):10} {study['name']}  {study['problem']}".rstrip()
    for entry in status["waiting"]:
        yield f"waiting    patient {entry['patient']}  {entry['reason']}"
    for entry in status["not_taken"]:
        yield f"not taken  {entry['reason']}"
    yield f"results in {output}"
    yield RESEARCH_USE_ONLY


def _word(study: dict[str, Any]) -> str:
    return str(study["decision"] if study["state"] == DONE else study["state"])
