"""Whoever does the work and however often it is interrupted, the same settings give the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mureg.cohort.record import begin
from mureg.cohort.run import CohortRun, simulate_cohort
from mureg.cohort.settings import load_settings
from mureg.cohort.store.cohort import Cohort
from mureg.errors import UnreadableInputError, UsageError
from support import small_cases
from support.small_cases import files_of, small_case, small_settings

pytestmark = pytest.mark.usefixtures("forked_processes")

SETTINGS = small_settings()
N = 7


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, bytes]:
    """What a cohort of seven cases is, made by one process with one thread in one go."""
    folder = tmp_path_factory.mktemp("cohort") / "small"
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    run = simulate_cohort(SETTINGS, N, folder, simulate=small_cases.one_thread_case, dicom=True)
    assert (len(run.made_cases), run.already, run.failed) == (N, (), ())
    assert os.environ.get("OPENBLAS_NUM_THREADS") == before
    return files_of(folder)


def test_what_a_folder_holds(uninterrupted) -> None:
    tops = {name.split("/")[0] for name in uninterrupted}
    assert tops == {"cohort.toml", "run.toml", "card.toml", "card.md", ".mureg", "card.png", "cases", "dicom"}
    assert {name.split("/")[1] for name in uninterrupted if name.startswith("cases/")} == {
        f"small-{index:06d}" for index in range(N)
    }


def test_the_settings_in_the_folder_make_the_same_cohort(uninterrupted, tmp_path) -> None:
    (tmp_path / "cohort.toml").write_bytes(uninterrupted["cohort.toml"])
    assert load_settings(str(tmp_path / "cohort.toml")) == SETTINGS


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(uninterrupted, tmp_path) -> None:
    told = []
    run = simulate_cohort(
        SETTINGS,
        N,
        tmp_path,
        jobs=2,
        simulate=small_case,
        dicom=True,
        progress=lambda done, missing: told.append((done, missing)),
    )
    assert files_of(tmp_path) == uninterrupted
    assert told == [(done, N) for done in range(N + 1)]
    assert len(run.made_cases) == N


def test_cases_can_be_made_in_parts_and_exported_later(uninterrupted, tmp_path) -> None:
    simulate_cohort(SETTINGS, 3, tmp_path, first=4, simulate=small_case)
    assert Cohort.open(tmp_path).names == tuple(f"small-{index:06d}" for index in (4, 5, 6))
    run = simulate_cohort(SETTINGS, N, tmp_path, simulate=small_case, dicom=True)
    assert len(run.made_cases) == N, "all of them lacked their DICOM files"
    assert files_of(tmp_path) == uninterrupted
    again = simulate_cohort(SETTINGS, N, tmp_path, simulate=small_case, dicom=True)
    assert (again.made_cases, len(again.already)) == ((), N)
    assert files_of(tmp_path) == uninterrupted


def begun(folder: Path, jobs: int) -> subprocess.Popen:
    places = [str(Path(small_cases.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "support.kill_me", str(folder), str(N), str(jobs)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def n_cases(folder: Path) -> int:
    return len(list((folder / "cases").glob("[!.]*")))


def wait_for_another_case(run: subprocess.Popen, folder: Path) -> None:
    there, until = n_cases(folder), time.monotonic() + 60
    while n_cases(folder) == there and run.poll() is None:
        assert time.monotonic() < until, "no case within a minute"
        time.sleep(0.01)


def alive(session: int) -> list[int]:
    """Processes of a session, from the kernel's table."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize(("sign", "jobs", "times"), [(signal.SIGKILL, 2, 3), (signal.SIGINT, 1, 1)])
@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_bytes(sign, jobs, times, uninterrupted, tmp_path) -> None:
    folder = tmp_path / "small"
    for k in range(times):
        run = begun(folder, jobs)
        wait_for_another_case(run, folder)
        time.sleep(0.1 * k)  # never at the same moment
        os.kill(run.pid, sign)
        run.communicate()
        assert run.returncode != 0
        until = time.monotonic() + 20
        while alive(run.pid):
            assert time.monotonic() < until, "a worker outlives the run that began it"
            time.sleep(0.02)
    assert 0 < n_cases(folder) < N
    (folder / "cases" / ".mureg-00000000-small-000006").mkdir()
    (folder / ".mureg-00000000-card.png").touch()
    run = begun(folder, jobs)
    _, said = run.communicate()
    assert run.returncode == 0, said.decode()
    assert files_of(folder) == uninterrupted


@pytest.fixture(scope="module")
def failing(tmp_path_factory) -> CohortRun:
    """A run in which two of seven cases failed."""
    folder = tmp_path_factory.mktemp("failing")
    return simulate_cohort(SETTINGS, N, folder, jobs=2, simulate=small_cases.case_with_failures)


