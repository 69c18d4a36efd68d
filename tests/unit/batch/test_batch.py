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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import support
from mureg.batch.folder import RUN
from mureg.batch.page import COLUMNS, TIMES, as_page, write_summary
from mureg.batch.rows import rows_of
from mureg.batch.run import as_settings, plan, run_batch
from mureg.errors import UsageError
from mureg.files.atomic import writing_folder
from mureg.files.output import claimed
from mureg.io.worklist.entry import WorklistEntry, patient_key
from support.small_batch import Pretend, pairs, write_result

pytestmark = pytest.mark.usefixtures("forked_processes")

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
    assert (run.n_registered, run.already, len(run.failed)) == (3, 0, 3)
    return base / "out"


def write_folder_of(kind: str, folder: Path) -> None:
    with claimed(folder) as place, writing_folder(place, kind=kind) as new:
        (new / "registration.json").write_text("by hand")


def test_a_failing_study_stops_no_other_and_says_why(uninterrupted) -> None:
    studies = uninterrupted / "studies"
    assert {path.name for path in studies.iterdir()} == {f"s{k:02d}" for k in range(N)}
    for name, code, said in (
        ("s01", 3, "a map that fits nowhere; expected a heart in the lung's hollow; check the inputs."),
        ("s02", 4, "a gap after slice 41; expected equal steps; export the complete series."),
        ("s04", 1, "ZeroDivisionError: by nothing"),
    ):
        assert {path.name for path in (studies / name).iterdir()} == {"failure.json", ".mureg"}, "no half result"
        failure = json.loads((studies / name / "failure.json").read_text())
        assert (failure["exit_code"], failure["problem"]) == (code, said)


def test_the_table_has_the_worst_first(uninterrupted) -> None:
    (columns, *lines), _ = summary(uninterrupted)
    assert columns == [name for name in COLUMNS if name not in TIMES]
    # hearts move by 5 k mm; study k is aligned, moved, review for k = 0, 1, 2 and so on
    assert [(line[0], line[1]) for line in lines] == [
        ("s02", "failed"), ("s04", "failed"), ("s01", "refused"), ("s05", "review"), ("s03", "aligned"),
        ("s00", "aligned"),
    ]  # fmt: skip
    named = dict(zip(columns, lines[3], strict=True))
    assert named["move_at_heart_mm"] == "25.0"
    assert (named["to_left_mm"], named["to_back_mm"], named["to_head_mm"]) == ("15.0", "-20.0", "0.0")
    assert (named["heart_interval_90_mm"], named["interval_calibrated"]) == ("2.0", "yes")
    assert (named["changed_segments"], named["warnings"], named["folder"]) == (
        "7 10",
        "one (changes the answer) | two (for the record)",
        "studies/s05",
    )


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
    assert (row.decision, row.reason) == ("failed", "no result; give the same command again.")


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


def test_results_of_the_first_version_are_still_read(tmp_path) -> None:
    """Version 0.1.0 wrote "corrected", warnings as plain sentences and the move under another name."""
    (pair,) = pairs(tmp_path, 1)
    folder = tmp_path / "out" / "studies" / "s00"
    folder.mkdir(parents=True)
    former = {"decision": "corrected", "shift_at_heart_mm": 9.6, "warnings": ["one"], "shift_mm": [1.0, 2.0, 3.0]}
    (folder / "registration.json").write_text(json.dumps(former))
    (folder / "study.json").write_text("{}")
    (row,) = rows_of([pair], tmp_path / "out")
    assert (row.decision, row.heart_shift_mm, row.warnings) == ("moved", 9.6, ("one",))


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


