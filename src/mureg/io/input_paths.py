"""Files and folders that are given as inputs: whether they are there, and what lies below them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mureg.errors import UnreadableInputError
from mureg.io.refusals import cannot_be_read


def called(path: Path) -> str:
    """The last name of a path, also of "." and the like."""
    return path.name or path.resolve().name or str(path)


def require_path(path: Path) -> None:
    """Refuse a path that does not exist, cannot be opened, is neither file nor folder, or is an empty folder."""
    name = called(path)
    try:
        mode = path.stat().st_mode
        empty = stat.S_ISDIR(mode) and not any(path.iterdir())
    except (FileNotFoundError, NotADirectoryError) as problem:
        what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise UnreadableInputError(f"'{name}' {what}", "a file or folder", "check the path") from problem
    except OSError as problem:
        raise cannot_be_read(f"'{name[:80]}'", problem, "a file or folder that may be read") from problem
    if empty:
        raise UnreadableInputError(f"the folder '{name}' is empty", "files in it", "check the path or export again")
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise UnreadableInputError(f"'{name}' is a pipe or device", "a file or folder", "check the path")


def files_below(path: Path) -> Iterator[Path]:
    """The file itself, or every regular file in a folder and its subfolders; links that lead outside are left alone.

    Raises `UnreadableInputError` where a folder cannot be listed.
    """
    if not path.is_dir():
        yield path
        return
    root = path.resolve()
    for folder, subfolders, names in os.walk(path, followlinks=False, onerror=_cannot_list):
        subfolders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file() and (not file.is_symlink() or file.resolve().is_relative_to(root)):
                yield file


def _cannot_list(problem: OSError) -> None:
    name = Path(problem.filename or "").name
    raise cannot_be_read(f"the folder '{name}'", problem, "folders that may be listed") from problem
