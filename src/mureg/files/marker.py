"""The sign that mureg wrote a folder: a file `.mureg` in it, with the names and hashes of all that was written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mureg.errors import UnreadableInputError
from mureg.files.modes import below, onto_disk, restrict
from mureg.files.settings import read_json

MARKER, HALF_MARKER = ".mureg", ".mureg-new"
_FORMAT = 1
"""Number of the form of the marker; a marker of another form is that of another version and is not trusted."""

Listing = Mapping[str, str]


@dataclass(frozen=True)
class Marker:
    """What mureg wrote into a folder.

    Attributes:
        kind: of the folder, such as "registration" or "batch".
        version: of the mureg that wrote it.
        files: SHA-256 of each file by its path in the folder; in a run folder, of the tables and pages that every run
            writes anew, two hashes while one is exchanged.
        state: names among them that belong to the program whatever they hold by now, for it keeps its books in them.
    """

    kind: str
    version: str = ""
    files: Listing = field(default_factory=dict)
    state: tuple[str, ...] = ()


def read_marker(folder: Path) -> Marker | None:
    """The marker of a folder, None where there is none that can be read, or it names files outside the folder."""
    try:
        table = read_json(folder / MARKER)
    except UnreadableInputError:
        return None
    kind, files, state = table.get("kind"), table.get("files", {}), table.get("state", [])
    if not (isinstance(kind, str) and isinstance(files, dict) and isinstance(state, list)):
        return None
    if table.get("format") != _FORMAT or not all(map(_is_inside, (*files, *state))):
        return None
    return Marker(kind, str(table.get("mureg", "")), {str(k): str(v) for k, v in files.items()}, tuple(map(str, state)))


def write_marker(folder: Path, marker: Marker) -> None:
    """Write the marker, whole or not at all."""
    table = {"format": _FORMAT, "mureg": marker.version, "kind": marker.kind}
    if marker.files:
        table |= {"files": dict(sorted(marker.files.items()))}
    if marker.state:
        table |= {"state": list(marker.state)}
    write_note(folder / MARKER, table)


def write_note(path: Path, table: Mapping[str, object]) -> None:
    """Write a small JSON file of mureg's own, whole or not at all."""
    scratch = path.with_name(f"{path.name}-new")
    scratch.write_text(json.dumps(table, indent=1) + "\n", "utf-8", "surrogateescape")
    restrict(scratch)
    onto_disk(scratch)
    scratch.replace(path)


def listing(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path, without the marker."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in below(folder)
        if path != folder / MARKER and path.is_file() and not path.is_symlink()
    }


def foreign_files(folder: Path, marker: Marker | None) -> Iterator[str]:
    """Paths in a folder of what mureg did not write, or what was changed since; whole folders where nothing is ours.

    What cannot be read cannot be told from changed, and counts as such.
    """
    files: Listing = {} if marker is None else marker.files
    state: Collection[str] = () if marker is None else marker.state
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}

    def walk(place: str) -> Iterator[str]:
        for path in sorted((folder / place).iterdir()):
            name = path.relative_to(folder).as_posix()
            if path.is_dir() and not path.is_symlink():
                if name in folders and os.access(path, os.R_OK | os.X_OK):
                    yield from walk(name)
                else:
                    yield name
            elif marker is not None and name in (MARKER, HALF_MARKER):
                continue
            elif name not in state and (name not in files or not is_unchanged(path, files[name])):
                yield name

    yield from walk("")


def _is_inside(name: object) -> bool:
    """Whether a name is that of something below the folder."""
    parts = PurePosixPath(str(name)).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts and "\\" not in str(name) and ":" not in parts[0]


def is_unchanged(path: Path, sha256: str) -> bool:
    """Whether a path is still a plain file with that content; False also where it cannot be read."""
    try:
        return path.is_file() and not path.is_symlink() and sha256_of(path) == sha256
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
