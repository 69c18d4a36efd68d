"""The watch: looks, waits until a patient's files are quiet, registers, and goes on after whatever stopped it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mureg.errors import MuregError
from mureg.files.local_disk import free_bytes
from mureg.service.store.folder import Store
from mureg.service.store.queue import FAILED, QUEUED, Queue, Version
from mureg.service.watch.index import Group, Index
from mureg.service.watch.status import write_status
from mureg.service.watch.studies import ChangedMeanwhileError, settle
from mureg.service.watch.work import AccidentError, Outcome, Run, adopt, end, outcome_on_disk, work_on

LOG = logging.getLogger("mureg.watch")

MOST_ATTEMPTS = 5
"""At a version whose attempts end by accident; a round value."""
_FIRST_PAUSE_S = 10.0
"""After the first accident; twice as long after each further one. A round value."""
LEAST_FREE_BYTES = 2 * 10**9
"""Room below which no study is begun: a study takes 0.1 GB; a round value."""


@dataclass(frozen=True)
class Manners:
    """How a watch behaves.

    Attributes:
        quiet_s: for which no file of a patient came or changed before a study is put together.
        workers: studies that are registered at a time.
        least_free: bytes on the disk of the store below which no study is begun.
        settings: SHA-256 of the settings of the registration.
    """

    quiet_s: float = 60.0
    workers: int = 1
    least_free: int = LEAST_FREE_BYTES
    settings: str = ""


class Watch:
    """A watch of some folders. `step` is called again and again by one thread; the store is claimed by the caller.

    Attributes:
        store: that it writes.
        queue: of the store.
        n_ended: versions that came to an end since the begin.
    """

    def __init__(
        self,
        store: Store,
        queue: Queue,
        sources: Sequence[Path],
        run: Run,
        manners: Manners,
        clock: Callable[[], float],
    ) -> None:
        self.store, self.queue, self.n_ended = store, queue, 0
        self._run, self._manners, self._clock = run, manners, clock
        self._index = Index(queue, sources, clock())
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(manners.workers, "worker")
        self._running: dict[str, tuple[Version, Future[Outcome]]] = {}
        self._not_before: dict[str, float] = {}
        self._groups: dict[str, Group] = {}
        self._short_of_room = False
        adopt(store, queue)
        for version in queue.versions(QUEUED):
            outcome = outcome_on_disk(store, version)
            if outcome is not None:
                end(queue, version, outcome)

    def step(self) -> bool:
        """Look once, and do what there is to do without waiting; whether anything changed."""
        now = self._clock()
        ended = self._collect(now)
        self._groups = self._index.look(now)
        settled = self._settle(now)
        begun = self._begin(now)
        if ended or settled or begun:
            write_status(self.store, self.queue, self._index.not_taken)
        return ended or settled or begun

    @property
    def is_idle(self) -> bool:
        """Whether all that is there has been put together, and no study waits to be registered."""
        stamps = self.queue.stamps()
        settled = all(stamps.get(patient) == group.stamp for patient, group in self._groups.items())
        return settled and not self._running and not self.queue.versions(QUEUED)

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the versions at work."""
        return tuple(self._running)

    @property
    def not_taken(self) -> dict[str, str]:
        """Damaged files, and what is wrong with them."""
        return self._index.not_taken

    def close(self) -> None:
        """Stop what is at work, which is done again the next time, and wait until it has ended."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._collect(self._clock())

    def _settle(self, now: float) -> bool:
        stamps, changed = self.queue.stamps(), False
        for patient in stamps.keys() - self._groups.keys():
            if stamps[patient]:
                self.queue.settle(patient, "", ())
        for patient, group in self._groups.items():
            wait_until = group.changed_at + self._manners.quiet_s
            if stamps.get(patient) == group.stamp or now < wait_until or self._is_running(patient):
                continue
            try:
                settle(group, self.store, self.queue)
            except ChangedMeanwhileError:
                continue
            except MuregError as problem:  # such as a full disk: the next look tries again
                LOG.warning("a study cannot be put together now (%s)", type(problem).__name__)
                continue
            changed = True
        return changed

    def _is_running(self, patient: str) -> bool:
        """Whether a version of the patient is at work, which its successor waits for."""
        return any(version.patient == patient for version, _ in self._running.values())

    def _begin(self, now: float) -> bool:
        begun = False
        for version in self.queue.versions(QUEUED):
            if len(self._running) >= self._manners.workers:
                break
            if version.name in self._running or now < self._not_before.get(version.name, 0.0):
                continue
            if not self._has_room():
                break
            work = (self.store, version, self._run, self._manners.settings, self._stop)
            self._running[version.name] = version, self._pool.submit(work_on, *work)
            LOG.info("study %s: begun", version.name)
            begun = True
        return begun

    def _has_room(self) -> bool:
        short = free_bytes(self.store.path) < self._manners.least_free
        if short and not self._short_of_room:
            LOG.warning("the disk of the store has too little room: no study is begun until there is more")
        self._short_of_room = short
        return not short

    def _collect(self, now: float) -> bool:
        done = [name for name, (_, future) in self._running.items() if future.done()]
        for name in done:
            version, future = self._running[name]
            outcome = self._outcome(version, future, now)
            if outcome is not None:
                end(self.queue, version, outcome)
                self.n_ended += 1
                LOG.info("study %s: %s", name, outcome.decision or f"failed, exit code {outcome.exit_code}")
            del self._running[name]
        return bool(done)

    def _outcome(self, version: Version, future: Future[Outcome], now: float) -> Outcome | None:
        """What came of the work; None where it is to be done again."""
        if future.cancelled() or (self._stop.is_set() and future.exception() is not None):
            return None
        problem = future.exception()
        if problem is None:
            return future.result()
        if isinstance(problem, AccidentError):
            attempts = self.queue.count_attempt(version)
            if attempts < MOST_ATTEMPTS:
                self._not_before[version.name] = now + _FIRST_PAUSE_S * 2.0 ** (attempts - 1)
                LOG.warning("study %s: attempt %d ended by accident; it is tried again", version.name, attempts)
                return None
            return Outcome(FAILED, "", problem.problem, 1)
        return Outcome(FAILED, "", f"a fault in mureg ({type(problem).__name__})", 1)
