"""Which results a review is about, how readers differ, and what is left of an accept that was killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from mureg.cli import main as command_line
from mureg.errors import UnreadableInputError, UsageError
from mureg.files.marker import foreign_files, read_marker
from mureg.geometry import RigidTransform
from mureg.jobs.cores import set_thread_count
from mureg.sample import sample_folder
from mureg.service.review.decide import DecisionRequest, place_of_result, record
from mureg.service.review.desk import Desk
from mureg.service.review.studies import results_at
from mureg.service.review.table import PROGRAM, differences
from mureg.service.review.verify import problems_of
from mureg.service.trail import Trail
from support.hearts import CENTRE_MM
from support.reviewed import POSE, write_result


def moved(shift_mm) -> RigidTransform:
    """The pose found, with the map's anatomy shifted."""
    back = np.eye(4)
    back[:3, 3] = -np.asarray(shift_mm)
    return RigidTransform(POSE.matrix @ back)


def own(pose: RigidTransform, reader: str, seen: int = 0) -> DecisionRequest:
    return DecisionRequest("own", reader, seen, tuple(float(value) for value in pose.matrix.ravel()))


def test_batches_single_results_and_folders_of_results_are_found_worst_first(tmp_path) -> None:
    for number, name in enumerate(("small", "large")):
        pose = RigidTransform.from_six((10.0 + 30 * number, 0, 0), (0, 0, 0), CENTRE_MM)
        write_result(tmp_path / "batch" / "studies" / name, pose)
    single = write_result(tmp_path / "single")
    table = json.loads((single / "registration.json").read_text())
    (single / "registration.json").write_text(json.dumps(table | {"decision": "aligned"}))
    shutil.copytree(single, single / "reviewed")
    assert [study.name for study in results_at([tmp_path / "batch", single])] == ["large", "small", "single"]
    assert {study.name for study in results_at([tmp_path])} == {"single"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no result in empty"):
        results_at([tmp_path / "empty"])
    (single / "registration.json").write_text(json.dumps({"decision": "moved"}))
    with pytest.raises(UnreadableInputError, match="lacks what a review needs"):
        results_at([single])


def test_readers_and_program_are_compared_at_the_heart(tmp_path) -> None:
    """Two readers shift the map by known amounts; mean, SD and limits of agreement are those of the shifts."""
    shifts = {
        "A": [(1.0, 2.0, -3.0), (3.0, 0.0, 1.0), (2.0, 4.0, 5.0)],
        "B": [(0.0, 2.0, -3.0), (1.0, 0.0, 1.0), (0.0, 0.0, 0.0)],
    }
    for number in range(3):
        write_result(tmp_path / "batch" / "studies" / f"s{number}", sources=f"{number}{number}")
    studies, trail = results_at([tmp_path / "batch"]), Trail(tmp_path / "t.sqlite")
    by_name = {study.name: study for study in studies}
    for reader, each in shifts.items():
        for number, shift in enumerate(each):
            seen = next((r.number for r in reversed(trail.rows()) if r.entry.study == f"s{number}"), 0)
            record(by_name[f"s{number}"], trail, own(moved(shift), reader, seen), blinded=True)
    table = differences(studies, trail)
    pairs = {(pair["first"], pair["second"]): pair for pair in table["pairs"]}
    for pair, values in ((("A", PROGRAM), np.array(shifts["A"])), (("A", "B"), np.array(shifts["A"]) - shifts["B"])):
        for axis, name in enumerate(("left", "back", "head")):
            figures = pairs[pair]["axes"][name]
            assert figures["mean_mm"] == pytest.approx(values[:, axis].mean(), abs=1e-6)
            assert figures["sd_mm"] == pytest.approx(values[:, axis].std(ddof=1), abs=1e-6)
            high = values[:, axis].mean() + 1.96 * values[:, axis].std(ddof=1)
            assert figures["high_mm"] == pytest.approx(high, abs=1e-6)
        assert pairs[pair]["heart_mm"]["mean"] == pytest.approx(np.linalg.norm(values, axis=1).mean(), abs=1e-6)
    assert table["not_blinded"] == []


def write_reviewed(study, trail: Trail, row) -> None:
    """What an accept leaves: ``registration.json`` that states its row, and a row of the trail that it was written."""
    path = study.folder / "reviewed" / "registration.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"review": {"trail_number": row.number, "trail_sha256": row.sha256}}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    trail.append(replace(row.entry, action="write", result=sha256))


def test_a_rejection_after_an_accept_is_told_everywhere_and_removes_nothing(tmp_path, capsys) -> None:
    folder = write_result(tmp_path / "one")
    trail = Trail(tmp_path / "t.sqlite")
    (study,) = results_at([folder])
    verify = ["review", str(folder), "--trail", str(trail.path), "--verify"]
    write_reviewed(study, trail, record(study, trail, own(moved((3.0, 0, 0)), "AB"), blinded=False))
    desk = Desk([study], trail, "CD")
    assert command_line(verify) == 0
    assert "note" not in capsys.readouterr().out
    assert desk.state(0)["written"] is True
    assert desk.worklist()[0]["superseded"] == ""
    before = (folder / "reviewed" / "registration.json").read_bytes()
    desk.decide(0, DecisionRequest("rejected", "CD", 1, comment="liver beside the wall"))
    assert command_line(verify) == 0, "the trail is whole"
    lines = capsys.readouterr().out
    for words in (desk.state(0)["superseded"], desk.worklist()[0]["superseded"], lines):
        assert "reviewed/ holds an earlier result (own pose accepted by AB)" in words
        assert f"rejected by CD at {trail.rows()[-1].entry.utc}" in words
    assert desk.state(0)["written"] is False
    assert (folder / "reviewed" / "registration.json").read_bytes() == before
    hidden = Desk([study], trail, "EF", blinded=True)
    assert hidden.state(0)["superseded"] == hidden.worklist()[0]["superseded"] == "", "a blinded reader learns nothing"
    shutil.rmtree(folder / "reviewed")
    assert desk.state(0)["superseded"] == ""


@pytest.mark.skipif(os.name != "posix", reason="links need rights on other systems")
@pytest.mark.parametrize("target", ["other", "one", "nowhere"])
def test_a_link_in_place_of_the_reviewed_result_is_never_followed(tmp_path, target) -> None:
    """Else an accept would replace the result of another study."""
    (study,) = results_at([write_result(tmp_path / "one")])
    write_result(tmp_path / "other")
    (study.folder / "reviewed").symlink_to(tmp_path / target)
    with pytest.raises(UsageError, match="link"):
        place_of_result(study)
    (study.folder / "reviewed").unlink()
    assert place_of_result(study) == study.folder / "reviewed"
    shutil.copytree(tmp_path / "other", study.folder / "reviewed")
    with pytest.raises(UsageError, match="no reader accepted"):
        place_of_result(study)


ACCEPT = """
import sys
from pathlib import Path
from mureg.cli import keep_out_of_home
from mureg.io.worklist.find import find_pairs
from mureg.service.review.bench import Bench
from mureg.service.review.decide import DecisionRequest, record, write_result
from mureg.service.review.studies import results_at
from mureg.service.trail import Trail
folder = Path(sys.argv[1])
(study,) = results_at([folder / "all"], find_pairs(folder / "list.csv"))
trail = Trail(folder / "t.sqlite")
bench = Bench(study)
bench.prepared()
print("begun", flush=True)
last = trail.decisions().get(study.key)
row = record(study, trail, DecisionRequest("scanner", "AB", 0 if last is None else last.number), blinded=False)
write_result(bench, row, trail)
print("written", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal of POSIX systems")
def test_an_accept_that_is_killed_leaves_a_whole_trail_and_whole_results(tmp_path) -> None:
    """Twenty kills at random moments, from before the decision to after the result; MUREG_KILLS sets another number."""
    spect, ct = sample_folder() / "spect.dcm", sample_folder() / "ct"
    quick = ["--threads", "1", "--set", "reconstructor.iterations=1", "--set", "physics.scatter=none"]
    folder = tmp_path / "all" / "p1"
    inputs = ["--spect", str(spect), "--ct", str(ct), "-o", str(folder)]
    assert command_line(["register", *inputs, "--nudge", "9 mm left", *quick]) == 0
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    (tmp_path / "list.csv").write_text(f"name,spect,ct\np1,{spect},{ct}\n")
    command = [sys.executable, "-c", ACCEPT, str(tmp_path)]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        begun = time.monotonic()
        assert process.stdout.readline() == "written\n"
        whole_s = time.monotonic() - begun
    assert begun > started
    chance, trail = random.Random(3), Trail(tmp_path / "t.sqlite")
    for _ in range(int(os.environ.get("MUREG_KILLS", "20"))):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0.0, 1.1 * whole_s))
            process.send_signal(signal.SIGKILL)
        assert trail.problems() == ()
        reviewed = folder / "reviewed"
        table = json.loads((reviewed / "registration.json").read_text())
        marker = read_marker(reviewed)
        assert marker is not None
        assert list(foreign_files(reviewed, marker)) == [], "every file is there as it was written"
        assert set(marker.files) >= {"registration.json", "report.html", "spect_ac.nii.gz", "ct_from_spect.tfm"}
        assert table["review"]["trail_sha256"] in {row.sha256 for row in trail.rows()}
        assert problems_of(results_at([tmp_path / "all"]), trail) == ()
