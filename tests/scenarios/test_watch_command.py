"""``mureg watch``: what register makes of a study, also after the service was killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mureg.cli import main
from mureg.jobs.cores import set_thread_count
from support.dicom_study import study

QUICK = ["--fast", "--quiet-time", "0.5", "--every", "0.2", "--least-free", "0", "--once"]


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)


def test_it_gives_what_register_gives(tmp_path, capsys) -> None:
    source = study(tmp_path / "in" / "Miller")
    assert main(["watch", str(tmp_path / "in"), "-o", str(tmp_path / "store"), *QUICK, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["studies"]
    arguments = ["--spect", str(source / "spect.dcm"), "--ct", str(source / "ct"), "-o", str(tmp_path / "one")]
    assert main(["register", *arguments, "--fast", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    folder = tmp_path / "store" / "studies" / one["name"]
    assert one["decision"] == result["decision"]
    assert (folder / "ct_from_spect.tfm").read_bytes() == (tmp_path / "one" / "ct_from_spect.tfm").read_bytes()
    stored = json.loads((folder / "registration.json").read_text())
    assert np.allclose(stored["found"]["ct_from_spect"], result["found"]["ct_from_spect"], rtol=0.0, atol=1e-9)
    assert {source["sha256"] for source in stored["provenance"]["sources"]} == {
        source["sha256"] for source in result["provenance"]["sources"]
    }


def test_a_study_that_cannot_be_paired_gives_exit_code_5(tmp_path, capsys) -> None:
    source = study(tmp_path / "in" / "Miller")
    for file in (source / "ct").iterdir():
        file.unlink()
    assert main(["watch", str(tmp_path / "in"), "-o", str(tmp_path / "store"), *QUICK]) == 5
    assert "holds 1 SPECT and no CT" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_it_is_killed_again_and_again_and_every_study_is_there_once(tmp_path) -> None:
    study(tmp_path / "in" / "Miller")
    command = [sys.executable, "-m", "mureg.cli", "watch", str(tmp_path / "in"), "-o", str(tmp_path / "store"), *QUICK]
    for seconds in (2.0, 4.0, 6.0, 8.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = subprocess.run([*command, "--json"], capture_output=True, timeout=300, check=True)
    (one,) = json.loads(ended.stdout)["studies"]
    assert (one["state"], one["name"][-3:]) == ("done", "-v1")
    store = tmp_path / "store"
    assert [path.name for path in (store / "studies").iterdir()] == [one["name"]]
    assert [path.name for path in (store / "inputs").iterdir()] == [one["name"]]
    assert not list(Path(store).rglob(".mureg-*")), "nothing half written, no lock"
    assert not (store / ".temporary").exists()
