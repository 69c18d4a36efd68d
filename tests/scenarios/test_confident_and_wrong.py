"""The studies of benchmarks/evidence are wrong in the stated way, and another reader finds their truth."""

from __future__ import annotations

import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from mureg.geometry import RigidTransform

pytestmark = pytest.mark.slow

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "evidence"))
bodies, cases, studies, verdicts = (import_module(name) for name in ("bodies", "cases", "studies", "verdicts"))
harm = import_module("do_no_harm")
sys.path.pop(0)

IDENTITY = np.eye(4).tolist()


def series(folder: Path) -> sitk.Image:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return sitk.Cast(sitk.ReadImage(names), sitk.sitkFloat32)


def agreement(first: sitk.Image, points: np.ndarray, second: sitk.Image, there: np.ndarray) -> float:
    """Correlation of HU at places of one image with those at other places of another, where both know them."""
    pairs = []
    for here, other in zip(points.tolist(), there.tolist(), strict=True):
        inside = [
            all(
                0 <= i < n - 1
                for i, n in zip(image.TransformPhysicalPointToContinuousIndex(p), image.GetSize(), strict=True)
            )
            for image, p in ((first, here), (second, other))
        ]
        if all(inside):
            pairs.append((first.EvaluateAtPhysicalPoint(here), second.EvaluateAtPhysicalPoint(other)))
    known = np.asarray([pair for pair in pairs if min(pair) > -1500.0])
    assert len(known) > 500
    return float(np.corrcoef(known.T)[0, 1])


def around(middle: np.ndarray) -> np.ndarray:
    return np.asarray(middle + np.random.default_rng(5).uniform(-80.0, 80.0, (2000, 3)))


@pytest.mark.parametrize(
    "change",
    [
        {"header_mm": (30.0, 0.0, 0.0)},
        {"header_mm": (0.0, -20.0, 0.0)},
        {"header_mm": (0.0, 0.0, 40.0)},
        {"spacing": 0.67},
        {"spacing": 1.5},
        {"mirrored": "x"},
        {"mirrored": "z"},
        {"mirrored": "xy"},
    ],
    ids=str,
)
def test_the_truth_of_a_changed_ct_is_where_simpleitk_finds_the_same_tissue(change, tmp_path: Path) -> None:
    case = cases.WrongCase("case", "kind", bodies.SAMPLE, None, **change)
    ct, _, original = studies.source(None, tmp_path)
    truth = studies.write_study(case, tmp_path, tmp_path)
    first, second = series(ct), series(tmp_path / "ct")
    heart = original.in_ct_mm.mean(0)
    size = np.asarray(first.GetSize())
    middle = np.asarray(first.TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist()))
    matrix = case.ct_from_ct(heart, middle)
    points = around(heart)
    moved = points @ matrix[:3, :3].T + matrix[:3, 3]
    assert agreement(first, points, second, moved) > 0.999
    assert agreement(first, points, second, points) < 0.95
    np.testing.assert_allclose(truth.in_ct_mm, original.in_ct_mm @ matrix[:3, :3].T + matrix[:3, 3])
    np.testing.assert_array_equal(truth.in_spect_mm, original.in_spect_mm)


def test_a_turned_patient_is_turned_about_the_heart_in_the_stated_sense() -> None:
    heart = np.array([30.0, -20.0, 5.0])
    turn = RigidTransform.from_six((0.0, 0.0, 0.0), (0.0, 0.0, 15.0), heart)
    straight, turned = (bodies.turned_ct("torso-a", pose).volume for pose in (RigidTransform.identity(), turn))
    images = []
    for volume in (straight, turned):
        image = sitk.GetImageFromArray(volume.values.transpose(2, 1, 0))
        image.SetSpacing(volume.grid.spacing_mm)
        image.SetOrigin(volume.grid.affine[:3, 3].tolist())
        images.append(image)
    euler = sitk.Euler3DTransform(heart.tolist(), 0.0, 0.0, np.radians(15.0))
    points = around(heart) * (1.0, 0.6, 1.0)
    there = np.asarray([euler.TransformPoint(point) for point in points.tolist()])
    back = np.asarray([euler.GetInverse().TransformPoint(point) for point in points.tolist()])
    assert agreement(images[0], points, images[1], there) > 0.97
    assert agreement(images[0], points, images[1], back) < 0.8


def test_an_error_is_that_of_a_known_shift() -> None:
    points = np.random.default_rng(1).normal(size=(50, 3)) * 30.0
    truth = studies.Truth(points, points + np.array([3.0, 0.0, -4.0]))
    pose = np.eye(4)
    pose[:3, 3] = (3.0, 0.0, -4.0)
    assert truth.error_mm(pose) == pytest.approx(0.0, abs=1e-9)
    assert truth.error_mm(IDENTITY) == pytest.approx(5.0)


def test_there_are_enough_cases_on_enough_bodies() -> None:
    every = cases.all_cases()
    assert len({case.name for case in every}) == len(every) >= 60
    kinds = Counter(case.kind for case in every)
    for kind in kinds:
        assert len({case.body for case in every if case.kind == kind}) >= 3, kind
    assert {abs(angle) for case in every for angle in case.turn_deg if angle} == {5.0, 10.0, 15.0, 20.0, 25.0}


