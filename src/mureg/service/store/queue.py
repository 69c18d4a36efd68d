"""What is known of files, patients and versions of studies, on the disk at the end of each call."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mureg.service.store.database import connected
from mureg.service.trail_entry import utc_now

QUEUED, DONE, FAILED = "queued", "done", "failed"


@dataclass(frozen=True)
class KnownFile:
    """A file of a source as it was when it was read.

    Attributes:
        size, mtime_ns: of the file.
        patient: key of the patient, "" for a file that is no object or is damaged.
        sop_instance: UID.
        problem: what is wrong with it, "" where nothing is.
    """

    size: int
    mtime_ns: int
    patient: str = ""
    sop_instance: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Version:
    """A SPECT with what attenuates it, as it is registered or was.

    Attributes:
        study: name of the study, the same for each of its versions; holds nothing of the patient.
        version: from 1.
        patient: key.
        digests: SHA-256 of the files.
        entry: names of the inputs below ``inputs/NAME``: "spect", and "ct" or "mu".
        state: `QUEUED`, `DONE` or `FAILED`.
        decision: of the result.
        problem, exit_code: why there is none.
        attempts: that ended by accident.
        begun, ended: UTC.
    """

    study: str
    version: int
    patient: str
    digests: frozenset[str]
    entry: Mapping[str, str]
    state: str = QUEUED
    decision: str = ""
    problem: str = ""
    exit_code: int = 0
    attempts: int = 0
    begun: str = ""
    ended: str = ""

    @property
    def name(self) -> str:
        """Of the folder of its result."""
        return f"{self.study}-v{self.version}"


_COLUMNS = "study, version, patient, digests, entry, state, decision, problem, exit_code, attempts, begun, ended"


class Queue:
    """The queue of a store. Every method is one transaction; any thread may call it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with connected(path):
            pass

    def files(self) -> dict[str, KnownFile]:
        """Every file that was read, by its path."""
        with connected(self.path) as connection:
            rows = connection.execute("SELECT path, size, mtime_ns, patient, sop_instance, problem FROM objects")
            return {row[0]: KnownFile(*row[1:]) for row in rows}

    def store_files(self, added: Mapping[str, KnownFile], gone: Iterable[str] = ()) -> None:
        """Remember what files say; forget those that are gone."""
        with connected(self.path) as connection:
            connection.executemany("DELETE FROM objects WHERE path = ?", [(path,) for path in gone])
            connection.executemany(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (path, file.size, file.mtime_ns, file.patient, file.sop_instance, file.problem)
                    for path, file in added.items()
                ],
            )

    def stamps(self) -> dict[str, str]:
        """Of each patient, the stamp of the files that were put together last."""
        with connected(self.path) as connection:
            return dict(connection.execute("SELECT patient, stamp FROM patients").fetchall())

    def waiting(self) -> dict[str, tuple[str, ...]]:
        """Of each patient with something that cannot be paired, why not."""
        with connected(self.path) as connection:
            rows = connection.execute("SELECT patient, waiting FROM patients WHERE waiting != '[]' ORDER BY patient")
            return {patient: tuple(json.loads(waiting)) for patient, waiting in rows}

    def study_of(self, sop_instances: Collection[str]) -> str | None:
        """The study that one of these SPECT objects belongs to."""
        with connected(self.path) as connection:
            for uid in sorted(sop_instances):
                row = connection.execute("SELECT study FROM spects WHERE sop_instance = ?", (uid,)).fetchone()
                if row is not None:
                    return str(row[0])
        return None

    def versions(self, state: str = "", study: str = "") -> list[Version]:
        """Versions in the order in which they were begun; those in one state, or of one study."""
        with connected(self.path) as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM versions WHERE (? = '' OR state = ?) AND (? = '' OR study = ?) ORDER BY rowid",
                (state, state, study, study),
            )
            return [_version(row) for row in rows]

    def settle(
        self,
        patient: str,
        stamp: str,
        waiting: Collection[str],
        versions: Iterable[tuple[Version, Collection[str]]] = (),
    ) -> None:
        """Note that the files of a patient were put together: new versions, and what cannot be paired.

        Args:
            patient: key.
            stamp: of the files.
            waiting: one sentence for each part that cannot be paired.
            versions: each with the UIDs of its SPECT objects.
        """
        with connected(self.path) as connection:
            words = json.dumps(sorted(waiting), ensure_ascii=False)
            connection.execute("INSERT OR REPLACE INTO patients VALUES (?, ?, ?)", (patient, stamp, words))
            for version, spects in versions:
                _insert(connection, version)
                connection.executemany(
                    "INSERT OR REPLACE INTO spects VALUES (?, ?)", [(uid, version.study) for uid in spects]
                )

    def adopt(self, version: Version) -> None:
        """Add a version whose result is in the store."""
        with connected(self.path) as connection:
            _insert(connection, version)

    def end(self, version: Version, state: str, *, decision: str = "", problem: str = "", exit_code: int = 0) -> None:
        """Note what came of a version."""
        with connected(self.path) as connection:
            connection.execute(
                "UPDATE versions SET state = ?, decision = ?, problem = ?, exit_code = ?, ended = ? "
                "WHERE study = ? AND version = ?",
                (state, decision, problem, exit_code, utc_now(), version.study, version.version),
            )

    def count_attempt(self, version: Version) -> int:
        """Note that an attempt ended by accident; how many did so by now."""
        with connected(self.path) as connection:
            place = (version.study, version.version)
            connection.execute("UPDATE versions SET attempts = attempts + 1 WHERE study = ? AND version = ?", place)
            row = connection.execute("SELECT attempts FROM versions WHERE study = ? AND version = ?", place).fetchone()
            return int(row[0])

    def retry(self) -> int:
        """Queue again what failed; how many."""
        with connected(self.path) as connection:
            return connection.execute(
                "UPDATE versions SET state = ?, attempts = 0, problem = '', exit_code = 0 WHERE state = ?",
                (QUEUED, FAILED),
            ).rowcount


def _insert(connection: sqlite3.Connection, version: Version) -> None:
    values = (
        version.study,
        version.version,
        version.patient,
        json.dumps(sorted(version.digests)),
        json.dumps(dict(version.entry)),
        version.state,
        version.decision,
        version.problem,
        version.exit_code,
        version.attempts,
        version.begun or utc_now(),
        version.ended,
    )
    connection.execute(f"INSERT INTO versions ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)


def _version(row: tuple[object, ...]) -> Version:
    study, version, patient, digests, entry, *others = row
    return Version(
        str(study),
        int(str(version)),
        str(patient),
        frozenset(json.loads(str(digests))),
        json.loads(str(entry)),
        *others,  # type: ignore[arg-type]
    )
