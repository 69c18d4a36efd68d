"""--quiet, --verbose, --log and progress off a terminal: what is printed where, and never a patient's name."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import time
from pathlib import Path

import pydicom
import pytest

from mureg.cli import main, progress
from mureg.cli.messages import Messages
from mureg.jobs.cores import set_thread_count
from mureg.sample import sample_folder
from support.dicom_study import study

NAMES = ("Doe", "DOE", "Jane", "JANE", "4711")
QUICK = ("--registrar", "mutual-information", "--set", "registrar.starts=1", "--no-reconstruction", "--threads", "1")


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Path:
    """A study whose folder, file names and headers all name the patient."""
    place = study(tmp_path_factory.mktemp("in") / "DOE_JANE")
    (place / "spect.dcm").rename(place / "Doe-Jane.dcm")
    for file in place.rglob("*.dcm"):
        with pydicom.dcmread(file) as header:
            header.PatientName, header.PatientID = "Doe^Jane", "4711"
            header.SeriesDescription = "heart of Jane Doe"
            header.save_as(file)
    return place


def test_a_log_has_steps_and_decision_and_no_patient_name(patient: Path, tmp_path: Path, capsys) -> None:
    log = tmp_path / "run.log"
    arguments = ("--spect", str(patient / "Doe-Jane.dcm"), "--ct", str(patient / "ct"), "-o", str(tmp_path / "DOE"))
    assert main(["register", *arguments, *QUICK, "--log", str(log), "--verbose"]) == 0
    out, err = capsys.readouterr()
    text = log.read_text("utf-8")
    for word in ("register", "reading", "registration", "decision: ", "writing", "ended with exit code 0"):
        assert word in text, word
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text, re.MULTILINE)
    assert "decision: " + json.loads((tmp_path / "DOE" / "registration.json").read_text())["decision"] in text
    assert not [name for name in NAMES if name in text]
    assert not [name for name in NAMES if name in err]
    assert "registration" in err
    assert "results in" in out


def test_a_log_of_refusals_has_no_patient_name(patient: Path, tmp_path: Path, capsys) -> None:
    """A missing file, an unreadable one and a wrong option: the sentence names the file, the log does not."""
    log = tmp_path / "run.log"
    (tmp_path / "Jane.dcm").write_bytes(b"no image")
    for spect, code in ((tmp_path / "DOE_JANE.dcm", 4), (tmp_path / "Jane.dcm", 4)):
        arguments = ("--spect", str(spect), "--ct", str(patient / "ct"), "-o", str(tmp_path / "out"), "--log", str(log))
        assert main(["register", *arguments]) == code
        assert spect.name in capsys.readouterr().err
    assert main(["inspect", str(patient), "--log", str(log)]) == 0
    assert "Jane" in capsys.readouterr().out, "the description of a series is shown"
    text = log.read_text("utf-8")
    assert text.count("refused: UnreadableInputError in ") == 2
    assert text.count("ended with exit code") == 3, "one file takes several runs"
    assert not [name for name in NAMES if name in text]


def test_a_fault_is_noted_by_its_place_alone(tmp_path: Path, monkeypatch) -> None:
    def fails(_path: Path) -> None:
        raise ZeroDivisionError("JANE DOE")

    monkeypatch.setattr("mureg.cli.inspect.inspect", fails)
    with pytest.raises(ZeroDivisionError):
        main(["inspect", str(sample_folder()), "--log", str(tmp_path / "run.log")])
    text = (tmp_path / "run.log").read_text("utf-8")
    assert re.search(r"fault in mureg: ZeroDivisionError in .*cli/inspect\.py:\d+", text)
    assert "JANE" not in text
    assert "ended with exit code 1" in text


def test_quiet_prints_nothing_but_errors(tmp_path: Path, capsys) -> None:
    spect = str(sample_folder() / "spect.dcm")
    assert main(["inspect", spect, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["inspect", spect, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["inspect", str(tmp_path / "none"), "--quiet"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_a_log_never_harms_a_file(tmp_path: Path, capsys) -> None:
    """A file that mureg did not begin as a log, an input, a place inside an input and one inside the output."""
    spect = tmp_path / "in" / "spect.dcm"
    spect.parent.mkdir()
    shutil.copy(sample_folder() / "spect.dcm", spect)
    (tmp_path / "mine.txt").write_text("mine\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for log in (tmp_path / "mine.txt", spect, spect.parent / "new.log", tmp_path / "out" / "new.log"):
        arguments = ("--spect", str(spect.parent), "--ct", str(spect.parent), "-o", str(tmp_path / "out"))
        assert main(["register", *arguments, "--log", str(log)]) == 2, log
        assert "--log" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_second_run_closes_the_log_of_the_first(tmp_path: Path) -> None:
    spect = str(sample_folder() / "spect.dcm")
    for name in ("one.log", "two.log"):
        assert main(["inspect", spect, "--quiet", "--log", str(tmp_path / name)]) == 0
    for name in ("one.log", "two.log"):
        assert (tmp_path / name).read_text("utf-8").count("ended with exit code 0") == 1
    assert not logging.getLogger("mureg").handlers


def test_long_work_prints_a_line_a_minute_without_a_terminal(monkeypatch, capsys) -> None:
    assert progress.MINUTE_S == 60.0
    monkeypatch.setattr(progress, "MINUTE_S", 0.05)
    with progress.progress(Messages(json=True)) as step:
        step("registration")
        time.sleep(0.4)
    with progress.counting(Messages(), "registering") as count:
        count(3, 20)
        time.sleep(0.4)
    out, err = capsys.readouterr()
    assert out == ""
    assert "mureg: registration (0 min)" in err.splitlines()
    assert "mureg: registering: 3 of 20 done (0 min)" in err.splitlines()
    with progress.progress(Messages(quiet=True)) as step:
        step("registration")
        time.sleep(0.2)
    assert capsys.readouterr() == ("", "")


def test_short_work_prints_no_progress_without_a_terminal(monkeypatch) -> None:
    """Also where standard error is a file."""
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    with progress.progress(Messages()) as step:
        step("registration")
    assert stream.getvalue() == ""
