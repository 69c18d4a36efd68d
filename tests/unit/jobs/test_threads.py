"""Work in threads: results in order, no threads within threads, and a child process of its own."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from mureg.jobs.threads import beside, in_threads, threads_set_to


def test_results_come_in_the_order_of_the_items_whatever_the_number_of_threads() -> None:
    for threads in (1, 2, 3):
        with threads_set_to(threads):
            assert in_threads(lambda n: n * n, range(20)) == [n * n for n in range(20)]


def test_work_within_work_stays_in_its_thread() -> None:
    def outer(n: int) -> set[str]:
        return {threading.current_thread().name, *in_threads(lambda _: threading.current_thread().name, range(4))}

    with threads_set_to(2):
        assert all(len(names) == 1 for names in in_threads(outer, range(6)))


def test_the_error_of_an_item_reaches_the_caller_and_the_next_work_goes_on() -> None:
    with threads_set_to(2):
        with pytest.raises(ZeroDivisionError):
            in_threads(lambda n: 1 // n, [1, 0, 1])
        assert in_threads(lambda n: 1 // n, [1, 1]) == [1, 1]


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    with threads_set_to(2):
        assert in_threads(abs, [-1, -2]) == [1, 2]
        child = os.fork()
        if child == 0:
            os._exit(0 if in_threads(abs, [-3, -4]) == [3, 4] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_work_beside_runs_while_the_caller_goes_on() -> None:
    with threads_set_to(2):
        arrived, go_on = threading.Event(), threading.Event()

        def work() -> str:
            arrived.set()
            assert go_on.wait(10.0)
            return threading.current_thread().name

        result = beside(work)
        assert arrived.wait(10.0)  # before anybody asked for the result
        go_on.set()
        assert result() != threading.current_thread().name
        assert result() == result()


@pytest.mark.parametrize("threads", [1, 2])
def test_work_beside_is_done_once_and_its_error_reaches_whoever_asks(threads) -> None:
    times: list[int] = []

    def fails() -> None:
        raise ZeroDivisionError

    with threads_set_to(threads):
        counted = beside(lambda: times.append(1))
        counted()
        counted()
        assert times == [1]
        failing = beside(fails)
        with pytest.raises(ZeroDivisionError):
            failing()


def test_work_beside_starts_no_threads_of_its_own() -> None:
    def names() -> set[str]:
        return {threading.current_thread().name, *in_threads(lambda _: threading.current_thread().name, range(4))}

    with threads_set_to(2):
        assert len(beside(names)()) == 1
        assert len(beside(lambda: beside(lambda: names())())()) == 1
