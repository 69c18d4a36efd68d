"""Crops around the heart: what they show, what the network has to find, who is on which side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mureg.errors import UnreadableInputError, UsageError
from mureg.heart.find import HeartLocation
from mureg.registration.inputs import InputGrid
from mureg.training.heart import crops as module
from mureg.training.heart import draw
from mureg.training.heart.cases import CaseStore, NumberedCase
from mureg.training.heart.crops import crop_files, divide_by_patient, patients_in, read_crops
from mureg.training.heart.draw import CropTask, crop_tasks, crops_of, draw_crops
from mureg.training.heart.recipe import CropSet
from mureg.training.heart.starts import AroundTruth, FromMutualInformation
from support.tiny_cohort import tiny_case, tiny_cohort

GRID = InputGrid((14, 14, 14), 10.0)
HEART_MM = (38.0, -32.0, 12.0)


@pytest.fixture(autouse=True)
def _known_heart(monkeypatch) -> None:
    """The finder is tested elsewhere, and takes seconds."""
    monkeypatch.setattr(module, "find_left_ventricle", lambda *_: HeartLocation(HEART_MM, 1.0))


def exact(axial_mm: float, **changes) -> CropSet:
    """Crops whose missing motion is known: so far along the body, and no other."""
    starts = AroundTruth((axial_mm, axial_mm), (0.0, 0.0), 0.0, 0.0, 1.0)
    return CropSet("near", {"tiny": 2}, starts=starts, **{"per_case": 1, "offset_mm": 0.0, **changes})


def test_the_missing_motion_carries_the_map_to_where_the_truth_has_it() -> None:
    """A heart that lies 10 mm towards the head of where the start has it: the map at p is the true one at p - 10 mm."""
    true, moved = (crops_of(tiny_case(0), 0, exact(axial), GRID) for axial in (0.0, 10.0))
    shift = np.eye(4)
    shift[2, 3] = 10.0
    np.testing.assert_allclose(moved["r"][0], shift, atol=1e-9)
    np.testing.assert_allclose(true["r"][0], np.eye(4), atol=1e-9)
    np.testing.assert_array_equal(true["s"][0], moved["s"][0])
    np.testing.assert_allclose(moved["m"][0][:, :, 1:], true["m"][0][:, :, :-1], atol=1e-5)
    assert np.abs(moved["m"][0] - true["m"][0]).max() > 0.02


def test_crops_lie_around_the_ventricle_and_show_the_heart_where_it_is() -> None:
    case = tiny_case(1)
    arrays = crops_of(case, 1, exact(3.0, per_case=40, offset_mm=4.0), GRID)
    chosen = case.truth.heart_points_mm[np.linspace(0, 59, 64).round().astype(int)]
    middles = np.array([(chosen - points).mean(0) for points in arrays["h"]])
    np.testing.assert_allclose(middles[0], HEART_MM, atol=1e-9)
    off = middles[1:] - HEART_MM
    assert np.all((off.std(0) > 2.5) & (off.std(0) < 5.5))  # of 39 normal numbers of 4 mm
    assert np.linalg.norm(off.mean(0)) < 3.0
    for values in arrays["s"]:
        assert values.mean() == pytest.approx(1.0, abs=1e-4)


def test_starts_from_mutual_information_spread_along_the_body_and_little_across_it() -> None:
    starts = FromMutualInformation(jitter_mm=0.5, jitter_deg=0.2)
    arrays = crops_of(tiny_case(0), 0, CropSet("near", {"tiny": 1}, per_case=60, offset_mm=0.0, starts=starts), GRID)
    missing = np.array(arrays["r"])[:, :3, 3]
    every_third = missing[::3, 2]
    assert missing[:, 2].min() < -9.0
    assert missing[:, 2].max() > 18.0
    assert np.ptp(every_third) < 14.0  # within 6 mm, but for turns about another place
    assert missing[:, :2].std(0).max() < 2.5


def test_a_case_gives_the_same_file_again_and_another_case_another(tmp_path) -> None:
    cohort = tiny_cohort(tmp_path / "cohort", 3)
    store, settings = CaseStore.of([cohort]), CropSet("near", {"tiny": 2}, first=1, per_case=2)
    tasks = [crop_tasks(settings, GRID, store, tmp_path / name) for name in ("one", "other")]
    for task in (*tasks[0], *tasks[1]):
        assert draw_crops(task) == ""
    one, other = ([path.read_bytes() for path in crop_files(tmp_path / name)] for name in ("one", "other"))
    assert one == other
    assert one[0] != one[1]
    before = tasks[0][0].path.stat().st_mtime_ns
    assert draw_crops(tasks[0][0]) == ""
    assert tasks[0][0].path.stat().st_mtime_ns == before
    examples = read_crops(crop_files(tmp_path / "one"), GRID.spacing_mm)
    assert examples.names == ("tiny-000001/0", "tiny-000001/1", "tiny-000002/0", "tiny-000002/1")
    assert examples.patients == ("patient-0", "patient-0", "patient-1", "patient-1")
    assert examples.sha256 != read_crops(crop_files(tmp_path / "one")[:1], GRID.spacing_mm).sha256


def test_a_case_without_a_body_is_refused_once_and_remembered(tmp_path, monkeypatch) -> None:
    cohort = tiny_cohort(tmp_path / "cohort", 1)
    task = crop_tasks(exact(0.0, first=0), GRID, CaseStore.of([cohort]), tmp_path / "crops")[0]

    def refused(*_):
        raise UnreadableInputError("a CT of air", "a body", "scan again")

    monkeypatch.setattr(draw, "attenuation_maps", refused)
    assert draw_crops(task).startswith("tiny-000000: a CT of air")
    assert task.is_finished
    assert draw_crops(task) == ""
    assert crop_files(tmp_path / "crops") == []


def test_a_case_that_nobody_has_is_a_mistake_of_the_user(tmp_path) -> None:
    task = CropTask(NumberedCase("nobody", 3), exact(0.0), GRID, tmp_path)
    with pytest.raises(UsageError, match="nobody"):
        draw_crops(task)
    assert not task.is_finished


def written(folder: Path, patients: str) -> list[Path]:
    folder.mkdir()
    for number, patient in enumerate(patients):
        np.savez(folder / f"case-{number:02d}.npz", s=0, m=0, r=0, h=0, patient=patient)
    return crop_files(folder)


def test_division_keeps_a_patient_on_one_side(tmp_path) -> None:
    paths = written(tmp_path / "shared", "aabbccddeeffgg")
    training, validation = divide_by_patient(paths, 3)
    assert [path.stem for path in validation] == ["case-00", "case-01", "case-06", "case-07", "case-12", "case-13"]
    assert set(training) | set(validation) == set(paths)
    assert not set(training) & set(validation)
    assert patients_in(tmp_path / "shared") == set("abcdefg")


def test_division_of_one_case_a_patient_is_every_eighth_file(tmp_path) -> None:
    """As the shipped networks were divided: 440 patients and 63 of 503."""
    paths = written(tmp_path / "single", "abcdefghijklmnopqrs")
    assert divide_by_patient(paths, 8)[1] == paths[::8]
    assert divide_by_patient(paths, 8)[0] == [path for number, path in enumerate(paths) if number % 8]


def test_division_of_one_patient_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="1 patients"):
        divide_by_patient(written(tmp_path / "one", "aaa"), 8)


def test_a_damaged_file_is_named(tmp_path) -> None:
    path = tmp_path / "case-00.npz"
    path.write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(UnreadableInputError, match="case-00"):
        read_crops([path], 10.0)
