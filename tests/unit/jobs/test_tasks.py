"""Tasks in fresh processes: one thread each, their order, their failures, and that none outlives the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mureg.errors import GeometryError, MuregError
from mureg.jobs.cores import thread_count
from mureg.jobs.tasks import shared_out
from mureg.jobs.threads import in_threads, threads_set_to
from support import small_tasks


def test_results_come_as_they_are_ready_or_in_the_order_of_the_tasks() -> None:
    ready = list(shared_out(small_tasks.late_first, range(4), 2))
    assert (sorted(ready), ready[-1]) == ([0, 1, 4, 9], 0)
    assert list(shared_out(small_tasks.late_first, range(4), 2, in_order=True)) == [0, 1, 4, 9]


def test_each_process_has_one_thread_and_leaves_ctrl_c_to_the_run() -> None:
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    assert set(shared_out(small_tasks.threads, range(3), 2)) == {(1, 1, "1", True)}
    assert os.environ.get("OPENBLAS_NUM_THREADS") == before


def test_one_job_works_in_this_process_with_one_thread_and_gives_the_threads_back() -> None:
    with threads_set_to(2):
        assert [found[:2] for found in shared_out(small_tasks.threads, [0], 1)] == [(1, 1)]
        assert list(shared_out(small_tasks.threads_of_a_study, [0], 1)) == [1]
        assert (torch.get_num_threads(), thread_count()) == (2, 2)


def test_each_process_takes_a_study_with_one_thread() -> None:
    assert set(shared_out(small_tasks.threads_of_a_study, range(3), 2)) == {1}


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_give_their_results_in_the_order_of_the_items(threads) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.1 if number == 0 else 0.0)
        return number**2

    with threads_set_to(threads):
        assert in_threads(slow_first, range(7)) == [0, 1, 4, 9, 16, 25, 36]


def test_an_exception_in_a_thread_is_raised() -> None:
    with threads_set_to(2), pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 // number, [2, 1, 0])


def test_the_refusal_of_the_first_task_is_raised_where_the_order_counts() -> None:
    with pytest.raises(GeometryError, match="case 1; expected an even one"):
        list(shared_out(small_tasks.refused, range(4), 2, in_order=True))


def test_a_process_that_dies_is_said_in_one_sentence() -> None:
    with pytest.raises(MuregError, match="a process ended unexpectedly, perhaps because memory ran out"):
        list(shared_out(small_tasks.killed, range(4), 2))


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_run_however_it_ends(sign, tmp_path) -> None:
    places = [str(Path(small_tasks.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.Popen(
        [sys.executable, "-m", "support.small_tasks", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 60.0
    while len(list(tmp_path.glob("begun-*"))) < 2:
        assert time.monotonic() < until
        assert run.poll() is None
        time.sleep(0.05)
    workers = [int(path.name.removeprefix("begun-")) for path in tmp_path.glob("begun-*")]
    os.kill(run.pid, sign)
    run.communicate(timeout=20.0)
    assert run.returncode != 0
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in workers):
        assert time.monotonic() < until + 20.0, "a worker outlives the run that began it"
        time.sleep(0.05)
