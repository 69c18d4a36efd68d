"""Whatever happens to a study or to the run itself, every other study is done once and the summary is the same."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import support
from mureg.errors import UnreadableInputError, UsageError
from mureg.io.atomic import claimed
from mureg.io.pair import Pair
from mureg.report.batch.page import COLUMNS, TIMES, as_page
from mureg.report.batch.rows import rows_of
from mureg.report.batch.run import as_settings, plan, run_batch
from support.small_batch import Pretend, pairs, write_result

SETTINGS = {"a": 1, "algorithms": {"osem": {"iterations": 4}}}
N = 6
FINE = Pretend()
WRONG = (("s01", "refused"), ("s02", "unreadable"), ("s04", "bug"))


def batch(base: Path, pretend: Pretend = FINE, *, n: int = N, settings=SETTINGS, **options):
    return run_batch(plan(pairs(base, n), base / "out", settings), pretend, **options)


def summary(folder: Path) -> tuple[list[list[str]], bytes]:
    """The table without its times, and the page."""
    with (folder / "summary.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    kept = [k for k, name in enumerate(lines[0]) if name not in TIMES]
    return [[line[k] for k in kept] for line in lines], (folder / "summary.html").read_bytes()


def times(folder: Path) -> dict[str, int]:
    """When each study's folder came to be."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "studies").iterdir()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """A batch with three failures, done in one go by one process."""
    base = tmp_path_factory.mktemp("batch")
    run = batch(base, Pretend(WRONG))
    assert (run.made, run.already, len(run.failed)) == (3, 0, 3)
    return base / "out"


def test_a_failing_study_stops_no_other_and_says_why(uninterrupted) -> None:
    studies = uninterrupted / "studies"
    assert {path.name for path in studies.iterdir()} == {f"s{k:02d}" for k in range(N)}
    for name, code, said in (
        ("s01", 3, "a map that fits nowhere; expected a heart in the lung's hollow; look at the inputs."),
        ("s02", 4, "a gap after slice 41; expected equal steps; export the complete series."),
        ("s04", 1, "ZeroDivisionError: by nothing"),
    ):
        assert [path.name for path in (studies / name).iterdir()] == ["failure.json"], "no half result"
        failure = json.loads((studies / name / "failure.json").read_text())
        assert (failure["exit_code"], failure["problem"]) == (code, said)


def test_the_table_has_the_worst_first(uninterrupted) -> None:
    (columns, *lines), _ = summary(uninterrupted)
    assert columns == [name for name in COLUMNS if name not in TIMES]
    # hearts move by 5 k mm; study k is aligned, corrected, review for k = 0, 1, 2 and so on
    assert [(line[0], line[1]) for line in lines] == [
        ("s02", "failed"), ("s04", "failed"), ("s01", "refused"), ("s05", "review"), ("s03", "aligned"),
        ("s00", "aligned"),
    ]  # fmt: skip
    named = dict(zip(columns, lines[3], strict=True))
    assert named["heart_shift_mm"] == "25.0"
    assert (named["heart_interval_90_mm"], named["interval_calibrated"]) == ("2.0", "yes")
    assert (named["changed_segments"], named["warnings"], named["folder"]) == ("7 10", "one | two", "studies/s05")


def test_the_page_needs_nothing_from_outside(uninterrupted) -> None:
    page = (uninterrupted / "summary.html").read_text()
    assert "study 5 &lt;&amp;&gt; as it is" in page, "what a file says is no markup"
    assert page.count("Research use only: not for diagnosis.") == 2
    assert page.count('src="data:image/jpeg;base64,') == 3
    links = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page)
    assert set(links) == {f"studies/s{k:02d}/{name}" for k, name in enumerate(
        ["qc.png", "failure.json", "failure.json", "qc.png", "failure.json", "qc.png"])}  # fmt: skip
    assert all((uninterrupted / link).exists() for link in links)
    assert (page.count("below 2.0 mm"), page.count("(not calibrated)")) == (2, 1)
    assert "<script" not in page
    assert "http" not in page
    assert page.index("s02") < page.index("s01") < page.index("s05") < page.index("s00")


def test_a_report_goes_before_the_picture(tmp_path) -> None:
    (pair,) = pairs(tmp_path, 1)
    folder = tmp_path / "out" / "studies" / "s00"
    folder.mkdir(parents=True)
    write_result("s00", folder)
    (folder / "study.json").write_text("{}")
    (row,) = rows_of([pair], tmp_path / "out")
    assert row.page == "qc.png"
    (folder / "report.html").touch()
    (row,) = rows_of([pair], tmp_path / "out")
    assert row.page == "report.html"
    (folder / "registration.json").write_text("[")
    (row,) = rows_of([pair], tmp_path / "out")
    assert (row.decision, row.exit_code) == ("failed", 4)


