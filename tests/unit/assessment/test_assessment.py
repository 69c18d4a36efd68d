"""From a small study to its decision: poses that were told, so that nothing but the decision is looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from mureg.assessment import assess
from mureg.assessment.confidence import FLOOR_MM, is_calibrated
from mureg.assessment.mismatch import mismatch_percent, myocardium
from mureg.assessment.result import Assessment
from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMap
from mureg.errors import RefusedError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.notes import Note, Rank
from mureg.pipeline import StudySettings, examine, reconstruct_at
from mureg.recon import Osem
from mureg.recon.catalogue import RECONSTRUCTION_CATALOGUE
from mureg.recon.images import reconstruct
from mureg.registration import Registration
from mureg.registration.confidence import settings_sha256
from mureg.spect import Physics
from mureg.study import PatientIdentity, Study
from support.hearts import GRID as HEART_GRID
from support.hearts import TOWARD, VENTRICLE, wall_volume
from support.phantoms import camera, chest, measured, mu_volume, orbit, voxel_points

pytestmark = pytest.mark.usefixtures("remembered_ventricles")

OSEM, PHYSICS = Osem(iterations=2, subsets=6), Physics(resolution=False, scatter="none")
CAMERA = camera(orbit(24, 360), rows=28, columns=34, pixel_mm=(12.0, 12.0))
GRID = CAMERA.grid()
CT_GRID = Grid.centred((56, 46, 46), (9.0, 9.0, 9.0))
QUIET = Thresholds(
    heart_apart_mm=500.0,
    least_map_gain=-1000.0,
    rotation_centre_mm=100.0,
    largest_stretch_gain=100.0,
    largest_mirror_gain=100.0,
)
"""This small chest is no patient: what its projections and ventricle look like is tested elsewhere."""
MOTION = RigidTransform.from_six((22.0, -16.0, 20.0), (4.0, -3.0, 5.0), GRID.centre_mm)


@dataclass(frozen=True)
class Told:
    """A registrar that answers what it was told."""

    pose: RigidTransform
    covariance: np.ndarray | None = None
    evidence: tuple[tuple[str, float], ...] = ()
    calibrated_for: tuple[tuple[str, str], ...] = ()
    kind: str = "told"

    def register(self, prepared) -> Registration:
        return Registration(
            self.pose,
            prepared.uncorrected.grid.centre_mm,
            self.kind,
            "moved",
            dict(self.evidence),
            covariance=self.covariance,
            calibrated_for=dict(self.calibrated_for),
        )


@pytest.fixture(scope="module")
def study() -> Study:
    activity, mu = chest(voxel_points(GRID), edge_mm=14.0)
    exact = measured(100 * activity, CAMERA, Volume(mu, GRID, Quantity.MU_PER_CM))
    return Study(replace(exact, counts=exact.counts.astype(np.float32)), mu_volume(CT_GRID, MOTION))


def assessed(study, pose: RigidTransform, limits: Thresholds = QUIET, **told) -> Assessment:
    return examine(study, StudySettings(Told(pose, **told), OSEM, PHYSICS, limits=limits))


def test_an_aligned_study_gives_out_the_scanner_position(study) -> None:
    small = RigidTransform.from_six((2.0, 1.0, -1.0), (0.0, 0.0, 0.0), GRID.centre_mm)
    answer = assessed(study, small)
    assert answer.decision == "aligned"
    assert answer.ct_from_spect == RigidTransform.identity()
    assert answer.registration.ct_from_spect == small, "what was found is never rewritten"
    assert answer.move.rms_mm == 0.0
    assert answer.move_found.rms_mm == pytest.approx(np.sqrt(6.0), abs=1e-6)
    assert answer.mu_registered is answer.mu_header
    assert answer.spect_corrected is answer.spect_header
    assert not np.array_equal(answer.examination.found.spect.values, answer.spect_header.values)


def test_an_aligned_study_has_one_mismatch_for_the_map_was_not_moved(study, monkeypatch) -> None:
    monkeypatch.setattr(assess, "_mismatch", lambda *_parts: {"header": 6.4, "registered": 2.8})
    moved, small = assessed(study, MOTION), assessed(study, RigidTransform.identity())
    assert (moved.decision, small.decision) == ("review", "aligned")
    assert moved.mismatch_percent == {"header": 6.4, "registered": 2.8}
    assert small.mismatch_percent == {"header": 6.4, "registered": 6.4}


def test_a_moved_study_gives_out_the_pose_found(study) -> None:
    limits = replace(QUIET, least_axis_confidence=0.0)
    answer = assessed(study, MOTION, limits, covariance=np.diag([1.0] * 3 + [0.01] * 3))
    assert answer.decision == "moved"
    assert answer.ct_from_spect == MOTION
    assert answer.spect_corrected is answer.examination.found.spect
    # the same image by another door: the map on the emission field alone, which holds all of this chest but its ends
    other = reconstruct(study.spect, answer.mu_header, OSEM, PHYSICS)
    apart = np.abs(answer.spect_header.values - other.values).max() / other.values.max()
    assert float(apart) < 0.05
    assert answer.provenance.settings["decision"]["aligned_mm"] == limits.aligned_mm


def test_a_review_that_is_not_known_to_two_pixels_gives_out_the_scanner_position(study) -> None:
    used = {"attenuation": asdict(AttenuationMap()), "reconstructor": RECONSTRUCTION_CATALOGUE.table_of(OSEM)}
    calibrated_for = tuple((part, settings_sha256(settings)) for part, settings in used.items())
    for variance, released in ((16.0, True), (100.0, False)):
        covariance = np.diag([variance] * 3 + [0.01] * 3)
        answer = assessed(study, MOTION, covariance=covariance, calibrated_for=calibrated_for)
        assert answer.confidence.calibrated
        assert answer.decision == "review"
        assert answer.released is released
        assert answer.ct_from_spect == (MOTION if released else RigidTransform.identity())
        assert answer.registration.ct_from_spect == MOTION
        assert answer.move_found.rms_mm > 20.0
        assert answer.withheld is not released


def test_intervals_are_those_at_the_heart(study) -> None:
    """Errors of the angles about the middle of the field move a heart beside it: variance plus arm squared."""
    matrix = np.diag([25.0, 25.0, 25.0, 0.0, 0.0, 1.0])
    still = RigidTransform.from_six((30.0, 0.0, 0.0), (0, 0, 0), GRID.centre_mm)
    answer = assessed(study, still, covariance=matrix)
    x, y, _ = np.asarray(answer.heart.centre_mm) - GRID.centre_mm
    expected = 1.6449 * np.sqrt([25.0 + np.radians(y) ** 2, 25.0 + np.radians(x) ** 2, 25.0])
    np.testing.assert_allclose(answer.confidence.shift_mm, expected, rtol=1e-3)
    assert not answer.confidence.calibrated
    assert answer.decision == "review"


def test_no_bound_is_stated_below_the_floor(study) -> None:
    answer = assessed(study, MOTION, covariance=np.diag([1e-9] * 6))
    assert answer.confidence.heart_mm == FLOOR_MM


@pytest.mark.slow
def test_a_bound_is_calibrated_only_for_the_settings_it_was_measured_with(study) -> None:
    whole = assessed(study, MOTION, covariance=np.diag([4.0] * 6))
    settings = whole.provenance.settings
    used = {part: settings_sha256(settings[part]) for part in ("attenuation", "reconstructor")}

    def calibrated(calibrated_for: dict[str, str], of=study) -> bool:
        registration = replace(whole.registration, calibrated_for=calibrated_for)
        return is_calibrated(replace(whole.examination, study=of, registration=registration))

    assert settings["attenuation"] == asdict(AttenuationMap())
    assert calibrated(used)
    assert not calibrated({})
    for part in used:
        assert not calibrated({**used, part: "other"})
        assert not calibrated({name: sha256 for name, sha256 in used.items() if name != part})
    by_volume = Study(whole.spect_uncorrected, study.attenuation)
    assert not calibrated(used, by_volume), "how a given volume was reconstructed is not known"


def test_a_heart_that_was_hard_to_find_is_reviewed(study) -> None:
    limits = replace(QUIET, least_axis_confidence=0.0)
    for confidence, faint in ((0.49, True), (0.51, False)):
        answer = assessed(study, MOTION, limits, evidence=(("heart_confidence", confidence),))
        assert any("hard to find" in reason for reason in answer.reasons) == faint
        assert answer.decision == "review" or not faint


def test_ways_to_locate_the_heart_that_differ_are_reviewed(study) -> None:
    """The registrar crops 20 cm away from where axis and image see the ventricle."""
    small = RigidTransform.from_six((2.0, 1.0, -1.0), (0.0, 0.0, 0.0), GRID.centre_mm)
    far = (("heart_x_mm", -150.0), ("heart_y_mm", 50.0), ("heart_z_mm", 0.0))
    answer = assessed(study, small, replace(QUIET, heart_apart_mm=20.0), evidence=far)
    assert answer.decision == "review"
    assert answer.heart.apart_mm > 100.0
    assert answer.warnings[0].rank is Rank.CHANGES_ANSWER
    assert "differ by" in answer.warnings[0]
    assert answer.ct_from_spect == RigidTransform.identity()


def test_an_axis_that_no_registrar_confirms_is_compared_with_the_image(study, monkeypatch) -> None:
    small = RigidTransform.from_six((2.0, 1.0, -1.0), (0.0, 0.0, 0.0), GRID.centre_mm)
    x, y, z = assessed(study, small).heart.centre_mm
    for apart_mm, decision in ((10.0, "aligned"), (60.0, "review")):
        seen = SimpleNamespace(centre_mm=(x, y, z + apart_mm))
        monkeypatch.setattr(assess, "find_left_ventricle", lambda *_images, seen=seen: seen)
        answer = assessed(study, small, replace(QUIET, heart_apart_mm=20.0))
        assert answer.heart.method == "axis"
        assert answer.heart.apart_mm == pytest.approx(apart_mm)
        assert answer.decision == decision


def test_warnings_stand_by_rank(study) -> None:
    notes = Note("recorded", Rank.RECORD), "guessed", Note("changes", Rank.CHANGES_ANSWER), "guessed"
    answer = assessed(replace(study, notes=notes), MOTION)
    shown = [note for note in answer.warnings if note in ("recorded", "guessed", "changes")]
    assert shown == ["changes", "guessed", "recorded"]
    assert [note.rank for note in answer.warnings] == sorted(note.rank for note in answer.warnings)
    assert answer.decision == "review"


def test_two_patients_are_refused_before_any_work(study) -> None:
    other = replace(study, spect_patient=PatientIdentity("1"), attenuation_patient=PatientIdentity("2"))
    with pytest.raises(RefusedError, match="different patients"):
        examine(other, StudySettings(Told(MOTION), OSEM, PHYSICS), progress=lambda step: pytest.fail(step))
    with pytest.raises(RefusedError, match="different patients"):
        reconstruct_at(other, MOTION, StudySettings(reconstructor=OSEM, physics=PHYSICS))
    answer = examine(other, StudySettings(Told(MOTION), OSEM, PHYSICS, limits=QUIET), allow_different_patients=True)
    assert answer.decision == "review"


def test_a_map_without_lungs_is_no_chest(study) -> None:
    belly = study.attenuation.with_values(np.where(study.attenuation.values > 0.02, 0.15, 0.0))
    other = replace(study, attenuation=belly)
    with pytest.raises(RefusedError, match="ml of lung"):
        examine(other, StudySettings(Told(MOTION), OSEM, PHYSICS))
    with pytest.raises(RefusedError, match="ml of lung"):
        reconstruct_at(other, MOTION, StudySettings(reconstructor=OSEM, physics=PHYSICS))


def test_a_pose_without_overlap_is_refused_on_every_path(study) -> None:
    far = RigidTransform.from_six((0.0, 0.0, 700.0), (0, 0, 0), GRID.centre_mm)
    with pytest.raises(RefusedError, match="no overlap"):
        reconstruct_at(study, far, StudySettings(reconstructor=OSEM, physics=PHYSICS))


def test_a_reconstructed_volume_is_decided_upon_without_polar_maps(study) -> None:
    image = examine(
        study, StudySettings(Told(RigidTransform.identity()), OSEM, PHYSICS), correct=False
    ).spect_uncorrected
    answer = assessed(Study(image, study.attenuation), MOTION)
    assert answer.perfusion is None
    assert answer.spect_header is None
    assert answer.decision in ("moved", "review")


@pytest.mark.parametrize(("depth_mm", "expected"), [(-200.0, 100.0), (200.0, 0.0), (0.0, 50.0)])
def test_the_mismatch_is_the_share_of_the_wall_that_lies_on_lung(depth_mm, expected) -> None:
    """Lung on one side of a plane across the ventricle: all of the wall, none of it, half of it."""
    side = voxel_points(HEART_GRID) @ TOWARD["lateral"] / np.linalg.norm(TOWARD["lateral"])
    middle = np.asarray(VENTRICLE.centre_mm) @ TOWARD["lateral"] / np.linalg.norm(TOWARD["lateral"])
    mu = Volume.from_numpy(np.where(side > middle + depth_mm, 0.04, 0.15), HEART_GRID, Quantity.MU_PER_CM)
    found = mismatch_percent(myocardium(wall_volume(), VENTRICLE), mu)
    assert found == pytest.approx(expected, abs=6.0)


def test_a_wall_that_the_ct_does_not_reach_has_no_index() -> None:
    values = np.full(HEART_GRID.shape, 0.15)
    nowhere = Volume(values, HEART_GRID, Quantity.MU_PER_CM, np.ones(HEART_GRID.shape, dtype=bool))
    assert mismatch_percent(myocardium(wall_volume(), VENTRICLE), nowhere) is None


@pytest.mark.parametrize(("pose", "rank"), [(RigidTransform.identity(), Rank.CHANGES_ANSWER), (MOTION, Rank.GUESSED)])
def test_header_positions_in_two_frames_of_reference_are_a_serious_guess(study, pose, rank) -> None:
    """A map that is put where its header says has no place in another frame; one that was registered has."""
    map_grid = study.attenuation.grid
    spect = replace(study.spect, frame_of_reference="1.2")
    attenuation = replace(study.attenuation, grid=Grid(map_grid.shape, map_grid.affine, "1.3"))
    other = replace(study, spect=spect, attenuation=attenuation)
    _, notes = reconstruct_at(other, pose, StudySettings(reconstructor=OSEM, physics=PHYSICS))
    (note,) = (note for note in notes if "different frames of reference" in note)
    assert note.rank is rank


def test_reconstruct_at_a_pose_has_the_warnings_of_a_registration(study) -> None:
    """The same pose through both doors: what is said of motion, coverage, frames and projections is the same."""
    limits = Thresholds(least_map_gain=1000.0, rotation_centre_mm=100.0)
    answer = examine(study, StudySettings(Told(MOTION), OSEM, PHYSICS, limits=limits))
    _, notes = reconstruct_at(study, MOTION, StudySettings(reconstructor=OSEM, physics=PHYSICS, limits=limits))
    assert any("no better than water" in note for note in notes)
    assert set(notes) == {note for note in answer.warnings if "ways to locate the heart" not in note}
