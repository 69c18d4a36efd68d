"""Threads within one study: how many, and a plain loop that uses them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar, cast

from mureg.jobs.cores import chosen_thread_count, set_thread_count, thread_count

Item = TypeVar("Item")
Result = TypeVar("Result")

_place = threading.local()
_pools: dict[str, object] = {}


@contextmanager
def threads_set_to(threads: int) -> Iterator[None]:
    """As `set_thread_count`, while the block lasts."""
    before = chosen_thread_count()
    set_thread_count(threads)
    try:
        yield
    finally:
        set_thread_count(before)


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results in the order of the items, whatever the number of threads.

    Pays where `work` spends its time in NumPy or SciPy functions that release the interpreter; each item's result must
    not depend on another item. Called from one of these threads it starts no further ones.
    """
    item_list = list(items)
    threads = min(thread_count(), len(item_list))
    if threads <= 1 or getattr(_place, "within", False):
        return [work(item) for item in item_list]
    return list(_pool(thread_count()).map(work, item_list))


def beside(work: Callable[[], Result]) -> Callable[[], Result]:
    """Begin some work in a thread of its own; the function that is returned waits for it and gives its result.

    The work starts no further threads. Where a study may use one thread alone, it is done when its result is asked for.
    What the work raises is raised there as well.
    """
    if thread_count() <= 1 or getattr(_place, "within", False):
        return cache(work)
    if _pools.get("process beside") != os.getpid():
        executor = ThreadPoolExecutor(2, "mureg-beside", initializer=_enter)
        _pools.update({"process beside": os.getpid(), "beside": executor})
    return cast("ThreadPoolExecutor", _pools["beside"]).submit(work).result


def _pool(threads: int) -> ThreadPoolExecutor:
    """The threads of this process; they wait for the next work, since to start them takes longer than much of it."""
    if _pools.get("process") != os.getpid() or _pools.get("threads") != threads:
        pool = ThreadPoolExecutor(threads, "mureg", initializer=_enter)
        _pools.update(process=os.getpid(), threads=threads, pool=pool)
    return cast("ThreadPoolExecutor", _pools["pool"])


def _enter() -> None:
    _place.within = True
