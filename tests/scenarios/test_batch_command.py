"""``mureg batch``: many studies end as each of them would with ``mureg register``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from mureg.cli import main
from mureg.jobs.cores import set_thread_count
from support.dicom_study import study

pytestmark = pytest.mark.usefixtures("remembered_ventricles")

SETTINGS = ("registrar.starts=1", "registrar.finish=1", "reconstructor.iterations=1")
QUICK = ["--registrar", "mutual-information", *(word for one in SETTINGS for word in ("--set", one))]


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_thread_count(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """Two good studies, one without a CT, one whose SPECT was cut short."""
    folder = tmp_path_factory.mktemp("studies")
    study(folder / "good")
    study(folder / "other")
    (folder / "alone").mkdir()
    shutil.copy(folder / "good" / "spect.dcm", folder / "alone")
    study(folder / "short")
    (folder / "short" / "spect.dcm").write_bytes((folder / "good" / "spect.dcm").read_bytes()[:20000])
    return folder


@pytest.fixture(scope="module")
def batch(studies, tmp_path_factory) -> tuple[Path, dict]:
    """The batch of the whole folder, in one go."""
    with pytest.MonkeyPatch.context() as patched:
        said: list[str] = []
        patched.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        folder = tmp_path_factory.mktemp("batch") / "out"
        assert main(["batch", str(studies), "-o", str(folder), *QUICK]) == 5
    return folder, {"said": "\n".join(said)}


def test_it_shows_what_it_found_before_it_begins(batch) -> None:
    lines = batch[1]["said"].splitlines()
    assert lines[0].startswith(
        "impossible    alone  folder alone holds 1 SPECT and no CT; expected one SPECT and one CT"
    )
    assert lines[1] == "to do         good   spect good/spect.dcm, ct good/ct"
    assert lines[4] == "4 studies: 3 to do, 1 impossible"


def test_two_failed_and_the_others_are_there(batch) -> None:
    folder, answer = batch
    assert "registered 2 studies" in answer["said"]
    assert "2 failed" in answer["said"]
    assert "failed     short: " in answer["said"]
    assert {path.name for path in folder.iterdir()} == {
        "batch.json",
        "studies",
        "summary.csv",
        "summary.html",
        ".mureg",
    }
    failure = json.loads((folder / "studies/short/failure.json").read_text())
    assert failure["exit_code"] == 4


def test_a_study_of_a_batch_is_what_register_makes_of_it(batch, studies, tmp_path) -> None:
    spect, ct = str(studies / "good" / "spect.dcm"), str(studies / "good" / "ct")
    assert main(["register", "--spect", spect, "--ct", ct, "-o", str(tmp_path), *QUICK, "--threads", "1"]) == 0
    one, other = tmp_path, batch[0] / "studies" / "good"
    assert {p.name for p in one.iterdir()} | {"study.json"} == {p.name for p in other.iterdir()}
    registered = [json.loads((folder / "registration.json").read_text()) for folder in (one, other)]
    assert registered[0]["ct_from_spect"] == registered[1]["ct_from_spect"]
    assert registered[0]["provenance"]["settings"] == registered[1]["provenance"]["settings"]
    assert (one / "settings.toml").read_text() == (other / "settings.toml").read_text()
    corrected = [nib.load(folder / "spect_ac.nii.gz").get_fdata() for folder in (one, other)]
    np.testing.assert_array_equal(*corrected)


def test_the_settings_of_one_result_make_the_same_batch(batch, studies, capsys) -> None:
    folder = batch[0]
    toml = str(folder / "studies" / "good" / "settings.toml")
    assert main(["batch", str(studies), "-o", str(folder), "--settings", toml, "--json"]) == 5
    answer = json.loads(capsys.readouterr().out)
    assert (answer["made"], answer["already"]) == (0, 2)
    assert sorted(one["name"] for one in answer["failed"]) == ["alone", "short"]
    assert (
        main(["batch", str(studies), "-o", str(folder), "--settings", toml, "--set", "reconstructor.iterations=3"]) == 2
    )
    assert "with reconstructor.iterations = 1; expected 3" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(studies, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["batch", str(studies), "-o", str(out), "--dry-run", "--json"]) == 5
    found = json.loads(capsys.readouterr().out)["studies"]
    assert [(one["name"], one["state"]) for one in found] == [
        ("alone", "impossible"), ("good", "missing"), ("other", "missing"), ("short", "missing"),
    ]  # fmt: skip
    (tmp_path / "list.csv").write_text(f"name,spect,ct\nx,{studies}/good/spect.dcm,{studies}/good/ct\n")
    assert main(["batch", str(tmp_path / "list.csv"), "-o", str(out), "--dry-run"]) == 0
    assert not out.exists()


def test_a_mistake_in_the_list_stops_it_before_it_begins(studies, tmp_path, capsys) -> None:
    (tmp_path / "list.csv").write_text("name,spect,ct\nx,nowhere.dcm,ct\n")
    assert main(["batch", str(tmp_path / "list.csv"), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("mureg: line 2 of list.csv: 'nowhere.dcm' does not exist, given as spect; expected")
    assert not (tmp_path / "out").exists()


def test_the_help_shows_the_options_of_register_too(capsys) -> None:
    for verb in ("batch", "register"):
        with pytest.raises(SystemExit) as left:
            main([verb, "--help"])
        assert left.value.code == 0
        shown = capsys.readouterr().out
        for option in ("--registrar", "--dicom", "--set", "--no-reconstruction", "--settings"):
            assert option in shown, (verb, option)