def test_a_pose_that_is_not_given_out_is_not_shown_as_a_move_of_the_map(tmp_path) -> None:
    """The map of such a study stays; mismatch, segments and error are those of the pose that was found."""
    found = {
        "decision": "review",
        "move_at_heart": {"rms_mm": 0.0, "mean_mm": {"left": 0.0, "back": 0.0, "head": 0.0}, "turn_deg": 0.0},
        "pose_found_given_out": False,
        "found": {"move_at_heart": {"rms_mm": 29.8}},
        "mismatch_percent": {"header": 8.5, "registered": 0.0},
        "interval_90": {"heart_mm": 15.4, "calibrated": True},
        "perfusion": {"changed": [4, 5]},
    }
    rows = []
    for pair, given_out in zip(pairs(tmp_path, 2), (False, True), strict=True):
        folder = tmp_path / "out" / "studies" / pair.name
        folder.mkdir(parents=True)
        (folder / "registration.json").write_text(json.dumps(found | {"pose_found_given_out": given_out}))
        (folder / "study.json").write_text("{}")
        rows += rows_of([pair], tmp_path / "out")
    assert [row.withheld for row in rows] == [True, False]
    withheld, given = (" ".join(as_page([row], tmp_path / "out").split()) for row in rows)
    shown = "<dt>pose found, not given out</dt><dd>29.8 mm at the heart</dd>"
    other = ("<dt>mismatch before, after</dt>", "<dt>changed segments</dt>")
    for page, is_withheld in ((withheld, True), (given, False)):
        assert (shown in page) == is_withheld
        assert [words in page for words in other] == [not is_withheld] * 2
        assert ("to the left, back, head" in page) != is_withheld
    assert "<dt>map moved at the heart</dt><dd>0.0 mm</dd>" in withheld
    columns, line, _ = list(csv.reader(write_summary(rows, tmp_path / "out")[0].read_text().splitlines()))
    assert line[columns.index("move_found_at_heart_mm")] == "29.8"


def test_two_processes_say_the_same(uninterrupted, tmp_path) -> None:
    told = []
    batch(tmp_path, Pretend(WRONG), jobs=2, progress=lambda done, of: told.append((done, of)))
    assert summary(tmp_path / "out") == summary(uninterrupted)
    assert told == [(done, N) for done in range(N + 1)]


def test_nothing_that_is_finished_is_done_again(tmp_path) -> None:
    batch(tmp_path, Pretend(WRONG))
    before, said = times(tmp_path / "out"), summary(tmp_path / "out")
    again = batch(tmp_path, Pretend())
    assert (again.n_registered, again.already, len(again.failed)) == (0, 3, 3)
    assert (times(tmp_path / "out"), summary(tmp_path / "out")) == (before, said)
    retried = batch(tmp_path, Pretend((("s02", "bug"),)), retry=True)
    assert (retried.n_registered, retried.already, [row.study for row in retried.failed]) == (2, 3, ["s02"])
    after = times(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"s01", "s02", "s04"}
    assert {path.name for path in (tmp_path / "out/studies/s02").iterdir()} == {"failure.json", ".mureg"}
    assert not list((tmp_path / "out/studies/s01").glob("failure.json"))


def test_a_failure_belongs_to_its_files(tmp_path) -> None:
    """A study whose files were mended is done without being asked for."""
    batch(tmp_path, Pretend(WRONG))
    (tmp_path / "s02" / "ct" / "2.dcm").write_bytes(b"the missing slice")
    again = batch(tmp_path, Pretend())
    assert (again.n_registered, again.already, [row.study for row in again.failed]) == (1, 3, ["s04", "s01"])


@pytest.mark.slow
def test_a_process_that_is_killed_takes_only_its_study_with_it(tmp_path) -> None:
    run = batch(tmp_path, Pretend((("s03", "killed"),)), jobs=2)
    assert [row.study for row in run.failed] == ["s03"]
    assert run.n_registered == N - 1
    assert "the process ended unexpectedly, perhaps because memory ran out" in run.failed[0].reason
    assert batch(tmp_path).n_registered == 0, "it is remembered, too"


def test_what_could_not_be_paired_counts_as_failed(tmp_path) -> None:
    found = (
        *pairs(tmp_path, 2),
        WorklistEntry("s99", "folder s99", tmp_path, problem="two CTs; expected one.", exit_code=4),
    )
    run = run_batch(plan(found, tmp_path / "out", {}), Pretend())
    assert (run.n_registered, [(row.study, row.reason) for row in run.failed]) == (
        2,
        [("s99", "two CTs; expected one.")],
    )
    assert not (tmp_path / "out" / "studies" / "s99").exists()


