"""One call in a fresh process: its result, its refusal, its death, and its end when nobody wants it."""

from __future__ import annotations

import threading
import time

import pytest

from mureg.errors import GeometryError
from mureg.jobs.alone import LostProcessError, UnwantedError, run_alone
from support.small_tasks import killed, refused, sleeps_anywhere, threads


def test_the_result_and_the_number_of_threads() -> None:
    torch_threads, itk, openmp, leaves = run_alone(threads, (0,), 2)
    assert (torch_threads, itk, openmp, leaves) == (2, 2, "2", True)


def test_a_refusal_keeps_its_kind() -> None:
    with pytest.raises(GeometryError, match=r"case 3; expected an even one"):
        run_alone(refused, (3,), 1)


def test_a_process_that_dies_is_told_from_a_refusal() -> None:
    with pytest.raises(LostProcessError):
        run_alone(killed, (1,), 1)


def test_unwanted_work_ends_at_once() -> None:
    unwanted = threading.Event()
    threading.Timer(1.0, unwanted.set).start()
    began = time.monotonic()
    with pytest.raises(UnwantedError):
        run_alone(sleeps_anywhere, (0,), 1, unwanted)
    assert time.monotonic() - began < 60.0