class TestFailures:
    def test_a_failing_case_is_told_and_stops_no_other(self, failing) -> None:
        assert [(one.name, one.problem) for one in failing.failed] == [
            ("small-000002", "a heart outside the field; expected a heart in the field; draw another body."),
            ("small-000005", "ZeroDivisionError: by nothing"),
        ]
        assert len(failing.made_cases) == N - 2

    def test_the_card_names_it(self, failing) -> None:
        page = failing.card.read_text()
        assert "2 failed" in page
        assert "| small-000002 | a heart outside the field;" in page

    def test_only_the_failed_ones_are_tried_again(self, failing, uninterrupted) -> None:
        again = simulate_cohort(SETTINGS, N, failing.output, simulate=small_case, dicom=False)
        assert again.made_cases == ("small-000002", "small-000005")
        assert {name for name in uninterrupted if "dicom/" not in name} == set(files_of(failing.output))

    def test_a_case_that_kills_its_process_is_found_and_the_others_are_made(self, tmp_path) -> None:
        run = simulate_cohort(SETTINGS, N, tmp_path, jobs=2, simulate=small_cases.case_that_kills)
        assert [one.name for one in run.failed] == ["small-000003"]
        assert "the process ended unexpectedly" in run.failed[0].problem
        assert len(run.made_cases) == N - 1


class TestRefusals:
    def test_another_cohort_in_the_folder(self, tmp_path) -> None:
        begin(SETTINGS, 1, tmp_path, None)
        before = files_of(tmp_path)
        for changes, words in (
            ({"seed": 5}, r"with seed = \d+; expected seed = 5"),
            ({"voxel_mm": 5.0}, r"with voxel_mm = 5\.1; expected voxel_mm = 5\.0; choose another output"),
        ):
            with pytest.raises(UsageError, match=words):
                simulate_cohort(small_settings(**changes), 1, tmp_path, simulate=small_case)
        assert {name: data for name, data in files_of(tmp_path).items() if name in before} == before
        assert not (tmp_path / "cases").exists()

    def test_another_version(self, tmp_path, monkeypatch) -> None:
        begin(SETTINGS, 1, tmp_path, None)
        monkeypatch.setattr("mureg.cohort.record.__version__", "9.9")
        with pytest.raises(UsageError, match=r"expected mureg = '9\.9'"):
            begin(SETTINGS, 1, tmp_path, None)

    def test_other_cts(self, tmp_path) -> None:
        cts, output = tmp_path / "cts", tmp_path / "out"
        cts.mkdir()
        with pytest.raises(UsageError, match="no files in cts"):
            begin(SETTINGS, 1, output, cts)
        (cts / "a.nii.gz").write_bytes(b"1")
        begin(SETTINGS, 1, output, cts)
        (cts / "b.nii.gz").write_bytes(b"1")
        with pytest.raises(UsageError, match=r"ct\.files = 1; expected ct\.files = 2"):
            begin(SETTINGS, 1, output, cts)

    def test_a_record_that_is_damaged(self, tmp_path) -> None:
        begin(SETTINGS, 1, tmp_path, None)
        (tmp_path / "run.toml").write_text("=")
        with pytest.raises(UnreadableInputError, match=r"run\.toml cannot be read"):
            begin(SETTINGS, 1, tmp_path, None)

    def test_another_run_at_work(self, tmp_path) -> None:
        """A run in another process holds the folder; the second is told who."""
        run = begun(tmp_path / "small", 1)
        wait_for_another_case(run, tmp_path / "small")
        try:
            with pytest.raises(UsageError, match=f"{run.pid}"):
                simulate_cohort(SETTINGS, 1, tmp_path / "small", simulate=small_case)
        finally:
            run.kill()
            run.communicate()

    def test_a_folder_that_cannot_be_made(self, tmp_path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="a writable folder"):
            simulate_cohort(SETTINGS, 1, tmp_path / "file" / "cohort", simulate=small_case)

    @pytest.mark.parametrize("asked", [{"n": 0}, {"first": -1}, {"jobs": 0}, {"jobs": 2, "scheduler": "tcp://x"}])
    def test_numbers_that_make_no_sense(self, asked, tmp_path) -> None:
        with pytest.raises(UsageError):
            simulate_cohort(SETTINGS, **{"n": 1, "output": tmp_path, "simulate": small_case, **asked})
        assert files_of(tmp_path) == {}


def test_a_larger_cohort_takes_over_the_cases_of_a_smaller_one(tmp_path) -> None:
    assert begin(SETTINGS, 5, tmp_path, None) == 5
    assert begin(SETTINGS, 9, tmp_path, None) == 9
    assert begin(SETTINGS, 5, tmp_path, None) == 9
