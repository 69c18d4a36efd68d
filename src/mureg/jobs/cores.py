"""Processor cores: how many this process may use, how many threads one study uses, and how a worker is set to one."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Environment variables from which libraries take their number of threads when they are loaded."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of the GNU C library
_KEPT_BYTES, _LARGEST_KEPT_BYTES = 1 << 30, 32 << 20
"""Freed memory that stays with the process, more than a case needs (930 MB, docs/concepts/virtual-patients.md); the
largest array that it holds for, which is the limit of malloc itself (mallopt(3), 64 bits)."""


_threads: dict[str, int | None] = {"of a study": None}


def usable_cores() -> int:
    """Cores that the system lets this process use; where it does not say (macOS, Windows), those of the machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else machine_cores()


def machine_cores() -> int:
    """Logical cores of this machine, 1 where the system does not say."""
    return os.cpu_count() or 1


def thread_count() -> int:
    """Threads that one study may use: as set, or the cores that the system lets this process use."""
    return _threads["of a study"] or usable_cores()


def chosen_thread_count() -> int | None:
    """The number that `set_thread_count` was given last."""
    return _threads["of a study"]


def set_thread_count(threads: int | None) -> None:
    """Let one study use so many threads from now on; None for as many as there are usable cores.

    ITK takes the number when it is loaded, or now where it is loaded already; so does PyTorch, now.
    """
    _threads["of a study"] = threads
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(thread_count())
    _set_threads(torch=thread_count(), itk=thread_count())


def prepare_process() -> None:
    """Set this process to one thread and let it keep freed memory for the next array.

    Libraries that are not loaded yet take their number of threads from the environment; see `one_thread_each`.
    """
    set_thread_count(1)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let this process keep freed memory for the next array, of whichever thread.

    Every page that the system hands out anew costs time, and what each thread keeps for itself is of no use to others:
    with a store for each thread a study takes 100 MB more.

    Dask starts its workers with ``MALLOC_TRIM_THRESHOLD_=65536``: freed memory is returned to the system at once. A
    simulated case would then request the same pages a million times and take three times as long. The GNU C library is
    therefore configured to keep it; other C libraries are left as they are.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS; Windows knows no library without a name
        return
    set_option(_M_ARENA_MAX, 1)
    set_option(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    set_option(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the libraries loaded in this process use one thread while the block lasts."""
    torch, sitk, before = sys.modules.get("torch"), sys.modules.get("SimpleITK"), _threads["of a study"]
    before_torch = None if torch is None else torch.get_num_threads()
    before_itk = None if sitk is None else sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    _threads["of a study"] = 1
    _set_threads(torch=1, itk=1)
    try:
        yield
    finally:
        _threads["of a study"] = before
        _set_threads(torch=before_torch, itk=before_itk)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that are started while the block lasts use one thread each, by their environment."""
    before = {name: os.environ.get(name) for name in THREAD_COUNTS}
    os.environ.update(dict.fromkeys(THREAD_COUNTS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _set_threads(*, torch: int | None, itk: int | None) -> None:
    """Set the number of threads of the libraries that are loaded; None leaves a library as it is."""
    torch_module, sitk_module = sys.modules.get("torch"), sys.modules.get("SimpleITK")
    if torch is not None and torch_module is not None:
        torch_module.set_num_threads(torch)
    if itk is not None and sitk_module is not None:
        sitk_module.ProcessObject.SetGlobalDefaultNumberOfThreads(itk)
