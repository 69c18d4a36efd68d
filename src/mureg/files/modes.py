"""Who may read what is written, and that it is on the disk.

Results hold patient data. On POSIX systems files get at most the mode 0640 and folders at most 0750; a stricter umask
is respected. On Windows they inherit the rights of the folder they are written into.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o640, 0o750
"""Owner writes, group reads, others have no access (README)."""
_NOT_FOR_OTHERS = 0o027
"""The rights that the modes above withhold."""


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents where they are missing; return those that were made, the innermost first."""
    absent = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(absent):
        place.mkdir(FOLDER_MODE, exist_ok=True)
    return absent


def restrict(path: Path) -> None:
    """Take from others all rights to a file or folder, and from the group the right to write."""
    if os.name == "posix":
        with suppress(OSError):  # disks without modes
            path.chmod(path.stat().st_mode & 0o7777 & ~_NOT_FOR_OTHERS)


def below(folder: Path) -> Iterator[Path]:
    """Every file and folder below a folder, links not followed, the folder itself last."""
    for place, folders, names in os.walk(folder, topdown=False):
        for name in (*names, *folders):
            yield Path(place) / name
    yield folder


def onto_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk; a link is left alone.

    Where folders cannot be opened (Windows) or brought onto the disk (some shared disks), the system does that itself.
    """
    if path.is_symlink():
        return
    if path.is_dir():
        with suppress(OSError):
            _sync(os.open(path, os.O_RDONLY))
        return
    _sync(os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY))


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file, made where it is missing, and wait until that has reached the disk."""
    with path.open("ab", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
