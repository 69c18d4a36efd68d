"""Training cases: what is stored is what was simulated, each CT with its true pose; crops come from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mureg.cohort.folds import fold_of
from mureg.cohort.mixture import MixedRange
from mureg.cohort.settings import CohortSettings, load_settings
from mureg.errors import UnreadableInputError, UsageError
from mureg.registration.inputs import InputGrid
from mureg.simulate.photons import PhotonScatter
from mureg.training.heart.cases import CaseStore
from mureg.training.heart.crops import HEART, MOTION, MU, SPECT, read_crops
from mureg.training.heart.draw import crop_tasks, draw_crops
from mureg.training.heart.emissions import (
    TrainingEmission,
    emission_crops,
    read_emission,
    read_patient,
    simulate_emission,
    write_emission,
)
from mureg.training.heart.recipe import CropSet
from mureg.training.heart.starts import AroundTruth
from mureg.training.heart.whole_field import EmissionWithCt, cases_outside_fold

N_CTS = 3


def small() -> CohortSettings:
    population = load_settings("population")
    assert isinstance(population.anatomy, MixedRange)
    assert population.camera is not None
    return replace(
        population,
        anatomy=replace(population.anatomy.drawn, arms_down=0.0),
        orbit=replace(population.orbit, pixel_mm=10.2, matrix=42, views=(20,), counts=(8e6, 8e6)),
        ct=replace(population.ct, pixel_mm=(3.9, 3.9), slice_mm=(6.0, 6.0), field_mm=(500.0, 500.0)),
        voxel_mm=6.8,
        camera=replace(population.camera, share_other_pixel=0.0),
        image=None,
        scatter=PhotonScatter(histories=4000),
    )


@pytest.fixture(scope="module")
def case() -> TrainingEmission:
    return simulate_emission(small(), 5, N_CTS)


def test_the_body_of_every_ct_lies_on_that_of_the_others_at_its_true_pose(case: TrainingEmission) -> None:
    """Around the heart, which is what the pose is true for; at the scanner position they differ."""
    middle = tuple(float(x) for x in case.axis_mm[1])
    grid = InputGrid((16, 16, 16), 6.8).grid(case.uncorrected.grid)
    grid = type(grid).centred((16, 16, 16), (6.8,) * 3, middle)
    at_truth = [np.asarray(ct.body.resampled(grid, ct.ct_from_spect)) for ct in case.cts]
    at_scanner = [np.asarray(ct.body.resampled(grid)) for ct in case.cts]
    for k in (1, 2):
        apart = [float(np.abs(maps[0] - maps[k]).mean()) for maps in (at_truth, at_scanner)]
        assert apart[0] < 0.6 * apart[1]
    moved = [ct.ct_from_spect.apply(middle) - middle for ct in case.cts]
    assert np.ptp(moved, axis=0).max() > 3.0, "each CT has a motion of its own"


def test_the_pose_carries_the_heart_of_the_emission_into_each_ct(case: TrainingEmission) -> None:
    for ct in case.cts:
        apart = ct.ct_from_spect.apply(case.heart_points_mm) - ct.heart_points_mm
        assert np.sqrt((apart**2).sum(-1).mean()) < 2.5, "what a rigid pose cannot follow"
    middle = case.axis_mm.mean(0)
    assert np.allclose(middle, case.axis_mm[1], atol=1.0)
    assert np.linalg.norm(case.axis_mm[2] - case.axis_mm[0]) > 60.0


def test_the_ventricle_is_bright_where_the_case_says_it_lies(case: TrainingEmission) -> None:
    image = case.uncorrected
    index = np.rint(image.grid.indices(case.axis_mm[1])).astype(int)
    box = tuple(slice(i - 4, i + 5) for i in index)
    assert np.asarray(image)[box].mean() > 2.0 * np.asarray(image).mean()


def test_what_is_read_is_what_was_written(case: TrainingEmission, tmp_path: Path) -> None:
    path = tmp_path / f"{case.name}.npz"
    write_emission(case, path)
    back = read_emission(path)
    assert (back.name, back.patient, back.facts) == (case.name, case.patient, case.facts)
    assert read_patient(path) == case.patient
    assert fold_of(back.patient) == 0
    image, stored = np.asarray(case.uncorrected), np.asarray(back.uncorrected)
    assert stored == pytest.approx(image * 1000.0 / image.max(), rel=6e-4, abs=1e-4)
    assert np.array_equal(back.uncorrected.grid.affine, case.uncorrected.grid.affine)
    assert back.heart_points_mm == pytest.approx(case.heart_points_mm, abs=1e-4)
    for read, ct in zip(back.cts, case.cts, strict=True):
        assert np.abs(np.asarray(read.body) - np.asarray(ct.body)).max() < 4e-4
        assert np.array_equal(read.ct_from_spect.matrix, ct.ct_from_spect.matrix)
        assert (read.body.outside is None) == (ct.body.outside is None)
        if ct.body.outside is not None:
            assert np.array_equal(np.asarray(read.body.outside), np.asarray(ct.body.outside))
        assert read.facts == ct.facts
    assert path.stat().st_size < 1_500_000
    with pytest.raises(UsageError):
        write_emission(case, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UnreadableInputError, match="no training case"):
        read_emission(path)


def test_crops_of_each_ct_lack_the_motion_that_they_say(case: TrainingEmission) -> None:
    crops = CropSet("one", {"population": 1}, per_case=4, starts=AroundTruth())
    grid = InputGrid((20, 20, 20), 10.2)
    arrays = emission_crops(case, 3, crops, grid)
    assert {len(values) for values in arrays.values()} == {4 * N_CTS}
    again = emission_crops(case, 3, crops, grid)
    for name in (SPECT, MU, MOTION, HEART):
        assert np.array_equal(np.array(arrays[name]), np.array(again[name]))
    shifts = np.array(arrays[MOTION])[:, :3, 3]
    assert np.ptp(shifts[:, 2]) > 10.0
    assert np.array(arrays[SPECT]).mean((1, 2, 3)) == pytest.approx(np.ones(4 * N_CTS), rel=1e-4)


def test_training_cases_are_a_source_of_crops_by_their_number(case: TrainingEmission, tmp_path: Path) -> None:
    path = tmp_path / "population" / "cases" / f"{case.name}.npz"
    path.parent.mkdir(parents=True)
    write_emission(case, path)
    store = CaseStore.of([], emissions=[tmp_path / "population"])
    population, _, number = case.name.rpartition("-")
    settings = CropSet("one", {population: 1}, first=int(number), per_case=2, starts=AroundTruth())
    (task,) = crop_tasks(settings, InputGrid((20, 20, 20), 10.2), store, tmp_path / "crops")
    assert draw_crops(task) == ""
    examples = read_crops([task.path], 10.2)
    assert set(examples.patients) == {case.patient}
    assert len(examples) == 2 * N_CTS
    with pytest.raises(UsageError, match="has no projections"):
        task.case.read()
    with pytest.raises(UnreadableInputError, match="no training cases"):
        CaseStore.of([], emissions=[tmp_path])


class TestWholeField:
    """A stored emission with one of its CTs is a case for networks of the whole field."""

    def test_each_ct_comes_with_its_own_pose_on_the_emission(self, case: TrainingEmission, tmp_path: Path) -> None:
        write_emission(case, tmp_path / "case.npz")
        for number, ct in enumerate(case.cts):
            pair = EmissionWithCt(tmp_path / "case.npz", number, case.patient).read()
            np.testing.assert_allclose(pair.ct_from_spect.matrix, ct.ct_from_spect.matrix)
            apart = pair.ct_from_spect.apply(pair.heart_mm) - ct.heart_points_mm
            assert np.abs(apart.mean(0)).max() < 0.01, "a best fit leaves no common displacement of the heart's points"
            np.testing.assert_allclose(pair.mu.grid.affine, ct.body.grid.affine)
            np.testing.assert_allclose(np.asarray(pair.mu), np.asarray(ct.body), atol=5e-4)

    def test_the_anatomies_of_the_fold_are_left_out_and_every_other_case_has_all_its_cts(
        self, case: TrainingEmission, tmp_path: Path
    ) -> None:
        patients = (
            "population-20221130-patient-000001",
            "population-20221131-patient-000001",
            "popi_4dct",
            "cort_liver",
        )
        for number, patient in enumerate(patients):
            write_emission(replace(case, patient=patient), tmp_path / f"case-{number}.npz")
        for left_out in (0, 1, 2, 3):
            cases = cases_outside_fold(tmp_path, left_out, N_CTS)
            expected = [patient for patient in patients if fold_of(patient) != left_out]
            assert [one.patient for one in cases] == [patient for patient in expected for _ in range(N_CTS)]
        assert len({one.fingerprint() for one in cases}) == len({one.name for one in cases}) == len(cases)

    def test_a_folder_without_cases_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no training cases"):
            cases_outside_fold(tmp_path, 0, N_CTS)
