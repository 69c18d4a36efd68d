"""One writer at a time: a lock that goes with its process, however that ends, and says who holds it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from mureg.errors import UsageError
from mureg.files.modes import FILE_MODE, make_folder

LOCK = ".mureg-lock"
"""Name of the lock in a folder that is written in place; with a dash and a name, of that beside an output."""

_FAR = 1 << 30
"""On Windows a locked byte cannot be read by others; this one lies far behind what the file says."""

_depths: dict[tuple[str, int, int], int] = {}


@contextmanager
def locked(file: Path, name: str) -> Iterator[None]:
    """Hold the lock that `file` stands for while the block lasts; the same thread may take it twice.

    The file is made where it is missing and removed at the end. After a kill it stays, and the next run takes it over.

    Raises:
        UsageError: another run holds it: which, and since when; or the file cannot be made. `name` is the output's.
    """
    key = (os.path.normcase(file), os.getpid(), threading.get_ident())
    if key in _depths:
        _depths[key] += 1
        try:
            yield
        finally:
            _depths[key] -= 1
        return
    descriptor = _take(file, name)
    _depths[key] = 1
    try:
        yield
    finally:
        del _depths[key]
        _release(descriptor, file)


@contextmanager
def try_locked(file: Path) -> Iterator[bool]:
    """The same, but tell whether the lock was free; the block runs in any case."""
    lock = locked(file, "")
    try:
        lock.__enter__()
    except UsageError:
        yield False
        return
    try:
        yield True
    finally:
        lock.__exit__(None, None, None)


@contextmanager
def beside(output: Path) -> Iterator[Path]:
    """Keep other runs from an output (a file, or a folder that is exchanged as a whole); gives it with links resolved.

    The lock lies beside the output. Parents that are missing are made, and removed again where they stay empty.

    Raises:
        UsageError: another run writes the same output, or its parent cannot be made or written.
    """
    output = output.resolve()
    try:
        parents = make_folder(output.parent)
    except OSError as problem:
        raise UsageError(
            f"cannot make {output.parent.name} ({problem.strerror})", "a writable folder", "choose another output"
        ) from problem
    try:
        with locked(lock_of(output), output.name):
            yield output
    finally:
        with suppress(OSError):
            for place in parents:
                place.rmdir()


def lock_of(output: Path) -> Path:
    """Path of the lock file beside an output."""
    return output.with_name(f"{LOCK}-{output.name}")


def _take(file: Path, name: str) -> int:
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), FILE_MODE)
        except OSError as problem:
            raise UsageError(
                f"cannot write beside or into {name} ({problem.strerror})", "a writable folder", "choose another output"
            ) from problem
        try:
            free = _try_lock(descriptor)
            holder = _holder(descriptor)
            if free is None:  # a disk without locks: what the file says decides
                free = not _alive(holder, file)
            if not free:
                raise UsageError(
                    f"another run is at work in {name} ({_in_words(holder)})",
                    "one run at a time for one output",
                    "wait until it has ended, or choose another output",
                )
            if _is_still(descriptor, file):
                _say_who(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder has just removed it: another try


def _try_lock(descriptor: int) -> bool | None:
    """Whether the lock was free and is ours now; None where disk or system cannot lock."""
    try:
        import fcntl
    except ImportError:
        return _try_lock_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _try_lock_on_windows(descriptor: int) -> bool | None:
    try:
        import msvcrt
    except ImportError:
        return None
    os.lseek(descriptor, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True


def _release(descriptor: int, file: Path) -> None:
    """Remove the file while it is still ours; on Windows, where open files cannot be, just after."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    if os.name != "nt":
        with suppress(OSError):
            file.unlink(missing_ok=True)
    os.close(descriptor)
    if os.name == "nt":
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _is_still(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _say_who(descriptor: int) -> None:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    words = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    with suppress(OSError):  # a full disk locks as well
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, words.encode())


def _holder(descriptor: int) -> dict[str, object]:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        # a block of a disk; what is written here has some hundred bytes
        record = json.loads(os.read(descriptor, 4096))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _in_words(holder: dict[str, object]) -> str:
    if not holder:
        return "it does not say which"
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"


def _alive(holder: dict[str, object], file: Path) -> bool:
    """Whether the process that a lock names may still be at work; unknown for a lock of another machine."""
    pid = holder.get("pid")
    if not isinstance(pid, int):
        return False
    if holder.get("host") != socket.gethostname() or os.name != "posix":
        return True
    if pid == os.getpid():  # this process, or one before it that had the same number
        return any(key[:2] == (os.path.normcase(file), pid) for key in _depths)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
