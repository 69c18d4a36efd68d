"""mureg simulate and mureg export as a user types them; the cases themselves are small ones without physics."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

from mureg.cli import main
from mureg.cohort import run as runner
from mureg.cohort.settings import as_toml
from mureg.cohort.store.cohort import CASES, read_case, write_case
from mureg.io import read_study
from support import small_cases
from support.small_cases import files_of, small_settings


@pytest.fixture
def settings(tmp_path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(as_toml(small_settings()))
    return str(path)


def simulated_by(simulate, monkeypatch) -> None:
    """Let the command make cases by another function than the real one."""
    whole = runner.simulate_cohort
    monkeypatch.setattr(runner, "simulate_cohort", lambda *a, **options: whole(*a, **options, simulate=simulate))


def test_a_cohort_is_made_exported_and_read(settings, tmp_path, capsys, monkeypatch) -> None:
    simulated_by(small_cases.small_case, monkeypatch)
    out = tmp_path / "cohort"
    assert main(["simulate", "--cohort", settings, "--n", "2", "-o", str(out), "--dicom"]) == 0
    said, err = capsys.readouterr()
    # no progress bar where there is no terminal; one line a minute on a slow machine
    assert all(re.fullmatch(r"mureg: .* \(\d+ min\)", line) for line in err.splitlines())
    for words in ("2 cases, 0 done before, 0 failed", "s a case", str(out), "card.md"):
        assert words in said
    case = read_case(out / CASES / "small-000001")
    study = read_study(out / "dicom" / case.name / "spect.dcm", ct=out / "dicom" / case.name / "ct")
    np.testing.assert_array_equal(study.spect.counts, case.study.spect.counts)

    assert main(["export", str(out / CASES / case.name), "-o", str(tmp_path / "one"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["case"], told["patient"]) == (case.name, "patient-0000")
    assert files_of(tmp_path / "one") == files_of(out / "dicom" / case.name)


def test_some_failed(settings, tmp_path, capsys, monkeypatch) -> None:
    simulated_by(small_cases.case_with_failures, monkeypatch)
    command = ["simulate", "--cohort", settings, "--n", "4", "-o", str(tmp_path / "cohort")]
    assert main(command) == 5
    assert "failed     small-000002: a heart outside the field" in capsys.readouterr().out
    assert main([*command, "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert (told["made"], told["already"]) == (0, 3)
    assert told["failed"][0]["case"] == "small-000002"


def test_stopped_by_the_user(settings, tmp_path, capsys, monkeypatch) -> None:
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "simulate_cohort", stopped)
    assert main(["simulate", "--cohort", settings, "-o", str(tmp_path / "cohort")]) == 130
    assert "finished cases are kept" in capsys.readouterr().err


def refusal(capsys, *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    return code, err


class TestRefusals:
    def test_no_such_cohort(self, tmp_path, capsys) -> None:
        code, said = refusal(capsys, "simulate", "--cohort", "impossible", "-o", str(tmp_path / "out"))
        assert code == 2
        assert "clinical" in said
        assert not (tmp_path / "out").exists()

    def test_a_cluster_without_dask(self, settings, tmp_path, capsys, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        arguments = ["--cohort", settings, "-o", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"]
        code, said = refusal(capsys, "simulate", *arguments)
        assert code == 2
        assert "pip install mureg[cluster]" in said

    @pytest.mark.parametrize("shares", [("0.5", "0.5", "0.5"), ("1.2", "-0.2", "0")])
    def test_shares_that_are_none(self, shares, settings, tmp_path, capsys) -> None:
        out = str(tmp_path / "out")
        code, said = refusal(capsys, "simulate", "--cohort", settings, "-o", out, "--shares", *shares)
        assert code == 2
        assert "add up to 1" in said
        assert not (tmp_path / "out").exists()

    def test_no_case_to_export(self, tmp_path, capsys) -> None:
        code, said = refusal(capsys, "export", str(tmp_path / "none"), "-o", str(tmp_path / "out"))
        assert code == 4
        assert "no case in" in said

    def test_export_into_what_is_there(self, tmp_path, capsys) -> None:
        case = small_cases.small_case(small_settings(), 0)
        folder = write_case(case, tmp_path / case.name)
        assert refusal(capsys, "export", str(folder), "-o", str(tmp_path))[0] == 2


def test_a_terminal_shows_how_far_it_is(settings, tmp_path) -> None:
    """The bar, seen by a program that believes it has a terminal."""
    code = (
        "from mureg.cli.messages import Messages\n"
        "from mureg.cli.progress import counting\n"
        "import sys, time\n"
        "with counting(Messages(), 'simulating', with_rate=True) as report:\n"
        "    for done in range(6):\n"
        "        report(done, 5)\n"
        "        time.sleep(0.3)\n"
    )
    master, slave = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stderr=slave, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(slave)
        seen = b""
        while chunk := _read(master):
            seen += chunk
    os.close(master)
    assert process.returncode == 0
    assert b"3/5" in seen
    assert b"cases/s" in seen
    assert b"0:00:0" in seen, "time left"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is gone
        return b""


def test_help_and_overview_name_the_verbs(capsys) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    for words in ("simulate", "export", "5 some of a batch failed"):
        assert words in overview
    with pytest.raises(SystemExit) as left:
        main(["simulate", "--help"])
    assert left.value.code == 0
    assert "--ct-folder" in capsys.readouterr().out