@pytest.mark.parametrize("header", ["own", "empty", "anonymous"])
def test_both_headers_name_one_patient_or_nobody(header, tmp_path: Path) -> None:
    studies.write_study(cases.WrongCase("case", "kind", bodies.SAMPLE, None, header=header), tmp_path, tmp_path)
    files = (tmp_path / "spect.dcm", *(tmp_path / "ct").iterdir())
    said = {
        (
            str(one.PatientID or ""),
            str(one.PatientName or ""),
            str(one.PatientBirthDate or ""),
            str(one.FrameOfReferenceUID),
        )
        for one in (pydicom.dcmread(file, stop_before_pixels=True) for file in files)
    }
    assert len(said) == 1
    assert (next(iter(said))[0] in ("", "ANON")) is (header != "own")


def test_another_named_patient_differs_in_everything() -> None:
    case = cases.WrongCase("case", "kind", "cort", None, other="acrin", header="another")
    spect, ct = studies.identities(case)
    assert not {spect.identifier, spect.name, spect.birth} & {ct.identifier, ct.name, ct.birth}


def test_a_drift_is_even_and_a_step_is_half_way() -> None:
    for drift in (False, True):
        breathing = bodies.MovingPatient(shift_mm=(0.0, 0.0, 27.0), shift_at=0.5, drift=drift)
        poses, shares = breathing.poses(60)
        place = shares @ np.asarray([pose.shift_mm[2] for pose in poses])
        np.testing.assert_allclose(shares.sum(1), 1.0)
        time = (np.arange(60) + 0.5) / 60
        np.testing.assert_allclose(place, 27.0 * time if drift else 27.0 * (time > 0.5), atol=1e-9)


OLD = {"decision": "corrected", "ct_from_spect": IDENTITY, "interval_90": {"heart_mm": 4.0}, "warnings": ["one", "two"]}
NEW = {
    "decision": "moved",
    "ct_from_spect": IDENTITY,
    "found": {"ct_from_spect": [[2.0]]},
    "interval_90": None,
    "warnings": [{"rank": "changes the answer", "text": "a"}, {"rank": "for the record", "text": "b"}],
}


def test_answers_of_older_and_newer_versions_are_read() -> None:
    old, new = verdicts.extract(0, OLD), verdicts.extract(0, NEW)
    assert (old.decision, old.found, old.bound_mm, old.first_rank, old.warnings) == ("moved", IDENTITY, 4.0, None, 2)
    assert (new.decision, new.found, new.first_rank) == ("moved", [[2.0]], ("a",))
    assert np.isnan(new.bound_mm)
    assert verdicts.extract(0, OLD | {"decision": "aligned"}).found is None
    assert verdicts.extract(3, {}, "different patients").decision == "refused"
    assert verdicts.extract(4, {}, "unreadable").decision == "exit 4"


@pytest.mark.parametrize(
    ("kind", "decision", "given_mm", "bound_mm", "wrong"),
    [
        ("turned about the heart", "aligned", 8.6, 4.0, True),
        ("turned about the heart", "aligned", 6.7, 9.0, False),
        ("turned about the heart", "moved", 2.0, 4.0, False),
        ("turned about the heart", "moved", 2.0, 7.0, True),
        ("turned about the heart", "moved", 2.0, float("nan"), True),
        ("turned about the heart", "review", 30.0, 4.0, False),
        ("another patient, unnamed", "moved", 1.0, 2.0, True),
        ("another patient, unnamed", "review", 1.0, 2.0, False),
        ("another patient, named", "review", 1.0, 2.0, True),
        ("another patient, named", "refused", float("nan"), float("nan"), False),
    ],
)
def test_what_counts_as_confidently_wrong(kind, decision, given_mm, bound_mm, wrong) -> None:
    assert bool(verdicts.wrong(kind, decision, given_mm, bound_mm)) is wrong


def test_rows_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    truth = studies.Truth(np.eye(3), np.eye(3) + 1.0)
    rows = [
        verdicts.row_of(("a", "control", "b", "c, d"), "quick", truth, verdicts.extract(0, NEW | {"found": None}), 3.0)
    ]
    verdicts.write_rows(tmp_path / "rows.csv", rows)
    assert [repr(row) for row in verdicts.read_rows(tmp_path / "rows.csv")] == [repr(row) for row in rows]


def test_harm_is_of_the_pose_given_out_and_a_refusal_does_none() -> None:
    row = verdicts.Row("a", "k", "b", "", "quick", "review", 1.0, 5.5, 5.5, 9.0, 0, 0, "", "", 1.0)
    assert harm.harm_mm(row) == pytest.approx(4.5)
    refused = verdicts.Row("a", "k", "b", "", "quick", "refused", 1.0, np.nan, np.nan, np.nan, 0, 0, "", "", 1.0)
    assert harm.harm_mm(refused) == 0.0
