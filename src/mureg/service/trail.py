"""The trail of a review: one row for each action of a reader, chained by hashes, never changed."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mureg.errors import UnreadableInputError, UsageError
from mureg.files.atomic import writing
from mureg.files.cells import as_cell
from mureg.files.modes import restrict
from mureg.files.places import require_writable
from mureg.service.trail_entry import COLUMNS, StudyKey, TrailEntry, TrailRow, cells_of, chained, entry_of

_APPLICATION = 0x6D755265
"""The letters "muRe": SQLite stores it in the header of the file, which says so that mureg wrote it."""
_WAIT_S = 20.0
"""For another process that writes a row, which takes milliseconds; a round value."""
_START = "0" * 64
"""Stands before the first row in place of a hash."""
_FIRST_BYTES = b"SQLite format 3\x00"


class Trail:
    """A trail on disk: an SQLite file with a write-ahead log, which several processes may write.

    A row is on the disk when `append` returns, and a process that is killed leaves whole rows alone. Rows are
    protected by triggers; `problems` finds changes made with other programs.
    """

    def __init__(self, path: Path) -> None:
        """Open a trail, or begin it with the first row; raise `UsageError` for a file that mureg did not write."""
        self.path = path
        if path.exists():
            self._refuse_foreign()
        else:
            require_writable(path.parent)

    def append(self, entry: TrailEntry, *, expected: int | None = None) -> TrailRow:
        """Add a row.

        Args:
            entry: what was done.
            expected: number of the last decision on this study that the reader knew of, 0 for none; None to skip the
                check.

        Raises:
            UsageError: the study was decided on meanwhile; the message says by whom and when.
        """
        cells = cells_of(entry)
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if expected is not None:
                    _refuse_unseen(connection, entry.key, expected)
                last = connection.execute("SELECT number, sha256 FROM trail ORDER BY number DESC LIMIT 1").fetchone()
                number, previous = (1, _START) if last is None else (last[0] + 1, last[1])
                sha256 = chained(previous, number, cells)
                names = ", ".join(("number", *COLUMNS, "previous", "sha256"))
                marks = ", ".join("?" * (len(COLUMNS) + 3))
                connection.execute(
                    f"INSERT INTO trail ({names}) VALUES ({marks})",
                    (number, *(cells[name] for name in COLUMNS), previous, sha256),
                )
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        return TrailRow(number, entry, previous, sha256)

    def rows(self) -> tuple[TrailRow, ...]:
        """Every row in its order; none where the file is not there yet."""
        return tuple(
            TrailRow(number, entry_of(cells), previous, sha) for number, cells, previous, sha in self._stored()
        )

    def decisions(self) -> dict[StudyKey, TrailRow]:
        """The last decision on each study."""
        return {row.entry.key: row for row in self.rows() if row.entry.action == "decide"}

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the chain, one sentence for each row; nothing where it is whole."""
        sentences, previous, expected = [], _START, 1
        for number, cells, stored_previous, sha256 in self._stored():
            if number != expected:
                sentences.append(f"row {expected} is missing: row {number} stands in its place")
            if stored_previous != previous:
                sentences.append(f"row {number} does not follow the row before it")
            if chained(stored_previous, number, cells) != sha256:
                sentences.append(f"row {number} was changed")
            previous, expected = sha256, number + 1
        return tuple(sentences)

    def as_csv(self) -> str:
        """The trail as CSV, with cells that no spreadsheet takes for a formula."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("number", *COLUMNS, "previous", "sha256"))
        for number, cells, previous, sha256 in self._stored():
            writer.writerow([number, *(_csv_cell(cells[name]) for name in COLUMNS), previous, sha256])
        return stream.getvalue()

    def export(self, path: Path) -> Path:
        """Write `as_csv` into a new file; raise `UsageError` where there is one."""
        if path.exists():
            raise UsageError(f"{path.name} exists already", "a new file", "choose another name")
        with writing(path) as scratch:
            scratch.write_text(self.as_csv(), "utf-8", newline="")
        return path

    def _stored(self) -> list[tuple[int, dict[str, str], str, str]]:
        if not self.path.exists():
            return []
        names = ", ".join(("number", *COLUMNS, "previous", "sha256"))
        with self._connection() as connection:
            stored = connection.execute(f"SELECT {names} FROM trail ORDER BY number").fetchall()
        return [(row[0], dict(zip(COLUMNS, row[1:-2], strict=True)), row[-2], row[-1]) for row in stored]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one action: whole transactions that reach the disk."""
        try:
            connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
            try:
                if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                    connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                _begin(connection)
                restrict(self.path)
                yield connection
            finally:
                connection.close()
        except sqlite3.DatabaseError as problem:
            raise UnreadableInputError(
                f"the trail {self.path.name} cannot be used ({problem})",
                "a trail of mureg review on a disk that can be written",
                "keep the file, and begin another one with --trail",
            ) from problem

    def _refuse_foreign(self) -> None:
        try:
            with self.path.open("rb") as file:
                head = file.read(72)
        except OSError as problem:
            raise UnreadableInputError(
                f"{self.path.name} cannot be read ({problem.strerror})", "a trail of mureg review", "check the path"
            ) from problem
        if not head:  # another process is making it
            return
        # the application ID stands at byte 68 of the header (sqlite.org/fileformat2.html, 1.3)
        if head[:16] != _FIRST_BYTES or head[68:72] not in (_APPLICATION.to_bytes(4, "big"), bytes(4)):
            raise UsageError(f"{self.path.name} is no trail of mureg", "a new file or a trail", "choose another name")


def _begin(connection: sqlite3.Connection) -> None:
    """Make the table where it is missing. Raises `UsageError` for a database of another program."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application == _APPLICATION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables - {"trail"}:
            raise UsageError("a database of another program", "a new file or a trail", "choose another name")
        columns = ", ".join(f"{name} TEXT NOT NULL" for name in (*COLUMNS, "previous", "sha256"))
        connection.execute(f"CREATE TABLE IF NOT EXISTS trail (number INTEGER PRIMARY KEY, {columns})")
        for what in ("UPDATE", "DELETE"):
            connection.execute(
                f"CREATE TRIGGER IF NOT EXISTS no_{what.lower()} BEFORE {what} ON trail "
                "BEGIN SELECT RAISE(ABORT, 'rows of a trail are never changed'); END"
            )
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _refuse_unseen(connection: sqlite3.Connection, key: StudyKey, expected: int) -> None:
    last = connection.execute(
        "SELECT number, reader, utc, decision FROM trail WHERE study = ? AND fingerprint = ? AND action = ? "
        "ORDER BY number DESC LIMIT 1",
        (*(json.dumps(part, ensure_ascii=False) for part in key), '"decide"'),
    ).fetchone()
    if last is not None and last[0] != expected:
        reader, utc, decision = (json.loads(cell) for cell in last[1:])
        raise AlreadyDecidedError(
            f"{reader or 'a reader'} decided on this study at {utc} ({decision})",
            "the decision that this page showed",
            "look at it, and save again to replace it",
            last[0],
        )


class AlreadyDecidedError(UsageError):
    """A decision that the reader did not know of stands in the trail."""

    def __init__(self, found: str, expected: str, remedy: str, number: int) -> None:
        super().__init__(found, expected, remedy)
        self.number = number


def _csv_cell(cell: str) -> Any:
    """Words as they are, anything else as JSON."""
    try:
        value = json.loads(cell)
    except ValueError:
        value = cell
    return as_cell(value if isinstance(value, str) else cell)
