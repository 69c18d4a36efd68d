"""One writer at a time, who it is, and locks that go with their process."""

from __future__ import annotations

import builtins
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from mureg.errors import UsageError
from mureg.files import lock
from mureg.files.output import claimed
from mureg.files.run_folder import RunFolder

RUN = RunFolder("batch", lambda _folder: False)


def hold(output: Path, kind: str) -> None:
    with claimed(output) if kind == "beside" else RUN.claimed(output):
        (output.parent / "held").touch()
        time.sleep(60)


@pytest.fixture(params=["beside", "inside"])
def holder(request, tmp_path):
    """A process that holds an output."""
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path / "out", request.param))
    process.start()
    while not (tmp_path / "held").exists():
        assert process.is_alive()
        time.sleep(0.01)
    yield (
        process,
        (lambda: claimed(tmp_path / "out")) if request.param == "beside" else (lambda: RUN.claimed(tmp_path / "out")),
    )
    process.kill()
    process.join()


def test_the_second_is_told_who_is_at_work(holder) -> None:
    process, claim = holder
    said = rf"another run is at work in out \(process {process.pid} on {socket.gethostname()}, since 20\d\d-"
    with pytest.raises(UsageError, match=said) as refusal, claim():
        pass
    assert refusal.value.exit_code == 2


def test_a_process_that_is_killed_holds_nothing(holder, tmp_path) -> None:
    process, claim = holder
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with claim():
        pass
    assert not list(tmp_path.rglob(".mureg-lock*"))


def test_on_a_disk_without_locks_the_file_says_who(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "_try_lock", lambda _descriptor: None)
    file = tmp_path / ".mureg-lock-out"
    for holder, free in (
        ({"pid": os.getppid(), "host": socket.gethostname()}, False),
        ({"pid": 2**22 + 1, "host": socket.gethostname()}, True),
        ({"pid": 1, "host": "another machine"}, False),
        ([], True),
    ):
        file.write_text(json.dumps(holder))
        with lock.try_locked(file) as taken:
            assert taken is free, holder


def test_a_system_without_fcntl_can_still_lock(tmp_path, monkeypatch) -> None:
    """As on Windows, where msvcrt takes its place."""
    real, calls = builtins.__import__, []

    class Msvcrt:
        LK_NBLCK = 2

        @staticmethod
        def locking(_descriptor: int, mode: int, n: int) -> None:
            calls.append((mode, n))
            if len(calls) > 1:
                raise OSError(36, "locked")

    def without(name, *rest, **options):
        if name == "fcntl":
            raise ImportError(name)
        return Msvcrt if name == "msvcrt" else real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with claimed(tmp_path / "out"):
        refused = []

        def other() -> None:
            with lock.try_locked(lock.lock_of(tmp_path / "out")) as free:
                refused.append(not free)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused == [True]
    assert calls == [(2, 1), (2, 1)]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_wrote_nothing_leaves_nothing(tmp_path) -> None:
    with RUN.claimed(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".mureg").exists()
    assert list(tmp_path.iterdir()) == []
