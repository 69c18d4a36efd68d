"""A Dask cluster of worker processes makes the same bytes as one process, also when it loses a worker."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing

import dask
import pytest

from mureg.cohort.run import simulate_cohort
from mureg.cohort.store.cohort import write_case
from mureg.errors import UsageError
from support import small_cases
from support.cluster import QUIET, two_workers
from support.small_cases import files_of, small_case, small_settings

pytestmark = pytest.mark.slow

SETTINGS = small_settings()
N = 6


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_workers() as scheduler_address:
        yield scheduler_address


def test_two_workers_give_the_bytes_of_one_process(address, tmp_path) -> None:
    """The cases of a plain loop in this process are the referee."""
    told = []
    run = simulate_cohort(
        SETTINGS,
        N,
        tmp_path / "cluster",
        scheduler=address,
        simulate=small_case,
        progress=lambda done, missing: told.append((done, missing)),
    )
    assert (len(run.made_cases), run.failed) == (N, ())
    assert told == [(done, N) for done in range(N + 1)]
    for index in range(N):
        case = small_case(SETTINGS, index)
        write_case(case, tmp_path / "loop" / case.name)
    assert files_of(tmp_path / "cluster" / "cases") == files_of(tmp_path / "loop")


def test_a_refusal_and_an_accident_are_told(address, tmp_path) -> None:
    run = simulate_cohort(SETTINGS, N, tmp_path, scheduler=address, simulate=small_cases.case_with_failures)
    assert [(one.name, one.problem[:23]) for one in run.failed] == [
        ("small-000002", "a heart outside the fie"),
        ("small-000005", "ZeroDivisionError: by n"),
    ]
    assert len(run.made_cases) == N - 2


def test_the_case_of_a_lost_worker_is_made_by_another(address, tmp_path) -> None:
    cts = tmp_path / "cts"
    cts.mkdir()
    (cts / "one.nii.gz").touch()
    killing = small_cases.case_that_kills_once
    run = simulate_cohort(SETTINGS, N, tmp_path / "out", scheduler=address, ct_folder=cts, simulate=killing)
    assert (len(run.made_cases), run.failed) == (N, ())
    assert (cts / "died").exists()


def test_no_scheduler(tmp_path, monkeypatch) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    impatient = {"distributed.comm.timeouts.connect": "1s"}
    with (
        dask.config.set({**QUIET, **impatient}),
        pytest.raises(UsageError, match="no answer from a Dask scheduler at tcp://127"),
    ):
        simulate_cohort(SETTINGS, 1, tmp_path, scheduler=address, simulate=small_case)


def test_without_dask_the_package_to_install_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install mureg\[cluster\]"):
        simulate_cohort(SETTINGS, 1, tmp_path, scheduler="tcp://127.0.0.1:1", simulate=small_case)
    assert not (tmp_path / "cases").exists()
