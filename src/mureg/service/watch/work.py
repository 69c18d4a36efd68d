"""One version: from its inputs to its result in the store, or to the reason why there is none."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mureg import __version__
from mureg.batch.folder import FAILURE, KIND, STATE, STUDY, read_study_record, write_study
from mureg.batch.rows import known_result
from mureg.batch.run import RegisterOne
from mureg.errors import MuregError, UnreadableInputError, UsageError
from mureg.files.atomic import writing_folder
from mureg.files.marker import MARKER
from mureg.files.settings import read_json
from mureg.io.input_paths import files_below
from mureg.io.worklist.entry import WorklistEntry
from mureg.jobs.alone import LostProcessError, run_alone
from mureg.jobs.cluster import on_one_worker
from mureg.service.store.folder import Store
from mureg.service.store.queue import DONE, FAILED, Queue, Version

Run = Callable[[WorklistEntry, Path, threading.Event], None]
"""Registers an entry and writes its result into an empty folder; stops when the event is set."""


class AccidentError(Exception):
    """No fault of the study: a full disk, a process that was killed. It is tried again."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True)
class Outcome:
    """What came of a version; see `Version`."""

    state: str
    decision: str = ""
    problem: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class InProcess:
    """Runs the registration of a study in a fresh process of this computer.

    Attributes:
        register: of the command line, the same as of `mureg register`.
        threads: of the process.
    """

    register: RegisterOne
    threads: int

    def __call__(self, entry: WorklistEntry, folder: Path, unwanted: threading.Event) -> None:
        """See `Run`."""
        run_alone(self.register, (entry, folder), self.threads, unwanted)


@dataclass(frozen=True)
class OnCluster:
    """Sends the inputs to a worker of a Dask cluster and writes what it returns: workers need no shared disk.

    Attributes:
        register: see `InProcess`.
        address: of the scheduler.
    """

    register: RegisterOne
    address: str

    def __call__(self, entry: WorklistEntry, folder: Path, unwanted: threading.Event) -> None:
        """See `Run`."""
        inputs = {path.relative_to(entry.base).as_posix(): path.read_bytes() for path in files_below(entry.base)}
        places = {name: value.relative_to(entry.base).as_posix() for name, value in _roles(entry).items()}
        results = on_one_worker(remote_result, (self.register, entry.name, places, inputs), self.address, unwanted)
        for name, content in results.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def remote_result(
    register: RegisterOne, name: str, places: dict[str, str], inputs: dict[str, bytes]
) -> dict[str, bytes]:
    """On a worker: register inputs that came over the wire; the files of the result. Nothing stays there."""
    with tempfile.TemporaryDirectory(prefix="mureg-work-") as place:
        base, output = Path(place) / "inputs", Path(place) / "output"
        for path, content in inputs.items():
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_bytes(content)
        output.mkdir()
        paths = {role: base / path for role, path in places.items()}
        register(WorklistEntry(name, name, base, paths["spect"], paths.get("ct"), paths.get("mu")), output)
        files = [path for path in files_below(output) if path.name != MARKER]
        return {path.relative_to(output).as_posix(): path.read_bytes() for path in files}


def _roles(entry: WorklistEntry) -> dict[str, Path]:
    roles = {"spect": entry.spect, "ct": entry.ct, "mu": entry.mu}
    return {role: path for role, path in roles.items() if path is not None}


def entry_of(store: Store, version: Version) -> WorklistEntry:
    """The inputs of a version in the store."""
    base = store.inputs / version.name
    places = {role: base / place for role, place in version.entry.items()}
    return WorklistEntry(version.name, version.name, base, places["spect"], places.get("ct"), places.get("mu"))


def work_on(store: Store, version: Version, run: Run, settings: str, unwanted: threading.Event) -> Outcome:
    """Register a version; its result, or ``failure.json``, is in its place when this returns.

    Raises:
        AccidentError: there is nothing in its place.
    """
    folder, entry, began = store.studies / version.name, entry_of(store, version), time.perf_counter()
    table = {
        "version": {"study": version.study, "number": version.version, "patient": version.patient,
                    "entry": dict(version.entry), "digests": sorted(version.digests)},
        "settings_sha256": settings,
        "mureg": __version__,
    }  # fmt: skip
    try:
        with writing_folder(folder, kind=KIND, overwrite=True, state=STATE) as scratch:
            run(entry, scratch, unwanted)
            decision = str(read_json(scratch / "registration.json").get("decision", ""))
            write_study(scratch, entry, {**table, "seconds": round(time.perf_counter() - began, 3)})
    except (LostProcessError, UsageError, OSError) as problem:
        raise AccidentError(str(problem)) from problem
    except MuregError as problem:
        outcome = Outcome(FAILED, "", str(problem), problem.exit_code)
    except Exception as problem:
        outcome = Outcome(FAILED, "", f"a fault in mureg ({type(problem).__name__})", 1)
    else:
        return Outcome(DONE, decision)
    write_failure(store, version, outcome, table)
    return outcome


def write_failure(store: Store, version: Version, outcome: Outcome, table: Mapping[str, object]) -> None:
    """Write why a version has no result in the place of the result.

    Raises:
        AccidentError: it cannot be written.
    """
    failure = {"problem": outcome.problem, "exit_code": outcome.exit_code}
    try:
        with writing_folder(store.studies / version.name, kind=KIND, overwrite=True, state=STATE) as scratch:
            (scratch / FAILURE).write_text(json.dumps(failure, indent=2) + "\n", "utf-8")
            (scratch / STUDY).write_text(json.dumps({"name": version.name, **table}, indent=2) + "\n", "utf-8")
    except (UsageError, OSError) as problem:
        raise AccidentError(str(problem)) from problem


def outcome_on_disk(store: Store, version: Version) -> Outcome | None:
    """What a killed service wrote for a version and did not note; None where it is to be done."""
    record = _record(store, version.name)
    if record is None or frozenset(record["version"]["digests"]) != version.digests:
        return None
    result = known_result(store.path, version.name)
    if result is not None:
        return Outcome(DONE, result.row.decision)
    try:
        failure = read_json(store.studies / version.name / FAILURE)
        return Outcome(FAILED, "", str(failure["problem"]), int(failure["exit_code"]))
    except (UnreadableInputError, KeyError, TypeError, ValueError):
        return None


def adopt(store: Store, queue: Queue) -> None:
    """Note the results in the store that the queue does not know of, since its file was moved away."""
    known = {version.name for version in queue.versions()}
    for folder in sorted(store.studies.glob("*-v*")):
        record = _record(store, folder.name)
        if folder.name in known or record is None:
            continue
        table = record["version"]
        version = Version(
            table["study"], int(table["number"]), table["patient"], frozenset(table["digests"]), table["entry"]
        )
        outcome = outcome_on_disk(store, version)
        if outcome is not None and version.name == folder.name:
            queue.adopt(version)
            end(queue, version, outcome)


def end(queue: Queue, version: Version, outcome: Outcome) -> None:
    """Note an outcome."""
    queue.end(version, outcome.state, decision=outcome.decision, problem=outcome.problem, exit_code=outcome.exit_code)


def _record(store: Store, name: str) -> dict[str, Any] | None:
    """``study.json`` of a version, None where it is missing or damaged."""
    try:
        record = read_study_record(store.path, name)
    except UnreadableInputError:
        return None
    table = record.get("version")
    whole = isinstance(table, dict) and {"study", "number", "patient", "entry", "digests"} <= set(table)
    return record if whole else None
