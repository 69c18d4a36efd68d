"""Tasks for fresh processes, and a run of them that a test interrupts."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from mureg.errors import GeometryError
from mureg.jobs.cores import thread_count
from mureg.jobs.tasks import shared_out


def late_first(number: int) -> int:
    """The square; the first one comes last."""
    time.sleep(3.0 if number == 0 else 0.0)
    return number**2


def threads(_number: int) -> tuple[int, int, str, bool]:
    """How many threads this process uses, and whether it leaves Ctrl-C to the one that started it."""
    import SimpleITK as sitk  # here, for the other tasks are to begin quickly
    import torch

    leaves = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    itk = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    return torch.get_num_threads(), itk, os.environ["OMP_NUM_THREADS"], leaves


def threads_of_a_study(_number: int) -> int:
    """How many threads a study may use in this process."""
    return thread_count()


def refused(number: int) -> int:
    """Refused for every odd number, late for the smaller ones."""
    if number % 2:
        time.sleep(2.0 if number == 1 else 0.0)
        raise GeometryError(f"case {number}", "an even one", "choose another")
    return number


def killed(number: int) -> int:
    """Takes its process with it, as when memory runs out."""
    if number == 1:
        os.kill(os.getpid(), 9)
    return number


def sleeps(number: int) -> int:
    """Says that it has begun, and sleeps for longer than any test waits."""
    Path(sys.argv[-1], f"begun-{os.getpid()}").touch()
    time.sleep(120.0)
    return number


def sleeps_anywhere(number: int) -> int:
    """Sleeps for longer than any test waits."""
    time.sleep(120.0)
    return number


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    list(shared_out(sleeps, [0, 1], 2))
