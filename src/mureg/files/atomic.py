"""Files and folders that appear whole or not at all, and replace only what mureg wrote."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from mureg import __version__
from mureg.errors import UsageError
from mureg.files import scratch as scratches
from mureg.files.marker import Marker, is_unchanged, listing, read_marker, sha256_of, write_marker
from mureg.files.modes import FILE_MODE, FOLDER_MODE, below, make_folder, onto_disk, restrict
from mureg.files.places import refuse_foreign, require_writable

LOG = logging.getLogger("mureg.files")

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""From fcntl.h and linux/fs.h, for renameat2: paths are relative to the current folder; exchange both names."""
_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)

Recognise = Callable[[Path], bool]
"""Whether a folder without a marker was written by mureg 0.1.0, and holds nothing else."""


def refuse_existing(paths: list[Path]) -> None:
    """Refuse to overwrite: raise `UsageError` that names the first of `paths` that is already there."""
    for path in paths:
        if os.path.lexists(path):
            raise UsageError(f"{path.name} exists already", "a new output", "choose another output or pass --overwrite")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a scratch file beside `path`; it takes the name of `path` when the block ends well and vanishes otherwise.

    The scratch file keeps the ending of `path`, since writers choose their format by it.
    Raises `UsageError` where the folder cannot be made or written.
    """
    scratch = scratches.beside(path)
    try:
        make_folder(path.parent)
        os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        yield scratch
        restrict(scratch)
        if not scratches.is_inside(path):  # a folder of results is brought onto the disk as a whole
            onto_disk(scratch)
        scratch.replace(path)
    except OSError as problem:
        raise _cannot_write(path, problem) from problem
    finally:
        with suppress(OSError):  # where the folder is a file there is nothing to clear away
            scratch.unlink(missing_ok=True)


@contextmanager
def rewriting(path: Path) -> Iterator[Path]:
    """As `writing`, for a table or page of a run folder, which every run writes anew and people may write into.

    A file that is there, and is not as mureg wrote it last by the folder's marker, is kept as NAME.kept. The caller
    holds the lock of the folder.
    """
    folder, name = path.parent, path.name
    with writing(path) as scratch:
        yield scratch
        marker, new = read_marker(folder), sha256_of(scratch)
        if marker is not None:
            earlier = [sha256 for sha256 in marker.files.get(name, "").split() if is_unchanged(path, sha256)]
            if os.path.lexists(path) and not earlier:
                path.rename(scratches.kept_name(path))
            write_marker(folder, replace(marker, files={**marker.files, name: " ".join({*earlier, new})}))
    if marker is not None:
        write_marker(folder, replace(marker, files={**marker.files, name: new}))


@contextmanager
def writing_folder(
    folder: Path,
    *,
    kind: str = "",
    overwrite: bool = False,
    state: tuple[str, ...] = (),
    recognise: Recognise = lambda _folder: False,
) -> Iterator[Path]:
    """Give an empty scratch folder; it takes the name of `folder` when the block ends well, else it vanishes.

    Its files are on the disk before it takes the name. A folder that is there is exchanged as a whole, where the
    system can do that in one step, else in two, which the next run completes or takes back after a kill. Files in it
    that mureg did not write, or that were changed since, move along to the new folder; where the new one has a file of
    that name, theirs is called NAME.kept.

    Args:
        folder: with its parents made where they are missing. The caller holds the lock of the output.
        kind: of the result, written into its marker; "" for a folder without a marker, which is never replaced.
        overwrite: a folder of this kind may be replaced.
        state: files of the result that may be replaced whatever they hold.
        recognise: see `Recognise`.

    Raises:
        UsageError: `folder` exists and is none that may be replaced, also when it came to be in the meantime; or it
            cannot be written.
    """
    if scratches.is_inside(folder):
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        yield folder
        return
    folder, overwrite = folder.resolve(), overwrite and bool(kind)
    refuse_foreign(folder, kind, overwrite=overwrite, recognise=recognise)
    place: Path | None = None
    try:
        make_folder(folder.parent)
        place = scratches.begin(folder, kind)
        new = place / scratches.NEW
        yield new
        for inside in below(new):
            restrict(inside)
        if kind:
            write_marker(new, Marker(kind, __version__, listing(new), state))
        for inside in below(new):
            onto_disk(inside)
        refuse_foreign(folder, kind, overwrite=overwrite, recognise=recognise)
        scratches.complete(place, kind)
        _into_place(place, folder, Marker(kind, __version__, state=state))
    except OSError as problem:
        raise _cannot_write(folder, problem) from problem
    finally:
        if place is not None:
            with suppress(OSError):
                scratches.settle(place, folder)
            if scratches.is_unsettled(place):
                LOG.warning(
                    "the output is as it should be, but what others added to the older result cannot be moved into it: "
                    "it lies beside the output, in the hidden folder that begins with %s",
                    place.name.removesuffix(folder.name),
                )


def _into_place(place: Path, folder: Path, marker: Marker) -> None:
    new, old = place / scratches.NEW, place / scratches.OLD
    if not folder.exists():
        new.rename(folder)
    else:
        if read_marker(folder) is None and any(folder.iterdir()):  # of mureg 0.1.0: all that is in it was recognised
            write_marker(folder, Marker(marker.kind, "0.1.0", listing(folder), marker.state))
        if not _exchanged(new, folder):
            folder.rename(old)
            new.rename(folder)
    onto_disk(folder.parent)
    onto_disk(place)


def _exchanged(path: Path, other_path: Path) -> bool:
    """Exchange two folders in one step; False where system or disk cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other_path), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number))


def _cannot_write(path: Path, problem: OSError) -> UsageError:
    reason = problem.strerror or type(problem).__name__
    return UsageError(f"cannot write {path.name} ({reason})", "a writable folder with room", "choose another output")


__all__ = ["Recognise", "refuse_existing", "require_writable", "rewriting", "writing", "writing_folder"]
