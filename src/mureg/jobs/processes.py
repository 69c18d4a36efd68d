"""Fresh processes on this machine: one thread each, and none outlives the process that started it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection

from mureg.jobs.cores import one_thread_each, prepare_process


@contextmanager
def fresh_processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `jobs` spawned processes; an exception in the block (Ctrl-C too) stops them at once.

    They import the calling script, which therefore must guard its own work with ``if __name__ == "__main__":``.
    """
    before = set(multiprocessing.active_children())
    with one_thread_each():
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        pool.shutdown()


def _begin() -> None:
    """In a new process: leave Ctrl-C to the process that started it, and end when that one ends, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    prepare_process()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
