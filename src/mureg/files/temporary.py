"""A folder for everything temporary of a process, which goes with it, also when it is killed."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from mureg.files.lock import LOCK, locked, try_locked

_PREFIX = "mureg-"
_NEWBORN_S = 60.0
"""A folder that young may belong to a process that has not locked it yet: seconds on a slow disk. A round value."""


def own_temporary_folder() -> Path:
    """Make it, tell Python and child processes to put what is temporary into it, and clear those of dead processes.

    Raises:
        OSError, UsageError: there is no place for it.
    """
    place = Path(tempfile.gettempdir())
    _clear(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    until_end = ExitStack()
    until_end.callback(shutil.rmtree, folder, ignore_errors=True)
    until_end.enter_context(locked(folder / LOCK, folder.name))
    atexit.register(until_end.close)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # to be found anew
    return folder


def _clear(place: Path) -> None:
    """Remove the folders of processes that are gone: those of this user, with a lock that is free."""
    with suppress(OSError):
        for folder in place.glob(f"{_PREFIX}*"):
            if _is_old_and_ours(folder):
                with try_locked(folder / LOCK) as free:
                    if free:
                        shutil.rmtree(folder, ignore_errors=True)
                if free:  # Windows removes no file that is open, such as the lock
                    shutil.rmtree(folder, ignore_errors=True)


def _is_old_and_ours(folder: Path) -> bool:
    try:
        status = (folder / LOCK).lstat()
    except OSError:
        return False
    is_own = not hasattr(os, "getuid") or folder.lstat().st_uid == status.st_uid == os.getuid()
    return is_own and not folder.is_symlink() and time.time() - status.st_mtime > _NEWBORN_S
