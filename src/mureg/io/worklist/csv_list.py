"""A list of studies as a hospital writes it: a CSV file, one study a line; for batches and for training."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from mureg.errors import MuregError, UnreadableInputError, UsageError
from mureg.files.names import folded
from mureg.io.dicom.files import patient_at
from mureg.io.input_paths import require_path
from mureg.io.plain_text import read_text
from mureg.io.worklist.entry import WorklistEntry, patient_key, require_name

COLUMNS = ("name", "spect", "ct", "mu", "spect_series", "ct_series", "patient", "transform")
_NEEDED = ("spect",)


def pairs_in_list(path: Path) -> tuple[WorklistEntry, ...]:
    """Read a list of studies, in UTF-8, UTF-16 or Latin-1, with commas or semicolons, as spreadsheets save it.

    Args:
        path: of the list; its first line names the columns `COLUMNS` in any order. All but spect, and ct or mu, may be
            missing; without a name a study is called line-N. Paths are relative to the folder of the list.

    Returns:
        The studies in the order of their lines.

    Raises:
        UsageError: the first mistake, with its line, and how many lines have others.
        UnreadableInputError: the file cannot be read as a list.
    """
    lines = list(_lines(path))
    if not lines:
        raise UsageError(f"{path.name} is empty", f"a first line with the columns {', '.join(COLUMNS)}", "fill it")
    (_, columns), *entries = lines
    columns = [column.strip().lower() for column in columns]
    _require_columns(columns, path.name)
    if not entries:
        raise UsageError(f"{path.name} lists no studies", "one line for each study", "fill it")
    pairs: dict[str, WorklistEntry] = {}
    mistakes: list[UsageError] = []
    for number, cells in entries:
        try:
            pair = _pair(number, dict(zip(columns, _as_many(cells, columns, number, path.name), strict=True)), path)
            earlier = pairs.get(folded(pair.name))
            if earlier is not None:
                raise UsageError(
                    f"line {number} of {path.name} has the name {pair.name!r}, as {earlier.where} has",
                    "names that differ in more than capitals",
                    "rename one of them",
                )
        except UsageError as mistake:
            mistakes.append(mistake)
        else:
            pairs[folded(pair.name)] = pair
    if mistakes:
        first, more = mistakes[0], len(mistakes) - 1
        also = f" ({more} other line{'s' * (more > 1)} with mistakes)" if more else ""
        raise UsageError(first.found + also, first.expected, first.remedy)
    return tuple(pairs.values())


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number in the file and cells of each line that is not blank."""
    require_path(path)
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as problem:
        reason = "it is no text" if isinstance(problem, ValueError) else str(problem.strerror)
        raise _no_list(path, reason) from problem
    if "\0" in text:
        raise _no_list(path, "it is no text")
    head = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(keepends=True), delimiter=";" if ";" in head else ",", strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as problem:
        raise _no_list(path, f"line {reader.line_num}: {problem}") from problem


def _no_list(path: Path, reason: str) -> UnreadableInputError:
    return UnreadableInputError(f"{path.name} is no readable list ({reason})", "a CSV file", "save it again")


def _require_columns(columns: list[str], name: str) -> None:
    unknown = [column for column in columns if column not in COLUMNS]
    absent = [column for column in _NEEDED if column not in columns]
    twice = [column for column in columns if columns.count(column) > 1]
    problem = ""
    if unknown:
        problem = f"a column {unknown[0]!r}"
    elif twice:
        problem = f"two columns {twice[0]!r}"
    elif absent:
        problem = f"no column {absent[0]!r}"
    elif not {"ct", "mu"} & set(columns):
        problem = "neither a column 'ct' nor 'mu'"
    if problem:
        raise UsageError(
            f"line 1 of {name} has {problem}",
            f"the columns {', '.join(COLUMNS)}, of which spect, and ct or mu must be there",
            "correct the first line",
        )


def _as_many(cells: list[str], columns: list[str], number: int, name: str) -> list[str]:
    """As many cells as columns: trailing empty ones are left out or added as spreadsheets do."""
    while len(cells) > len(columns) and not cells[-1]:
        cells = cells[:-1]
    if len(cells) > len(columns):
        raise UsageError(
            f"line {number} of {name} has {len(cells)} cells",
            f"{len(columns)}, as the first line",
            "put names with commas in quotation marks",
        )
    return cells + [""] * (len(columns) - len(cells))


def _pair(number: int, row: dict[str, str], of: Path) -> WorklistEntry:
    where = f"line {number}"
    name = row.get("name", f"line-{number}")
    require_name(name, f"{where} of {of.name}")
    if not row["spect"]:
        raise UsageError(f"{where} of {of.name} names no spect", "a file or folder", "fill the line")
    ct, mu = row.get("ct", ""), row.get("mu", "")
    if bool(ct) == bool(mu):
        raise UsageError(
            f"{where} of {of.name} names {'both ct and mu' if ct else 'neither ct nor mu'}",
            "one of them",
            "correct the line",
        )
    files = {"spect": row["spect"], "ct": ct, "mu": mu, "transform": row.get("transform", "")}
    for what, place in files.items():
        if place:
            try:
                require_path(of.parent / place)
            except MuregError as problem:
                raise UsageError(
                    f"{where} of {of.name}: {problem.found}, given as {what}",
                    "paths from the folder of the list",
                    "correct the line",
                ) from problem
    paths = {what: of.parent / place if place else None for what, place in files.items()}
    series = {what: row.get(what) or None for what in ("spect_series", "ct_series")}
    pseudonym = row.get("patient", "")
    patient = patient_key(pseudonym or patient_at(of.parent / row["spect"]))
    return WorklistEntry(name, where, of.parent, **paths, **series, patient=patient, pseudonym=pseudonym)  # type: ignore[arg-type]
