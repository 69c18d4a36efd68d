"""Where an output may be: nowhere among the inputs, and only where no foreign files lie."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from mureg.errors import UsageError
from mureg.files.lock import LOCK
from mureg.files.marker import HALF_MARKER, MARKER, read_marker

_SIGN = b"mureg"
_HEAD_BYTES = 4096
"""The sign lies in the header of NIfTI (348 or 540 bytes) and in the first chunks of PNG."""


def require_writable(folder: Path) -> None:
    """Refuse, before any work is done, a folder that cannot be made or written; raise `UsageError`."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        why = "may not be written" if place.is_dir() else "is a file"
        raise UsageError(
            f"cannot write into {folder.name} ({place.name} {why})", "a writable folder", "choose another output"
        )


def refuse_overlap(output: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an output that is an input, contains one or lies inside one; every verb asks this before it begins.

    Links are resolved. Places are compared by what the disk says they are, not by their names, so that capitals on a
    disk that does not tell them apart, short names and second mounts are seen through. `None` among the inputs is
    skipped.

    Raises:
        UsageError: which input, and how they overlap; or the output is a link that leads to itself.
    """
    _refuse_circle(output)
    output_chain = _chain(output)
    for input_path in inputs:
        if input_path is None:
            continue
        chain = _chain(input_path)
        if chain[0] & output_chain[0]:
            how = "is the input"
        elif any(chain[0] & place for place in output_chain[1:]):
            how = "lies inside the input"
        elif any(output_chain[0] & place for place in chain[1:]):
            how = "contains the input"
        else:
            continue
        raise UsageError(
            f"the output {_called(output)} {how} {_called(input_path)}",
            "an output apart from all inputs",
            "choose another output",
        )


def _refuse_circle(output: Path) -> None:
    try:
        output.resolve()
    except (OSError, RuntimeError) as problem:  # Python before 3.13 raises the latter for links in a circle
        raise UsageError(
            f"the output {_called(output)} cannot be found (links in a circle)",
            "a folder or file, or a link to one",
            "choose another output",
        ) from problem


def refuse_foreign(
    folder: Path, kind: str, *, overwrite: bool, recognise: Callable[[Path], bool] = lambda _folder: False
) -> None:
    """Refuse a folder that a result of that kind may not take the place of; nothing is written.

    It may be missing, or empty, or with `overwrite` a result of the same kind by its marker or by `recognise`.

    Raises:
        UsageError: what is there instead; or the folder cannot be exchanged as a whole.
    """
    folder = folder.resolve()
    require_writable(folder.parent)
    if not folder.exists():
        return
    if not folder.is_dir():
        require_writable(folder)
    marker = read_marker(folder)
    empty = not any(folder.iterdir())
    if not empty and (marker.kind != kind if marker is not None else not recognise(folder)):
        raise _foreign(folder, kind)
    if not empty and not overwrite:
        raise UsageError(f"{folder.name} exists already", "a new output", "choose another output or pass --overwrite")
    _refuse_fixed(folder)


def refuse_foreign_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that is there, unless it may be overwritten and carries the sign that mureg writes into files."""
    require_writable(path.parent)
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise UsageError(f"{path.name} exists already", "a new output", "choose another output or pass --overwrite")
    if not path.is_file() or not is_signed(path):
        raise UsageError(
            f"{path.name} is not written by mureg", "a new output, or one that mureg wrote", "choose another output"
        )


def is_signed(path: Path) -> bool:
    """Whether a PNG or NIfTI file says in its head that mureg wrote it."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            return _SIGN in file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return False


def foreign_names(folder: Path, is_known: Callable[[str], bool] = lambda _name: False) -> list[str]:
    """Names in a folder that are neither mureg's own books nor `is_known`."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if name not in (MARKER, HALF_MARKER, LOCK) and not is_known(name)]


def _foreign(folder: Path, kind: str) -> UsageError:
    marker = read_marker(folder)
    first = next(iter(sorted(path.name for path in folder.iterdir())))
    what = f"holds a {marker.kind}" if marker is not None else f"holds other things ({first}) and no {kind or 'result'}"
    return UsageError(
        f"{folder.name} {what}", "a new or empty folder, or one that mureg wrote the same into", "choose another output"
    )


def _refuse_fixed(folder: Path) -> None:
    """Refuse a folder that cannot be exchanged: somebody stands in it, or a disk is mounted there."""
    working_folder = Path.cwd()
    if folder == working_folder or folder in working_folder.parents:
        why = "is the folder that the command runs in"
    elif os.path.ismount(folder):
        why = "is where a disk is mounted"
    else:
        return
    raise UsageError(f"the output {folder.name} {why}", "a folder of its own", f"choose {folder.name}/result or so")


def _called(path: Path) -> str:
    return path.name or path.resolve().name or str(path)


def _chain(path: Path) -> list[set[object]]:
    """What a path and each of its parents are, innermost first: the name with links resolved, and the disk's number."""
    resolved = Path(os.path.realpath(path))
    return [_identity(place) for place in (resolved, *resolved.parents)]


def _identity(place: Path) -> set[object]:
    identities: set[object] = {os.path.normcase(place)}
    try:
        status = place.stat()
    except OSError:
        return identities
    return identities | ({(status.st_dev, status.st_ino)} if status.st_ino else set())
