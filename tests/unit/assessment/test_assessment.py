"""From a small study to its decision: poses that were told, so that nothing but the decision is looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from mureg.assessment.assess import assess
from mureg.assessment.mismatch import mismatch_percent, myocardium
from mureg.assessment.thresholds import Thresholds
from mureg.errors import RefusedError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.pipeline import reconstruct, run
from mureg.recon import Osem
from mureg.registration import Registration
from mureg.spect import Physics
from mureg.study import Study
from support.hearts import GRID as HEART_GRID
from support.hearts import TOWARD, VENTRICLE, wall_volume
from support.phantoms import camera, chest, measured, mu_volume, orbit, voxel_points

OSEM, PHYSICS = Osem(iterations=2, subsets=6), Physics(resolution=False, scatter="none")
CAMERA = camera(orbit(24, 360), rows=28, columns=34, pixel_mm=(12.0, 12.0))
GRID = CAMERA.grid()
CT_GRID = Grid.centred((56, 46, 46), (9.0, 9.0, 9.0))
MOTION = RigidTransform.from_six((22.0, -16.0, 20.0), (4.0, -3.0, 5.0), GRID.centre_mm)


@dataclass(frozen=True)
class Told:
    """A registrar that answers what it was told."""

    pose: RigidTransform
    covariance: np.ndarray | None = None
    evidence: tuple[tuple[str, float], ...] = ()
    kind: str = "told"

    def register(self, fixed, moving, acquisition=None, maps=None) -> Registration:
        return Registration(
            self.pose, fixed.grid.centre_mm, self.kind, "moved", dict(self.evidence), covariance=self.covariance
        )


@pytest.fixture(scope="module")
def study() -> Study:
    activity, mu = chest(voxel_points(GRID), edge_mm=14.0)
    exact = measured(torch.from_numpy(100 * activity), CAMERA, Volume(torch.from_numpy(mu), GRID, Quantity.MU_PER_CM))
    return Study(replace(exact, counts=exact.counts.float()), mu_volume(CT_GRID, MOTION))


def assessed(study, pose: RigidTransform, limits: Thresholds = Thresholds(), **told):  # noqa: B008
    outcome = run(study, Told(pose, **told), OSEM, PHYSICS)
    return outcome, assess(study, outcome, limits, reconstructor=OSEM, physics=PHYSICS)


def test_an_aligned_study_keeps_pose_map_and_image_of_its_headers(study) -> None:
    small = RigidTransform.from_six((2.0, 1.0, -1.0), (0.0, 0.0, 0.0), GRID.centre_mm)
    outcome, said = assessed(study, small)
    assert said.decision == "aligned"
    assert said.outcome.registration.ct_from_spect == RigidTransform.identity()
    assert said.outcome.registration.shift_mm == (0.0, 0.0, 0.0)
    assert torch.equal(said.outcome.mu_registered.values, outcome.mu_header.values)
    assert torch.equal(said.outcome.spect_corrected.values, said.spect_header.values)
    assert not torch.equal(outcome.spect_corrected.values, said.spect_header.values)
    assert said.figures["found_move_at_heart_mm"] == pytest.approx(np.sqrt(6.0), abs=1e-6)


def test_a_corrected_study_keeps_the_pose_and_shows_what_the_headers_would_have_given(study) -> None:
    limits = Thresholds(least_axis_confidence=0.0)
    outcome, said = assessed(study, MOTION, limits)
    assert said.outcome.registration.ct_from_spect == MOTION
    assert said.outcome.spect_corrected is outcome.spect_corrected
    # the same image by another door: the map on the emission field alone, which holds all of this chest but its ends
    other = reconstruct(study.spect, outcome.mu_header, OSEM, PHYSICS)
    apart = (said.spect_header.values - other.values).abs().max() / other.values.max()
    assert float(apart) < 0.05
    assert said.outcome.provenance.settings["decision"]["aligned_mm"] == limits.aligned_mm


def test_intervals_come_from_the_covariance_and_a_wide_one_is_reviewed(study) -> None:
    matrix = np.diag([25.0, 25.0, 25.0, 1.0, 1.0, 1.0])
    _, said = assessed(study, MOTION, covariance=matrix)
    assert said.confidence is not None
    assert said.confidence.shift_mm == pytest.approx((5 * 1.6449,) * 3, rel=1e-3)
    assert not said.confidence.calibrated
    assert said.decision == "review"
    assert "pixel" in said.reason


def test_a_heart_that_was_hard_to_find_is_reviewed(study) -> None:
    limits = Thresholds(least_axis_confidence=0.0)
    for confidence, faint in ((0.49, True), (0.51, False)):
        _, said = assessed(study, MOTION, limits, evidence=(("heart_confidence", confidence),))
        assert any("hard to find" in reason for reason in said.reasons) == faint
        assert said.decision == "review" or not faint


def test_a_map_without_lungs_is_no_chest(study) -> None:
    belly = study.attenuation.with_values(torch.where(study.attenuation.values > 0.02, 0.15, 0.0))
    other = replace(study, attenuation=belly)
    outcome = run(other, Told(MOTION), OSEM, PHYSICS)
    with pytest.raises(RefusedError, match="ml of lung"):
        assess(other, outcome, reconstructor=OSEM, physics=PHYSICS)


def test_a_reconstructed_volume_is_decided_upon_without_polar_maps(study) -> None:
    image = run(study, Told(RigidTransform.identity()), OSEM, PHYSICS, correct=False).spect_uncorrected
    _, said = assessed(Study(image, study.attenuation), MOTION)
    assert said.perfusion is None
    assert said.spect_header is None
    assert said.decision in ("corrected", "review")


@pytest.mark.parametrize(("depth_mm", "expected"), [(-200.0, 100.0), (200.0, 0.0), (0.0, 50.0)])
def test_the_mismatch_is_the_share_of_the_wall_that_lies_on_lung(depth_mm, expected) -> None:
    """Lung on one side of a plane across the ventricle: all of the wall, none of it, half of it."""
    side = voxel_points(HEART_GRID) @ TOWARD["lateral"] / np.linalg.norm(TOWARD["lateral"])
    middle = np.asarray(VENTRICLE.centre_mm) @ TOWARD["lateral"] / np.linalg.norm(TOWARD["lateral"])
    mu = Volume.from_numpy(np.where(side > middle + depth_mm, 0.04, 0.15), HEART_GRID, Quantity.MU_PER_CM)
    found = mismatch_percent(myocardium(wall_volume(), VENTRICLE), mu)
    assert found == pytest.approx(expected, abs=6.0)


def test_a_wall_that_the_ct_does_not_reach_has_no_index() -> None:
    values = torch.full(HEART_GRID.shape, 0.15)
    nowhere = Volume(values, HEART_GRID, Quantity.MU_PER_CM, torch.ones(HEART_GRID.shape, dtype=torch.bool))
    assert mismatch_percent(myocardium(wall_volume(), VENTRICLE), nowhere) is None
