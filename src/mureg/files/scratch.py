"""What is being written, beside the place it will have, under names that tell a later run whose it was.

A file NAME is written as ``.mureg-XXXXXXXX-NAME``. A folder NAME is written as ``new`` inside a folder of that name, in
which a note says how far it is. The note makes the exchange safe: whatever a run leaves when it is killed, `settle`
restores the old folder or completes the new one. The user's own files in the old folder move along to the new one.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mureg import __version__
from mureg.errors import UnreadableInputError
from mureg.files.lock import LOCK, lock_of, try_locked
from mureg.files.marker import HALF_MARKER, MARKER, Marker, foreign_files, read_marker, write_note
from mureg.files.modes import FOLDER_MODE, make_folder, onto_disk
from mureg.files.settings import read_json

NEW, OLD = "new", "old"
_NAME = re.compile(r"\.mureg-[0-9a-f]{8}-(?P<output>.+)", re.DOTALL)
_WRITING, _COMPLETE = "writing", "complete"


def beside(output: Path) -> Path:
    """A name for scratch beside an output; it keeps the ending, by which writers choose their format."""
    return output.with_name(f".mureg-{secrets.token_hex(4)}-{output.name}")


def is_inside(folder: Path) -> bool:
    """Whether a folder is or lies in one that is itself still scratch, and so comes and goes with it."""
    return any(place.name == NEW and _NAME.fullmatch(place.parent.name) for place in (folder, *folder.parents))


def begin(output: Path, kind: str) -> Path:
    """Make the scratch folder for a folder of results, with an empty `NEW` in it."""
    place = beside(output)
    place.mkdir(FOLDER_MODE)
    _note(place, kind, _WRITING)
    (place / NEW).mkdir(FOLDER_MODE)
    return place


def complete(place: Path, kind: str) -> None:
    """Note that what is in `NEW` is complete and on the disk."""
    _note(place, kind, _COMPLETE)
    onto_disk(place)


def settle(place: Path, output: Path) -> None:
    """Clear a scratch folder away, whatever stage it is in: for the run itself, and for the next after one was killed.

    An output that is missing since the run was killed between two steps comes back: the new one where it is complete,
    else the old one. Nothing that mureg did not write is removed.
    """
    try:
        note = read_json(place / MARKER)
    except UnreadableInputError:
        if not any(path.name != HALF_MARKER for path in place.iterdir()):  # else its owner is unknown
            shutil.rmtree(place, ignore_errors=True)
        return
    if note.get("state") != _COMPLETE or not note.get("kind"):
        shutil.rmtree(place, ignore_errors=True)
        return
    _restore(place, output)
    for older in (place / OLD, place / NEW):
        if older.is_dir():
            _dispose(older, output)
    if not (place / OLD).exists() and not (place / NEW).exists():
        shutil.rmtree(place, ignore_errors=True)


def is_unsettled(place: Path) -> bool:
    """Whether something of the replaced folder is still in a scratch folder, since it could not be moved."""
    return any(os.path.lexists(place / name) for name in (OLD, NEW))


def clear(folder: Path, *, alone: bool) -> None:
    """Clear away what killed runs left in a folder.

    Args:
        folder: that holds the outputs.
        alone: no other run can be at work in it, for its lock is held; else what others are writing is let be.
    """
    with suppress(OSError):
        for name in sorted(path.name for path in folder.iterdir()):
            output = _output_of(folder, name)
            if output is None:
                continue
            with _is_unused(output, alone) as is_unused:
                if not name.startswith(f"{LOCK}-"):
                    if is_unused:
                        _clear(folder / name, output)
                elif alone:  # else the next holder of the lock removes it
                    (folder / name).unlink(missing_ok=True)


def _clear(path: Path, output: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            settle(path, output)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _is_unused(output: Path, alone: bool) -> Iterator[bool]:
    if alone:
        yield True
        return
    with try_locked(lock_of(output)) as free:
        yield free


def _output_of(folder: Path, name: str) -> Path | None:
    """The output that a scratch or lock file belongs to."""
    scratch = _NAME.fullmatch(name)
    if scratch is not None:
        return folder / scratch["output"]
    return folder / name.removeprefix(f"{LOCK}-") if name.startswith(f"{LOCK}-") else None


def _note(place: Path, kind: str, state: str) -> None:
    write_note(place / MARKER, {"mureg": __version__, "kind": kind, "state": state, "pid": os.getpid()})


def _restore(place: Path, output: Path) -> None:
    new, old = place / NEW, place / OLD
    if os.path.lexists(output):
        return
    if old.is_dir():
        (new if new.is_dir() else old).rename(output)
    elif new.is_dir() and any(foreign_files(new, read_marker(new))):
        new.rename(output)


def _dispose(old: Path, output: Path) -> None:
    """Remove what mureg wrote into a folder that was replaced; move all else to where it is now.

    A file of the older result that was changed since is called NAME.kept in any case: under its own name it would pass
    for a file of the new one.
    """
    marker = read_marker(old)
    names = list(foreign_files(old, marker))
    if names and not output.is_dir():
        return
    own_marker = Marker("") if marker is None else marker
    for name in names:
        _move(old / name, output / name, renamed=name in own_marker.files)
    for name in own_marker.files:
        (old / name).unlink(missing_ok=True)
    if marker is not None:
        for name in (*marker.state, MARKER):
            (old / name).unlink(missing_ok=True)
    for place, _, _ in os.walk(old, topdown=False):
        with suppress(OSError):
            Path(place).rmdir()


def _move(path: Path, place: Path, *, renamed: bool) -> None:
    """Move a user's file or folder; with `renamed`, or where its name is taken, it is called NAME.kept."""
    make_folder(place.parent)
    path.rename(kept_name(place) if renamed or os.path.lexists(place) else place)


def kept_name(place: Path) -> Path:
    """A name beside a file for what was there before: NAME.kept, or with a number where that is taken too."""
    free_path, number = place.with_name(f"{place.stem}.kept{place.suffix}"), 2
    while os.path.lexists(free_path):
        free_path = place.with_name(f"{place.stem}.kept{number}{place.suffix}")
        number += 1
    return free_path
