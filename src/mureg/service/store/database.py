"""The SQLite file of a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mureg.errors import UnreadableInputError, UsageError
from mureg.files.modes import restrict

QUEUE = "queue.sqlite"
_APPLICATION, _FORM = 0x6D755175, 1
"""The letters "muQu", and the number of the form of the tables."""
_WAIT_S = 20.0
"""For another thread that writes, which takes milliseconds; a round value."""

_TABLES = """
CREATE TABLE objects (
  path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  patient TEXT NOT NULL, sop_instance TEXT NOT NULL, problem TEXT NOT NULL);
CREATE TABLE patients (
  patient TEXT PRIMARY KEY, stamp TEXT NOT NULL, waiting TEXT NOT NULL);
CREATE TABLE spects (sop_instance TEXT PRIMARY KEY, study TEXT NOT NULL);
CREATE TABLE versions (
  study TEXT NOT NULL, version INTEGER NOT NULL, patient TEXT NOT NULL, digests TEXT NOT NULL, entry TEXT NOT NULL,
  state TEXT NOT NULL, decision TEXT NOT NULL DEFAULT '', problem TEXT NOT NULL DEFAULT '',
  exit_code INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, begun TEXT NOT NULL,
  ended TEXT NOT NULL DEFAULT '', PRIMARY KEY (study, version));
"""


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one action, in a transaction that has reached the disk when the block ends well.

    The file is made where it is missing. Several threads may do this at once.

    Raises:
        UnreadableInputError: the file is damaged, or the disk is full.
        UsageError: a database of another program, or of another version.
    """
    try:
        connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                _begin(connection, path)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            connection.close()
    except sqlite3.DatabaseError as problem:
        raise UnreadableInputError(
            f"the queue {path.name} cannot be used ({problem})",
            "a queue of mureg on a disk with room",
            "free the disk; if the file is damaged move it away: results that are there are recognised",
        ) from problem


def _begin(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (form,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, form) == (_APPLICATION, _FORM):
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables or application not in (0, _APPLICATION):
        raise UsageError(f"{path.name} is no queue of this version of mureg", "a new store", "choose another folder")
    for statement in _TABLES.split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_FORM}")
    restrict(path)
