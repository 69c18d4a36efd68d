"""Measurements as they come in: a CSV file that a run which is stopped and started again goes on with."""

from __future__ import annotations

import csv
import io
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.files.modes import append


@dataclass(frozen=True)
class Line(ABC):
    """What a table holds: a frozen dataclass of words and numbers."""

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """What is measured: a later line with the same key replaces an earlier one."""

    @classmethod
    def current_cells(cls, cells: dict[str, Any]) -> dict[str, Any]:
        """The cells of a file, which an earlier version may have written, with the names of now."""
        return cells


L = TypeVar("L", bound=Line)


class ResultTable(Generic[L]):
    """A CSV file with one line for each measurement: read once, then only appended to.

    Each append is on the disk when it returns. Half a line at the end, left by a run that was killed, is dropped.

    Attributes:
        path: of the file, made with its head when it is not there.
        kind: class of the lines; its fields are the columns, words or numbers, NaN as an empty cell. A file that lacks
            columns with a default gets them; former names in it are replaced.
    """

    def __init__(self, path: Path, kind: type[L]) -> None:
        self.path, self.kind = path, kind
        self._words = {field.name for field in fields(kind) if field.type in (str, "str")}
        self._lines: dict[Hashable, L] = {}
        self._written = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as problem:
            raise UsageError(
                f"cannot write {path.name} ({problem.strerror})", "a writable folder", "choose another output"
            ) from problem

    @property
    def rows(self) -> list[L]:
        """The lines that count, in the order in which their keys first came."""
        return list(self._lines.values())

    def get(self, key: Hashable) -> L | None:
        """The line of a key, None where it has not been measured."""
        return self._lines.get(key)

    def append(self, rows: Iterable[L]) -> None:
        """Append rows to the file and to the index."""
        rows = list(rows)
        self._append([[_cell(getattr(row, name)) for name in self._columns] for row in rows])
        self._take(rows)

    def tidy(self) -> None:
        """Rewrite the file without the lines that others have replaced."""
        if self._written != len(self._lines):
            self._rewrite()

    def _rewrite(self) -> None:
        with writing(self.path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._columns)
            writer.writerows([_cell(getattr(row, name)) for name in self._columns] for row in self.rows)
        self._written = len(self._lines)

    @property
    def _columns(self) -> list[str]:
        return [field.name for field in fields(self.kind)]

    def _takes(self, columns: Sequence[str]) -> bool:
        """Whether a file with these columns goes on: all are there but such as were added since, with a default."""
        added = {field.name for field in fields(self.kind) if field.default is not MISSING} - set(columns)
        return list(columns) == [name for name in self._columns if name not in added]

    def _open(self) -> None:
        whole = self.path.read_bytes() if self.path.exists() else b""
        lines = whole[: whole.rfind(b"\n") + 1]
        if lines != whole:
            os.truncate(self.path, len(lines))
        if not lines:
            self._append([self._columns])
        reader = csv.DictReader(io.StringIO(lines.decode()))
        if lines and not self._takes(reader.fieldnames or ()):
            raise UsageError(
                f"{self.path.name} has other columns ({', '.join(reader.fieldnames or ())[:80]}, ...)",
                f"{', '.join(self._columns)[:80]}, ...",
                "choose another output folder",
            )
        table_lines = list(reader)
        rows = [self._parsed(line) for line in table_lines]
        self._take(rows)
        renamed = any(
            getattr(row, name) != line[name]
            for row, line in zip(rows, table_lines, strict=True)
            for name in self._words
            if name in line
        )
        if lines and (renamed or list(reader.fieldnames or ()) != self._columns):
            self._rewrite()

    def _take(self, rows: Iterable[L]) -> None:
        for row in rows:
            self._lines[row.key] = row
            self._written += 1

    def _parsed(self, line: dict[str, str]) -> L:
        values = {
            field.name: line[field.name] if field.name in self._words else float(line[field.name] or "nan")
            for field in fields(self.kind)
            if field.name in line
        }
        return self.kind(**self.kind.current_cells(values))

    def _append(self, lines: Iterable[Iterable[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        append(self.path, text.getvalue().encode())


def _cell(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value