@pytest.mark.parametrize("found", [{}, {"decision": "moved", "perfusion": None, "interval_90": None, "reason": None}])
def test_what_a_result_does_not_say_is_left_blank(found, tmp_path) -> None:
    (pair,) = pairs(tmp_path, 1)
    folder = tmp_path / "out" / "studies" / "s00"
    folder.mkdir(parents=True)
    (folder / "registration.json").write_text(json.dumps(found))
    (folder / "study.json").write_text("{}")
    (row,) = rows_of([pair], tmp_path / "out")
    assert (row.heart_shift_mm, row.heart_interval_mm, row.mismatch_header, row.reason) == (None, None, None, "")
    assert not row.is_failed


def test_each_study_states_when_it_was_scanned_and_processed(tmp_path) -> None:
    two = pairs(tmp_path, 2)
    for pair in two:
        folder = tmp_path / "out" / "studies" / pair.name
        folder.mkdir(parents=True)
        write_result(pair.name, folder)
        (folder / "study.json").write_text("{}")
    path = folder / "registration.json"
    times = {"spect_acquired": "2021-07-16 09:31", "ct_acquired": None, "processed": "2031-05-06 07:08"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"study": {"label": "s01"} | times}))
    rows = rows_of(two, tmp_path / "out")
    assert [(row.spect_acquired, row.ct_acquired, row.processed) for row in sorted(rows, key=lambda r: r.study)] == [
        ("", "", ""), ("2021-07-16 09:31", "", "2031-05-06 07:08")
    ]  # fmt: skip
    page = as_page(rows, tmp_path / "out")
    assert page.count("SPECT 2021-07-16 09:31, CT time not stated; processed 2031-05-06 07:08") == 1
    assert page.count("; processed") == 1


def test_two_processes_say_the_same(uninterrupted, tmp_path) -> None:
    told = []
    batch(tmp_path, Pretend(WRONG), jobs=2, progress=lambda done, of: told.append((done, of)))
    assert summary(tmp_path / "out") == summary(uninterrupted)
    assert told == [(done, N) for done in range(N + 1)]


def test_nothing_that_is_finished_is_done_again(tmp_path) -> None:
    batch(tmp_path, Pretend(WRONG))
    before, said = times(tmp_path / "out"), summary(tmp_path / "out")
    again = batch(tmp_path, Pretend())
    assert (again.made, again.already, len(again.failed)) == (0, 3, 3)
    assert (times(tmp_path / "out"), summary(tmp_path / "out")) == (before, said)
    retried = batch(tmp_path, Pretend((("s02", "bug"),)), retry=True)
    assert (retried.made, retried.already, [row.study for row in retried.failed]) == (2, 3, ["s02"])
    after = times(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"s01", "s02", "s04"}
    assert [path.name for path in (tmp_path / "out/studies/s02").iterdir()] == ["failure.json"]
    assert not list((tmp_path / "out/studies/s01").glob("failure.json"))


def test_a_failure_belongs_to_its_files(tmp_path) -> None:
    """A study whose files were mended is done without being asked for."""
    batch(tmp_path, Pretend(WRONG))
    (tmp_path / "s02" / "ct" / "2.dcm").write_bytes(b"the missing slice")
    again = batch(tmp_path, Pretend())
    assert (again.made, again.already, [row.study for row in again.failed]) == (1, 3, ["s04", "s01"])


def test_a_process_that_is_killed_takes_only_its_study_with_it(tmp_path) -> None:
    run = batch(tmp_path, Pretend((("s03", "killed"),)), jobs=2)
    assert [row.study for row in run.failed] == ["s03"]
    assert run.made == N - 1
    assert "the process died, perhaps for want of memory" in run.failed[0].reason
    assert batch(tmp_path).made == 0, "it is remembered, too"


def test_what_could_not_be_paired_counts_as_failed(tmp_path) -> None:
    found = (*pairs(tmp_path, 2), Pair("s99", "folder s99", tmp_path, problem="two CTs; expected one.", exit_code=4))
    run = run_batch(plan(found, tmp_path / "out", {}), Pretend())
    assert (run.made, [(row.study, row.reason) for row in run.failed]) == (2, [("s99", "two CTs; expected one.")])
    assert not (tmp_path / "out" / "studies" / "s99").exists()


def test_a_list_may_grow(tmp_path) -> None:
    batch(tmp_path, n=2)
    run = batch(tmp_path, n=4)
    assert (run.made, run.already, len(run.rows)) == (2, 2, 4)


