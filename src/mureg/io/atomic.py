"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mureg.errors import UsageError

_PARTIAL = ".partial"


def refuse_existing(paths: list[Path]) -> None:
    """Refuse to overwrite: raise `UsageError` that names the first of `paths` that is already there."""
    for path in paths:
        if path.exists():
            raise UsageError(f"{path.name} exists already", "a new output", "choose another output or pass --overwrite")


def require_writable(folder: Path) -> None:
    """Refuse, before any work is done, a folder that cannot be made or written; raise `UsageError`."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        why = "may not be written" if place.is_dir() else "is a file"
        raise UsageError(
            f"cannot write into {folder.name} ({place.name} {why})", "a writable folder", "choose another output"
        )


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a scratch file beside `path`; it takes the name of `path` when the block ends well and vanishes otherwise.

    The scratch file keeps the endings of `path`, since writers choose their format by them.
    Raises `UsageError` where the folder cannot be made or written.
    """
    scratch = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        scratch.replace(path)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise UsageError(
            f"cannot write {path.name} ({reason})", "a writable folder", "choose another output"
        ) from problem
    finally:
        with suppress(OSError):  # where the folder is a file there is nothing to clear away
            scratch.unlink(missing_ok=True)


@contextmanager
def writing_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty scratch folder beside `folder`; it takes that name when the block ends well, else it vanishes.

    Its files are on the disk before it takes the name, so that a machine that stops leaves it whole or not there.
    With `overwrite` a folder that is there already is taken away when the new one is complete, and only then.
    Raises `UsageError` where `folder` exists, also when it came to be in the meantime, or cannot be written.
    """
    if not overwrite:
        refuse_existing([folder])
    scratch, older = (folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{_PARTIAL}") for _ in range(2))
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for inside in (*scratch.rglob("*"), scratch):
            _onto_disk(inside)
        if overwrite and folder.is_dir():
            folder.rename(older)
        scratch.rename(folder)
        _onto_disk(folder.parent)
    except OSError as problem:
        refuse_existing([folder])
        reason = problem.strerror or type(problem).__name__
        raise UsageError(
            f"cannot write {folder.name} ({reason})", "a writable folder", "choose another output"
        ) from problem
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if older.exists() and not folder.exists():
            older.rename(folder)
        shutil.rmtree(older, ignore_errors=True)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give an empty scratch folder inside `folder`; its files move up into `folder` when the block ends well.

    Otherwise `folder` is as it was, and not there where it was not: a full disk leaves no half result. Raises
    `UsageError` where it cannot be made or written.
    """
    folder = folder.resolve()
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    scratch = folder / f".{secrets.token_hex(4)}{_PARTIAL}"
    done = False
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for file in scratch.iterdir():
            file.replace(folder / file.name)
        done = True
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise UsageError(
            f"cannot write into {folder.name} ({reason})", "a writable folder with room", "choose another output"
        ) from problem
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):
            for place in () if done else made:
                place.rmdir()


def remove_leftovers(parent: Path) -> None:
    """Remove the scratch folders and files that a killed `writing_folder` or `writing` left in `parent`."""
    for left in parent.glob(f".*{_PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)
    for left in parent.glob(f".{'[0-9a-f]' * 8}-*"):
        left.unlink(missing_ok=True)


def _onto_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def claimed(folder: Path, inside: str = "") -> Iterator[None]:
    """Make a folder, and another inside it where one is named, and keep other runs out while the block lasts.

    The lock also goes when the process is killed. Shared disks that cannot lock a folder lock nothing. Raises
    `UsageError` where another run is at work in it or it cannot be made.
    """
    try:
        (folder / inside).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(
            f"cannot make {folder.name} ({problem.strerror})", "a writable folder", "choose another output"
        ) from problem
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"another run is at work in {folder.name}", "one run a folder", "wait until it has ended"
                ) from None
        yield
    finally:
        os.close(descriptor)
