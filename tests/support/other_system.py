"""Python as it is on Windows, in a process of its own: what that system lacks is removed before mureg is loaded.

Run as ``python -X warn_default_encoding -m support.other_system FOLDER``: three verbs, one JSON line for each.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import errno
import io
import json
import os
import shutil
import signal
import sys
import types
import warnings
from pathlib import Path

MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
# fmt: off
OS_NAMES = (
    "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "chown", "chroot", "confstr", "ctermid",
    "fchdir", "fchmod", "fchown", "fdatasync", "fork", "forkpty", "fpathconf", "fstatvfs", "getegid", "geteuid",
    "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority", "getsid", "getuid", "killpg",
    "lchown", "lockf", "major", "makedev", "mkfifo", "mknod", "nice", "openpty", "pathconf", "pread", "pwrite",
    "readv", "sched_getaffinity", "sched_setaffinity", "sched_yield", "setegid", "setgid", "setpgid",
    "setpriority", "setsid", "setuid", "statvfs", "sync", "sysconf", "tcgetpgrp", "ttyname", "uname", "wait",
    "wait3", "wait4", "writev",
)
SIGNALS = (
    "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1",
    "SIGUSR2", "pause", "setitimer",
)
# fmt: on


class Msvcrt(types.ModuleType):
    """The one function that mureg needs of it: a byte far behind the content, locked until its file is closed."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.holders: dict[tuple[int, int], int] = {}
        self.calls = 0

    def locking(self, descriptor: int, mode: int, n_bytes: int) -> None:
        assert (mode, n_bytes) == (self.LK_NBLCK, 1)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) > os.fstat(descriptor).st_size
        self.calls += 1
        file = _identity(descriptor)
        holder = self.holders.get(file)
        if holder is not None and holder != descriptor and _identity(holder) == file:
            raise OSError(errno.EACCES, "Permission denied")
        self.holders[file] = descriptor


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def become_windows() -> Msvcrt:
    """Remove what Windows lacks; libraries that are loaded before keep what they took."""
    msvcrt = Msvcrt()
    sys.modules["msvcrt"] = msvcrt
    real_import, real_open, real_library = builtins.__import__, os.open, ctypes.CDLL

    def import_without(name: str, scope: dict | None = None, *rest: object, **options: object) -> types.ModuleType:
        if name in MODULES and (scope or {}).get("__name__", "").startswith("mureg"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real_import(name, scope, *rest, **options)

    def open_files_only(path: str, *rest: int, **options: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, *rest, **options)

    def named_library(name: str | None, *rest: object, **options: object) -> ctypes.CDLL:
        if name is None:
            raise TypeError("bad argument type for built-in operation")
        return real_library(name, *rest, **options)

    builtins.__import__, os.open, ctypes.CDLL = import_without, open_files_only, named_library
    shutil._use_fd_functions = shutil._USE_CP_SENDFILE = False  # decided when shutil was loaded, by the system's name
    for module, names in ((os, OS_NAMES), (signal, SIGNALS)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    return msvcrt


def main(folder: Path) -> None:
    """Run `inspect`, `register` and `doctor`; say what came of each, in JSON."""
    import asyncio  # noqa: F401
    import importlib

    for library in ("torch", "SimpleITK", "scipy.optimize", "matplotlib.pyplot", "rich.progress", "tyro", "highdicom"):
        importlib.import_module(library)
    # text would be read and written in the code page of the machine
    warnings.filterwarnings("error", category=EncodingWarning, module=r"mureg\.")
    msvcrt = become_windows()
    from mureg.cli import keep_out_of_home
    from mureg.cli import main as command_line
    from mureg.sample import sample_folder

    keep_out_of_home()
    spect, ct = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")
    for verb, *arguments in (
        ("inspect", spect, "--json"),
        ("register", "--spect", spect, "--ct", ct, "-o", str(folder), "--fast", "--json", "--threads", "1"),
        ("doctor", "--json", "--threads", "1"),
    ):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = command_line([verb, *arguments])
        print(json.dumps({"verb": verb, "code": code, "answer": json.loads(said.getvalue()), "locks": msvcrt.calls}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
