"""Studies packed as archives export them: ZIP files, unpacked for as long as they are read, and DICOMDIR indexes."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

from pydicom.dataset import Dataset

from mureg.errors import UnreadableInputError

MOST_ENTRIES = 50_000
"""Files in one ZIP file or records in one DICOMDIR: a hundred CT series."""
LARGEST_UNPACKED = 2**33
"""Bytes that one ZIP file may unpack to: 8 GiB, 16,000 CT slices; a round value."""
LARGEST_RATIO = 100
"""Unpacked bytes for a packed one; CT images pack to a half, empty projections to a fiftieth."""

_SMALL = 2**24  # 16 MiB: so little may have any ratio
_CHUNK = 2**20  # bytes at a time; a round value
_LONGEST_NAME = 60
"""Characters of a name: several levels of folders stay below the 260 characters that Windows allows for a path."""
_ENCRYPTED = 0x1
"""Bit 0 of the general purpose flags of a ZIP entry (PKWARE APPNOTE, 4.4.4)."""

_unpacked: dict[tuple[str, int, int], tuple[Path, int]] = {}
"""Folders in use by archive (path, size, time), with how many use them."""
_lock = Lock()


def is_zip(path: Path) -> bool:
    """Whether a file is a ZIP file by its first bytes."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The path itself; of a ZIP file a temporary folder with its files, removed when the block ends.

    Blocks inside each other share one folder, which goes with the outermost. A ZIP file with a single file gives that
    file.

    Raises:
        UnreadableInputError: damaged, encrypted or empty; more than `MOST_ENTRIES` entries, more than
            `LARGEST_UNPACKED` bytes or `LARGEST_RATIO` times its size; or names that lead out of it.
    """
    if not is_zip(path):
        yield path
        return
    resolved = path.resolve()
    status = resolved.stat()
    key = (str(resolved), status.st_size, status.st_mtime_ns)
    with _lock:
        if key in _unpacked:
            folder, users = _unpacked[key]
        else:
            folder, users = Path(tempfile.mkdtemp(prefix="mureg-zip-")), 0
            try:
                _unpack(path, folder / _safe(path.name))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        _unpacked[key] = (folder, users + 1)
    try:
        inside = folder / _safe(path.name)
        files = [file for file in inside.rglob("*") if file.is_file()]
        yield files[0] if len(files) == 1 else inside
    finally:
        with _lock:
            folder, users = _unpacked.pop(key)
            if users > 1:
                _unpacked[key] = (folder, users - 1)
            else:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def kept_unpacked(*paths: Path | None) -> Iterator[None]:
    """Keep every ZIP file among the paths unpacked while several readers use it, one after another."""
    with ExitStack() as stack:
        for path in paths:
            if path is not None:
                stack.enter_context(unpacked(path))
        yield


def files_of_index(index: Path, header: Dataset) -> tuple[Path, ...]:
    """The files that a DICOMDIR lists and that are there (PS3.3 F.3), whatever case their names have on this disk.

    Raises `UnreadableInputError` for more than `MOST_ENTRIES` records; a record that leads out of its folder is left
    out.
    """
    records = list(header.get("DirectoryRecordSequence") or [])
    if len(records) > MOST_ENTRIES:
        raise UnreadableInputError(
            f"'{index.name}' lists {len(records)} records", f"at most {MOST_ENTRIES}", "give the folder of the study"
        )
    listings: dict[Path, dict[str, Path]] = {}
    files: dict[Path, None] = {}
    for record in records:
        value = record.get("ReferencedFileID")
        if not value:
            continue
        parts = [value] if isinstance(value, str) else [str(part) for part in value]
        file = _resolved(index.parent, parts, listings)
        if file is not None:
            files[file] = None
    return tuple(files)


def _resolved(folder: Path, parts: list[str], listings: dict[Path, dict[str, Path]]) -> Path | None:
    root, place = folder.resolve(), folder
    for part in parts:
        if place not in listings:
            inside = list(place.iterdir()) if place.is_dir() else []
            listings[place] = {entry.name.upper().split(";")[0].rstrip("."): entry for entry in inside}
        listed_path = listings[place].get(part.upper().split(";")[0].rstrip("."))
        if listed_path is None:
            return None
        place = listed_path
    return place if place.is_file() and place.resolve().is_relative_to(root) else None


def _unpack(path: Path, folder: Path) -> None:
    """Write the files of an archive into a new folder, counting what really comes out of it."""
    name = f"'{path.name}'"
    folder.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _require_harmless(entries, name)
            allowed = max(_SMALL, min(LARGEST_UNPACKED, LARGEST_RATIO * path.stat().st_size))
            used_names: set[Path] = set()
            for number, entry in enumerate(entries):
                target = _target(folder, entry.filename, number, used_names)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, target.open("xb") as out:
                    while chunk := packed.read(_CHUNK):
                        allowed -= len(chunk)
                        if allowed < 0:
                            raise _too_large(name)
                        out.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as problem:
        raise UnreadableInputError(
            f"the ZIP file {name} is damaged or packed in an unknown way ({type(problem).__name__})",
            "a ZIP file that other programs open",
            "unpack it and give the folder, or export it again",
        ) from problem
    except OSError as problem:
        raise UnreadableInputError(
            f"the ZIP file {name} cannot be unpacked ({problem.strerror or 'system error'})",
            "room for its files in the temporary folder",
            "unpack it elsewhere and give the folder",
        ) from problem


def _require_harmless(entries: list[zipfile.ZipInfo], name: str) -> None:
    if not entries:
        raise UnreadableInputError(f"the ZIP file {name} is empty", "the files of a study", "export it again")
    if len(entries) > MOST_ENTRIES:
        raise UnreadableInputError(
            f"the ZIP file {name} has {len(entries)} files",
            f"at most {MOST_ENTRIES}",
            "unpack it and give the folder of one study",
        )
    if sum(entry.file_size for entry in entries) > LARGEST_UNPACKED:
        raise _too_large(name)
    for entry in entries:
        parts = re.split(r"[/\\]", entry.filename)
        if ".." in parts or parts[0] == "" or re.match(r"^[A-Za-z]:", entry.filename):
            raise UnreadableInputError(
                f"the ZIP file {name} holds a name that leads out of it", "names below its own folder", "do not use it"
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UnreadableInputError(f"the ZIP file {name} holds a link", "files alone", "pack the files themselves")
        if entry.flag_bits & _ENCRYPTED:
            raise UnreadableInputError(
                f"the ZIP file {name} is encrypted", "files without a password", "unpack it and give the folder"
            )


def _too_large(name: str) -> UnreadableInputError:
    return UnreadableInputError(
        f"the ZIP file {name} unpacks to more than {LARGEST_UNPACKED >> 30} GiB or {LARGEST_RATIO} times its size",
        "a study of moderate size",
        "unpack it and give the folder of one study",
    )


def _target(folder: Path, name: str, number: int, used_names: set[Path]) -> Path:
    """Where an entry goes: its own name with what some disk refuses taken out, numbered where two would be one."""
    target = folder.joinpath(*(_safe(part) for part in re.split(r"[/\\]", name) if part not in ("", ".")))
    folded = Path(str(target).casefold())
    if folded in used_names or any(parent in used_names for parent in folded.parents):
        target = folder / f"{number:05d}-{target.name}"
        folded = Path(str(target).casefold())
    used_names.add(folded)
    return target


def _safe(name: str) -> str:
    """A name that every disk takes."""
    plain = "".join(c if c.isprintable() and c not in '<>:"|?*\\/' else "_" for c in name).rstrip(". ")
    stem, dot, ending = plain.rpartition(".")
    short = plain if len(plain) <= _LONGEST_NAME else (stem or ending)[: _LONGEST_NAME - 8] + dot + ending[:7]
    return f"_{short}" if not short or short.split(".")[0].upper() in _RESERVED else short


_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{k}" for port in ("COM", "LPT") for k in range(1, 10))}
"""Names of devices on Windows (Microsoft, Naming Files, Paths, and Namespaces)."""
