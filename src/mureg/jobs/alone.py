"""One call in a fresh process of its own: what happens there harms no other work."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

from mureg.errors import MuregError
from mureg.jobs.cores import THREAD_COUNTS, keep_freed_memory, set_thread_count

_LOOK_S = 0.2
"""Between two looks at whether the work is still wanted; a round value."""
_starting = threading.Lock()


class LostProcessError(MuregError):
    """The process ended before the work was done: killed, or out of memory."""


class UnwantedError(MuregError):
    """The work was stopped since nobody wants it any more."""


def run_alone(
    work: Callable[..., Any], arguments: tuple[Any, ...], threads: int, unwanted: threading.Event | None = None
) -> Any:
    """Call an importable function in a fresh process with so many threads; return its result or raise what it raises.

    The process ends with this one, however that ends.

    Args:
        work: is importable by name.
        arguments: can be pickled.
        threads: that the libraries and one study may use.
        unwanted: stops the process when it is set.

    Raises:
        LostProcessError: the process died.
        UnwantedError: it was stopped.
        Exception: whatever `work` raises.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sending, threads, work, arguments))
    with _starting:  # the number of threads is handed over by the environment
        before = {name: os.environ.get(name) for name in THREAD_COUNTS}
        os.environ.update(dict.fromkeys(THREAD_COUNTS, str(threads)))
        try:
            process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
    sending.close()
    try:
        while not connection.wait([receiving], timeout=_LOOK_S):
            if unwanted is not None and unwanted.is_set():
                raise UnwantedError("work that is not wanted any more", "nothing", "give the same command again")
        answer = _answer(receiving)
    finally:
        receiving.close()
        if process.is_alive():
            process.join(_LOOK_S)
        if process.is_alive():
            process.kill()
        process.join()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _answer(receiving: Connection) -> Any:
    try:
        return receiving.recv()
    except (EOFError, OSError) as problem:
        raise LostProcessError(
            "the process ended unexpectedly, perhaps because memory ran out",
            "enough memory for every worker",
            "give the same command again, with fewer workers",
        ) from problem


def _call(sending: Connection, threads: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """In the new process: leave Ctrl-C to the parent, end when that ends, and send back what comes of the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    set_thread_count(threads)
    keep_freed_memory()
    try:
        answer: Any = work(*arguments)
        pickle.dumps(answer)
    except Exception as problem:
        answer = problem
        with suppress(Exception):
            pickle.loads(pickle.dumps(problem))
            sending.send(problem)
            return
        answer = MuregError(f"a fault in mureg ({type(problem).__name__})", "none", "report it")
    sending.send(answer)


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