def test_a_list_may_grow(tmp_path) -> None:
    batch(tmp_path, n=2)
    run = batch(tmp_path, n=4)
    assert (run.n_registered, run.already, len(run.rows)) == (2, 2, 4)


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
        monkeypatch.setattr("mureg.batch.folder.__version__", "9.9")
        self.refused(tmp_path, r"mureg = '.*'; expected '9\.9'", n=2)

    def test_a_study_was_taken_off_the_list(self, tmp_path) -> None:
        batch(tmp_path, n=3)
        self.refused(tmp_path, r"out holds a study 's02', which is not among the 2 asked for", n=2)

    def test_a_folder_with_other_things(self, tmp_path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.doc").touch()
        self.refused(tmp_path, r"out holds other things \(thesis\.doc\) and no batch; expected a new or empty folder")

    def test_a_file_in_its_place(self, tmp_path) -> None:
        (tmp_path / "out").touch()
        self.refused(tmp_path, "cannot write into out")

    def test_another_run_at_work(self, tmp_path) -> None:
        batch(tmp_path, n=2)
        with RUN.claimed(tmp_path / "out"), ThreadPoolExecutor(1) as other:
            other.submit(self.refused, tmp_path, r"another run is at work in out \(process \d+ on ", n=2).result()

    def test_other_things_in_the_place_of_a_study(self, tmp_path) -> None:
        batch(tmp_path, n=1)
        (tmp_path / "out" / "studies" / "s01").mkdir()
        (tmp_path / "out" / "studies" / "s01" / "1.dcm").write_text("a source")
        self.refused(tmp_path, r"out/studies/s01 holds other things \(1\.dcm\)", n=2)

    def test_a_single_result_in_the_place_of_a_study(self, tmp_path) -> None:
        """It would stay for ever without a result, for a batch replaces its own studies alone."""
        batch(tmp_path, n=1)
        folder = tmp_path / "out" / "studies" / "s01"
        write_folder_of("registration", folder)
        self.refused(tmp_path, r"out/studies/s01 holds other things \(registration\.json\)", n=2)
        assert (folder / "registration.json").read_text() == "by hand"

    def test_an_output_among_the_studies(self, tmp_path) -> None:
        """What `mureg batch studies -o .` did: the results of a study took the place of its files."""
        (tmp_path / "studies").mkdir()
        found = pairs(tmp_path / "studies", 2)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        for output in (".", "studies", "studies/out", "studies/s00"):
            with pytest.raises(UsageError, match=r"(contains|is|lies inside) the input"):
                run_batch(plan(found, tmp_path / output, {}, [tmp_path / "studies"]), FINE)
        with pytest.raises(UsageError, match=r"contains the input spect\.dcm"):
            run_batch(plan(found, tmp_path, {}), FINE)
        with pytest.raises(UsageError, match="inside the input ct"):
            run_batch(plan(found, tmp_path / "studies" / "s01" / "ct" / "out", {}), FINE)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    def test_jobs(self, tmp_path) -> None:
        for options, said in (({"jobs": 0}, "jobs = 0"), ({"jobs": 2, "scheduler": "tcp://x"}, "both jobs and a sch")):
            self.refused(tmp_path, said, **options)


DAMAGES = {
    "study.json": "{",
    "registration.json": "[" * 100_000,
    "batch.json": '{"mureg": ' * 100_000,
    "failure.json": "\0",
}


def test_damaged_records_mean_that_their_study_is_done_again(tmp_path) -> None:
    batch(tmp_path, Pretend((("s05", "bug"),)))
    studies = tmp_path / "out" / "studies"
    (studies / "s02" / "notes.txt").write_text("mine")
    for name, text in DAMAGES.items():
        folder = {"study.json": studies / "s01", "registration.json": studies / "s02", "failure.json": studies / "s05"}
        (folder.get(name, tmp_path / "out") / name).write_text(text)
    (studies / "s03" / "study.json").unlink()
    (studies / "s04" / "registration.json").write_text('{"decision": "aligned", "move_at_heart": {"rms_mm": "far"}}')
    before = times(tmp_path / "out")
    again = batch(tmp_path)
    assert (again.n_registered, again.already, len(again.failed)) == (5, 1, 0)
    assert times(tmp_path / "out")["s00"] == before["s00"], "the others are not touched"
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["settings"] == SETTINGS
    assert (studies / "s02" / "notes.txt").read_text() == "mine"
    assert [path.name for path in studies.rglob("*.kept*")] == []
    (tmp_path / "out" / "batch.json").write_text("{")
    with pytest.raises(UsageError, match="registered with other settings"):
        batch(tmp_path, settings={"a": 2})


def test_an_input_that_was_replaced_is_noticed_and_a_copy_is_not(tmp_path) -> None:
    """Of the same name, size and even time; a copy has other times and the same bytes."""
    batch(tmp_path, n=3)
    before = times(tmp_path / "out")
    same, other = tmp_path / "s00" / "ct" / "1.dcm", tmp_path / "s01" / "ct" / "1.dcm"
    os.utime(same, ns=(1, 1))
    status = other.stat()
    other.write_bytes(b"x" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    planned = plan(_found(tmp_path, 3), tmp_path / "out", SETTINGS)
    assert planned.states() == ("done", "changed", "done")
    run = run_batch(planned, FINE)
    assert (run.n_registered, [(row.study, row.exit_code) for row in run.failed]) == (0, [("s01", 2)])
    assert "give --retry to register it again" in run.failed[0].reason
    assert times(tmp_path / "out") == before
    run = run_batch(planned, FINE, retry=True)
    assert (run.n_registered, run.failed) == (1, ())
    assert plan(_found(tmp_path, 3), tmp_path / "out", SETTINGS).states() == ("done", "done", "done")


def _found(base: Path, n: int) -> list[WorklistEntry]:
    return [
        WorklistEntry(f"s{k:02d}", f"line {k + 2}", base, base / f"s{k:02d}" / "spect.dcm", base / f"s{k:02d}" / "ct")
        for k in range(n)
    ]


def test_results_are_for_the_user_and_his_group_alone(uninterrupted) -> None:
    for path in (uninterrupted, *uninterrupted.rglob("*")):
        assert not path.stat().st_mode & 0o027, path


def test_a_pose_under_review_that_is_not_given_out_is_told_apart_from_the_move(tmp_path) -> None:
    """Bound, mismatch after and changed segments belong to the pose found; the map stayed where it was."""
    studies = pairs(tmp_path, 3)
    for pair, (released, found_mm) in zip(studies, [(True, 11.0), (False, 93.0), (False, 12.0)], strict=True):
        folder = tmp_path / "out" / "studies" / pair.name
        folder.mkdir(parents=True)
        move = {"rms_mm": found_mm if released else 0.0, "mean_mm": {}, "turn_deg": 0.0}
        said = {
            "decision": "review", "move_at_heart": move, "pose_found_given_out": released,
            "found": {"move_at_heart": {"rms_mm": found_mm}}, "interval_90": {"heart_mm": 9.0, "calibrated": "perhaps"},
            "mismatch_percent": {"header": 8.0, "registered": 0.0}, "perfusion": {"changed": [4]},
        }  # fmt: skip
        (folder / "registration.json").write_text(json.dumps(said))
        (folder / "study.json").write_text("{}")
    rows = rows_of(studies, tmp_path / "out")
    assert [row.study for row in rows] == ["s01", "s02", "s00"], "by what was found, whether it is given out or not"
    write_summary(rows, tmp_path / "out")
    (columns, *lines), _ = summary(tmp_path / "out")
    named = [dict(zip(columns, line, strict=True)) for line in lines]
    asked = ("move_at_heart_mm", "pose_found_given_out", "move_found_at_heart_mm", "interval_calibrated")
    assert [tuple(line[name] for name in asked) for line in named] == [
        ("0.0", "no", "93.0", ""), ("0.0", "no", "12.0", ""), ("11.0", "yes", "11.0", ""),
    ]  # fmt: skip
    page = (tmp_path / "out" / "summary.html").read_text()
    assert page.count("93.0 mm at the heart") == page.count("12.0 mm at the heart") == 1
    assert page.count("mismatch before, at the pose found") == page.count("changed segments at the pose found") == 2
    assert page.count("mismatch before, after") == 1


def test_a_summary_that_a_user_wrote_into_is_kept(tmp_path) -> None:
    batch(tmp_path)
    table = tmp_path / "out" / "summary.csv"
    table.write_text(table.read_text() + "a reader's remark\n")
    batch(tmp_path)
    assert "remark" in (tmp_path / "out" / "summary.kept.csv").read_text()
    assert "remark" not in table.read_text()
    assert [path.name for path in (tmp_path / "out").glob("*.kept*")] == ["summary.kept.csv"]


def test_a_cell_that_a_spreadsheet_would_run_is_made_harmless(tmp_path) -> None:
    (pair,) = pairs(tmp_path, 1)
    folder = tmp_path / "out" / "studies" / "s00"
    folder.mkdir(parents=True)
    move = {"mean_mm": {"left": -1.0, "back": 2.0, "head": 3.0}}
    said = {"reason": "=cmd|' /C calc'!A0", "warnings": ["@SUM(1)"], "move_at_heart": move}
    (folder / "registration.json").write_text(json.dumps(said))
    (folder / "study.json").write_text("{}")
    write_summary(rows_of([pair], tmp_path / "out"), tmp_path / "out")
    (columns, line), _ = summary(tmp_path / "out")
    named = dict(zip(columns, line, strict=True))
    assert (named["reason"], named["warnings"], named["to_left_mm"]) == ("'=cmd|' /C calc'!A0", "'@SUM(1)", "-1.0")


def test_files_that_vanish_fail_their_study_alone(tmp_path) -> None:
    found = pairs(tmp_path, 3)
    planned = plan(found, tmp_path / "out", {})
    gone = plan(
        (*found[:2], WorklistEntry("x", "line 9", tmp_path, tmp_path / "x.dcm", tmp_path)), tmp_path / "out", {}
    )
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


@pytest.mark.slow
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
    (tmp_path / "out/studies/.mureg-00000000-s05").mkdir(exist_ok=True)
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


def test_studies_of_one_patient_are_shown_side_by_side(tmp_path) -> None:
    """Where the worst of them stands; patients share a number that is no identifier, those with one study have none."""
    moves = {"s00": 1.0, "s01": 9.0, "s02": 5.0, "s03": 2.0, "s04": 7.0, "s05": 3.0}
    patients = {"s00": "anna", "s01": "anna", "s02": "berta", "s03": "carla", "s04": "carla", "s05": ""}
    found = []
    for pair in pairs(tmp_path, 6):
        key = patient_key(patients[pair.name])
        found.append(replace(pair, patient=key))
        folder = tmp_path / "out" / "studies" / pair.name
        folder.mkdir(parents=True)
        said = {"decision": "moved", "move_at_heart": {"rms_mm": moves[pair.name]}}
        (folder / "registration.json").write_text(json.dumps(said))
        (folder / "study.json").write_text("{}")
    rows = rows_of(found, tmp_path / "out")
    assert [row.study for row in rows] == ["s01", "s00", "s04", "s03", "s02", "s05"]
    assert [row.patient for row in rows] == ["1", "1", "2", "2", "", ""]
    assert [row.study for row in rows_of(found, tmp_path / "out", {"s03"})][:2] == ["s03", "s04"], "a changed one fails"
    table, page = write_summary(rows, tmp_path / "out")
    columns, *lines = summary(tmp_path / "out")[0]
    assert [line[columns.index("patient")] for line in lines] == ["1", "1", "2", "2", "", ""]
    words = page.read_text()
    assert words.count("<span>patient 1</span>") == words.count("<span>patient 2</span>") == 2
    assert not any(name and (name in words or name in table.read_text()) for name in patients.values())
