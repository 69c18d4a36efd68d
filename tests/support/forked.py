"""Fresh processes that begin within milliseconds: forked off a server that has imported what they need.

A spawned process imports PyTorch and SimpleITK first, seconds for a case that takes none. A process of the server has,
like a spawned one, nothing of the process that asked for it; tests of the processes themselves use spawned ones.
"""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

from mureg.jobs import processes
from mureg.jobs.cores import one_thread_each

_IMPORTED = ["SimpleITK", "torch", "matplotlib.image", "mureg.batch.run", "mureg.cohort.run", "mureg.comparison"]


def patch(monkeypatch) -> None:
    """Let `mureg.jobs.processes` take its processes from the server, where the system has one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    with one_thread_each():  # as fresh processes start: libraries count their threads when they are imported
        multiprocessing.forkserver.ensure_running()
    quick = SimpleNamespace(
        get_context=lambda kind: context if kind == "spawn" else multiprocessing.get_context(kind),
        active_children=multiprocessing.active_children,
        parent_process=multiprocessing.parent_process,
    )
    monkeypatch.setattr(processes, "multiprocessing", quick)