class TestRefusals:
    def refused(self, base: Path, said: str, error=UsageError, **options) -> None:
        before = {path: path.read_bytes() for path in (base / "out").rglob("*") if path.is_file()}
        with pytest.raises(error, match=said):
            batch(base, **options)
        assert {path: path.read_bytes() for path in (base / "out").rglob("*") if path.is_file()} == before

    def test_other_settings(self, tmp_path) -> None:
        batch(tmp_path, n=2)
        self.refused(
            tmp_path, r"out holds another batch, with osem\.iterations = 4; expected 5; choose another output",
            n=2, settings={"a": 1, "algorithms": {"osem": {"iterations": 5}}},
        )  # fmt: skip
        self.refused(tmp_path, r"with b = nothing; expected 2", n=2, settings={**SETTINGS, "b": 2})

    def test_another_version(self, tmp_path, monkeypatch) -> None:
        batch(tmp_path, n=2)
        monkeypatch.setattr("mureg.report.batch.folder.__version__", "9.9")
        self.refused(tmp_path, r"mureg = '.*'; expected '9\.9'", n=2)

    def test_a_study_was_taken_off_the_list(self, tmp_path) -> None:
        batch(tmp_path, n=3)
        self.refused(tmp_path, r"out holds a study 's02', which is not among the 2 asked for", n=2)

    def test_a_study_under_the_same_name_with_other_files(self, tmp_path) -> None:
        batch(tmp_path, n=2)
        (tmp_path / "s01" / "ct" / "2.dcm").write_bytes(b"another slice")
        self.refused(tmp_path, "out holds 's01' registered from other files", n=2)

    def test_a_folder_with_other_things(self, tmp_path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.doc").touch()
        self.refused(tmp_path, r"out holds other things \(thesis\.doc\) and no batch")

    def test_a_file_in_its_place(self, tmp_path) -> None:
        (tmp_path / "out").touch()
        self.refused(tmp_path, "cannot write into out")

    def test_another_run_at_work(self, tmp_path) -> None:
        batch(tmp_path, n=2)
        with claimed(tmp_path / "out"):
            self.refused(tmp_path, "another run is at work in out", n=2)

    @pytest.mark.parametrize("file", ["batch.json", "studies/s00/study.json"])
    def test_a_record_that_is_damaged(self, file, tmp_path) -> None:
        batch(tmp_path, n=2)
        (tmp_path / "out" / file).write_text("{")
        self.refused(tmp_path, f"{Path(file).name} cannot be read", UnreadableInputError, n=2)

    def test_jobs(self, tmp_path) -> None:
        for options, said in (({"jobs": 0}, "jobs = 0"), ({"jobs": 2, "scheduler": "tcp://x"}, "both jobs and a sch")):
            self.refused(tmp_path, said, **options)


def test_files_that_vanish_fail_their_study_alone(tmp_path) -> None:
    found = pairs(tmp_path, 3)
    planned = plan(found, tmp_path / "out", {})
    gone = plan((*found[:2], Pair("x", "line 9", tmp_path, tmp_path / "x.dcm", tmp_path)), tmp_path / "out", {})
    assert [bool(pair.problem) for pair in gone.pairs] == [False, False, True]
    assert [bool(pair.problem) for pair in planned.pairs] == [False] * 3


def test_settings_name_files_without_their_places() -> None:
    assert as_settings({"weights": Path("/home/somebody/a.safetensors"), "n": (1, 2)}) == {
        "weights": "a.safetensors",
        "n": [1, 2],
    }


def begun(base: Path, jobs: int) -> subprocess.Popen:
    places = [str(Path(support.__path__[0]).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "support.kill_batch", str(base), str(N), str(base / "out"), str(jobs)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finished(base: Path) -> set[str]:
    return {path.parent.name for path in (base / "out" / "studies").glob("[!.]*/*.json")}


def test_killed_again_and_again_it_says_the_same(tmp_path, tmp_path_factory) -> None:
    whole = tmp_path_factory.mktemp("whole")
    run_batch(plan(pairs(whole, N), whole / "out", {"a": 1}), Pretend((("s01", "bug"),)))
    for k in range(2):
        run, there, until = begun(tmp_path, 2), finished(tmp_path), time.monotonic() + 60
        while finished(tmp_path) == there and run.poll() is None:
            assert time.monotonic() < until, "no study within a minute"
            time.sleep(0.01)
        time.sleep(0.05 * k)  # never at the same moment
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    assert finished(tmp_path)
    (tmp_path / "out/studies/.s05.00000000.partial").mkdir(exist_ok=True)
    before = times(tmp_path / "out")
    run = begun(tmp_path, 1)
    _, said = run.communicate()
    assert run.returncode == 0, said.decode()
    assert summary(tmp_path / "out") == summary(whole / "out")
    after = times(tmp_path / "out")
    assert {name: after[name] for name in before if not name.startswith(".")} == {
        name: time for name, time in before.items() if not name.startswith(".")
    }
    assert not list((tmp_path / "out" / "studies").glob(".*"))
