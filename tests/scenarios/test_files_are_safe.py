"""What an unlucky user does with outputs, verb by verb: nothing of his is lost, and each result is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mureg.cli import main
from mureg.sample import sample_folder
from support.tiny_cohort import tiny_cohort

SPECT, CT = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path) -> Path:
    """Sources of every kind in one folder, each a link to where it really lies."""
    (tmp_path / "real").mkdir()
    tiny_cohort(tmp_path / "real" / "cohort", 1)
    visit = tmp_path / "real" / "visit"
    (visit / "ct").mkdir(parents=True)
    (visit / "spect.dcm").write_bytes(Path(SPECT).read_bytes())
    for slice_ in Path(CT).iterdir():
        (visit / "ct" / slice_.name).write_bytes(slice_.read_bytes())
    (visit / "notes.txt").write_text("mine")
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits" / "A").symlink_to(visit)
    (tmp_path / "small.toml").write_text("")
    return tmp_path


VERBS = {
    "register": ["--spect", "{visit}", "--ct", "{visit}", "-o", "{out}", "--overwrite"],
    "reconstruct": ["--projections", "{visit}", "-o", "{out}/a.nii", "--overwrite"],
    "inspect": ["{visit}", "-o", "{out}/a.png", "--overwrite"],
    "batch": ["visits", "-o", "{out}"],
    "simulate": ["--cohort", "real-ct", "--ct-folder", "{visit}", "--n", "1", "-o", "{out}"],
    "evaluate": ["--cohort", "{cohort}", "-o", "{out}"],
    "train": ["small", "--cohort", "{cohort}", "-o", "{out}"],
    "finetune": ["--cohort", "{cohort}", "-o", "{out}"],
    "export": ["{cohort}/cases/tiny-000000", "-o", "{out}"],
}
FOLDERS = [verb for verb in VERBS if verb not in ("reconstruct", "inspect")]


def refused(verb: str, out: str, capsys) -> str:
    arguments = [a.format(out=out, visit="visits/A", cohort="real/cohort") for a in VERBS[verb]]
    code = main([verb, *arguments])
    err = capsys.readouterr().err
    assert code == 2, err
    assert len(err.strip().splitlines()) == 1, err
    return err


@pytest.mark.parametrize("verb", VERBS)
def test_an_output_inside_an_input_is_refused(verb, place, capsys, monkeypatch) -> None:
    monkeypatch.chdir(place)
    before = tree(place)
    source = "real/cohort" if verb in ("evaluate", "train", "finetune") else "real/visit"
    source = "real/cohort/cases/tiny-000000" if verb == "export" else source
    said = refused(verb, f"{source}/out", capsys)
    assert "lies inside the input" in said
    assert tree(place) == before


@pytest.mark.parametrize("verb", FOLDERS)
def test_an_output_that_holds_or_is_an_input_is_refused(verb, place, capsys, monkeypatch) -> None:
    monkeypatch.chdir(place)
    before = tree(place)
    for out in (".", "real"):
        assert "contains the input" in refused(verb, out, capsys)
    source = {"batch": "visits", "export": "real/cohort/cases/tiny-000000"}.get(verb, "real/visit")
    source = "real/cohort" if verb in ("evaluate", "train", "finetune") else source
    assert "is the input" in refused(verb, source, capsys)
    assert tree(place) == before


@pytest.mark.parametrize("verb", VERBS)
def test_what_mureg_did_not_write_is_not_written_over(verb, place, capsys, monkeypatch) -> None:
    monkeypatch.chdir(place)
    (place / "thesis").mkdir()
    for name in ("thesis.doc", "a.nii", "a.png", "summary.csv"):
        (place / "thesis" / name).write_text("mine")
    before = tree(place)
    refused(verb, "thesis", capsys)
    assert tree(place) == before


def test_demo_is_no_exception(place, capsys, monkeypatch) -> None:
    monkeypatch.chdir(place)
    assert main(["demo", "-o", "real", "--overwrite"]) == 2
    assert "holds other things" in capsys.readouterr().err
    assert main(["demo", "-o", str(sample_folder() / "out")]) == 2
    assert "lies inside the input" in capsys.readouterr().err


def test_inspect_draws_only_where_it_is_told_to(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", SPECT]) == 0
    assert "projections" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_request_to_end_is_handled_as_ctrl_c_is(tmp_path) -> None:
    """SIGTERM in the middle of the work: exit code 143, and nothing stays, temporary folders included."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "mureg.cli", "register", "--spect", SPECT, "--ct", CT, "-o", str(tmp_path / "out")]
    environment = {k: v for k, v in os.environ.items() if k != "MPLCONFIGDIR"} | {"TMPDIR": str(scratch)}
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not (tmp_path / ".mureg-lock-out").exists():
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    assert list(scratch.iterdir())
    time.sleep(0.5)
    run.send_signal(signal.SIGTERM)
    err = run.communicate(timeout=120)[1]
    assert run.returncode == 143, err
    assert err.strip() == "mureg: stopped; nothing was written."
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_temporary_folders_of_killed_processes_are_cleared_by_the_next(tmp_path) -> None:
    def run(end: str = "") -> list[Path]:
        code = "import os; from mureg.files.temporary import own_temporary_folder as own; own()\n" + end
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)})
        return list(tmp_path.iterdir())

    assert run() == []
    (left,) = run("os.kill(os.getpid(), 9)")
    assert run() == [left], "one so young may belong to a process that has only just begun"
    os.utime(left / ".mureg-lock", (0, 0))
    (tmp_path / "mureg-notes").mkdir()
    assert run() == [tmp_path / "mureg-notes"]
