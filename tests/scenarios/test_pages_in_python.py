"""The Python of README and of the other pages runs as it stands there, on the files and names the page speaks of.

`docs/how-to/python.md`, `docs/how-to/extend.md` and `docs/reference/networks.md` have tests of their own.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

import mureg
from mureg.attenuation.maps import AttenuationMap
from mureg.registration.card import shipped
from mureg.sample import load_truth, sample_folder
from support.dicom import rotation, tomo_vectors, write_nm
from support.tiny_cohort import tiny_cohort

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"docs/how-to/python.md", "docs/how-to/extend.md", "docs/reference/networks.md"}
HERE = {
    "README.md",
    "docs/how-to/acquisitions.md",
    "docs/how-to/cohorts.md",
    "docs/how-to/train.md",
    "docs/concepts/attenuation.md",
    "docs/concepts/coordinates.md",
    "docs/reference/dicom.md",
}


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.S | re.M)


def run(page: str, scope: dict | None = None) -> dict:
    """Run the blocks of a page one after the other; the names that they leave."""
    scope = {} if scope is None else scope
    for block in blocks(page):
        exec(compile(block, page, "exec"), scope)
    return scope


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder, with the sample study in it as pages call it."""
    (tmp_path / "spect.dcm").symlink_to(sample_folder() / "spect.dcm")
    (tmp_path / "ct").symlink_to(sample_folder() / "ct")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_page_with_python_is_run_by_a_test() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    with_python = {page.relative_to(ROOT).as_posix() for page in pages if "```python" in page.read_text("utf-8")}
    assert with_python == HERE | ELSEWHERE


def test_readme(folder, monkeypatch, capsys) -> None:
    whole, quick = mureg.examine, mureg.StudySettings(mureg.MutualInformation(starts=1, finish=1))
    monkeypatch.setattr(mureg, "examine", lambda study: whole(study, quick, correct=False))
    answer = run("README.md")["answer"]
    printed = capsys.readouterr().out.split()
    assert printed[0] == answer.decision
    assert float(printed[1]) == answer.move.rms_mm
    truth = load_truth()
    before = np.linalg.norm(truth.heart_points_mm - truth.heart_points_in_ct_mm, axis=1).mean()
    found = answer.registration.ct_from_spect.apply(truth.heart_points_mm)
    assert np.linalg.norm(found - truth.heart_points_in_ct_mm, axis=1).mean() < before


def test_acquisitions(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    views, gates = 8, 4
    vectors = {name: np.repeat(v, gates).tolist() for name, v in tomo_vectors(views).items()}
    gated = {**vectors, "RRIntervalVector": [1] * (views * gates), "TimeSlotVector": [1, 2, 3, 4] * views}
    frames = np.random.default_rng(3).integers(20, 90, (views * gates, 7, 6)).astype(np.uint16)
    summed = frames.reshape(views, gates, 7, 6).sum(1)
    orbit = [rotation(0.0, 45.0, views)]
    write_nm(tmp_path / "stress.dcm", summed, tomo_vectors(views), rotations=orbit)
    write_nm(tmp_path / "stress_gated.dcm", frames, gated, kind="GATED TOMO", rotations=orbit)
    scope = run("docs/how-to/acquisitions.md")
    np.testing.assert_array_equal(scope["acquisition"].photopeak_counts, summed)
    assert len(scope["gates"]) == gates
    for g, gate in enumerate(scope["gates"]):
        np.testing.assert_array_equal(gate.photopeak_counts, frames.reshape(views, gates, 7, 6)[:, g])


def test_cohorts(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_cohort(tmp_path / "clinical-200", 6)
    scope = run("docs/how-to/cohorts.md")
    names = [name for part in ("train", "validation", "test") for name in scope[part].names]
    assert sorted(names) == [f"tiny-{k:06d}" for k in range(6)]
    case, lazy = scope["case"], scope["lazy"]
    np.testing.assert_array_equal(lazy.volume("uncorrected").values, case.uncorrected.values)
    np.testing.assert_array_equal(lazy.ct_from_spect.matrix, case.truth.ct_from_spect.matrix)


def test_train(folder, monkeypatch) -> None:
    first, weights = folder / "runs" / "first", shipped("densenet-small")
    first.mkdir(parents=True)
    for suffix in (".onnx", ".json"):
        (first / f"best{suffix}").symlink_to(weights.with_suffix(suffix))
    whole = mureg.examine
    monkeypatch.setattr(mureg, "examine", lambda study, settings: whole(study, settings, correct=False))
    answer = run("docs/how-to/train.md")["answer"]
    assert answer.registration.registrar == "network"
    assert answer.registration.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_attenuation(folder) -> None:
    ct, _ = mureg.read_ct("ct")
    (spect, _), truth = mureg.read_spect("spect.dcm"), load_truth()
    names = {"AttenuationMap": AttenuationMap, "ct": ct, "conversion": ct.conversion()[0], "grid": spect.grid()}
    scope = run("docs/concepts/attenuation.md", {**names, "ct_from_spect": truth.ct_from_spect, "outline": None})
    assert scope["mu"].grid == spect.grid()
    assert scope["settings"] == AttenuationMap()


def test_coordinates() -> None:
    """A peak of the map at x = 50 mm, 10 mm too far left, lands on that of the SPECT at x = 40 mm."""
    grid = mureg.Grid.centred((21, 11, 11), (10.0, 10.0, 10.0))
    there, here = np.zeros(grid.shape), np.zeros(grid.shape)
    there[15, 4, 6], here[14, 4, 6] = 0.15, 1.0
    spect = mureg.Volume.from_numpy(here, grid, mureg.Quantity.ACTIVITY)
    pose = mureg.RigidTransform.from_six((10.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    names = {"mu": mureg.Volume.from_numpy(there, grid, mureg.Quantity.MU_PER_CM), "spect": spect}
    found = run("docs/concepts/coordinates.md", {**names, "ct_from_spect": pose})["mu_on_spect"].values
    assert np.unravel_index(found.argmax(), found.shape) == (14, 4, 6)


def test_dicom(folder) -> None:
    spect, _ = mureg.read_spect("spect.dcm")
    grid = spect.grid()
    values = np.random.default_rng(5).random(grid.shape)
    names = {
        "corrected": mureg.Volume.from_numpy(values, grid, mureg.Quantity.ACTIVITY),
        "mu": mureg.Volume.from_numpy(values / 6, grid, mureg.Quantity.MU_PER_CM),
        "spect_file": folder / "spect.dcm",
        "ct_folder": folder / "ct",
        "out": folder / "out",
    }
    names["out"].mkdir()
    run("docs/reference/dicom.md", names)
    ac, mu = (pydicom.dcmread(folder / "out" / name) for name in ("ac.dcm", "mu.dcm"))
    assert (ac.ImageType[3], mu.ImageType[3]) == ("EMISSION", "TRANSMISSION")
    assert "ATTN" in ac.CorrectedImage
    assert ac.PatientID == pydicom.dcmread(folder / "spect.dcm").PatientID
