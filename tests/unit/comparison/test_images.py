"""Errors of images, and what the true transform and none make of a case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mureg.comparison import mean_motion_errors, target_registration_error_mm
from mureg.comparison.images import Images, mean_normalised, nmae_percent, nmse_percent
from mureg.comparison.regions import LiverRegion
from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.pipeline import StudySettings, examine
from mureg.recon import Osem
from mureg.registration import Registration
from mureg.spect import Physics
from support.tiny_cohort import tiny_case

FAST = {"reconstructor": Osem(iterations=2, subsets=4), "physics": Physics(scatter="none")}


@pytest.fixture(scope="module")
def images() -> Images:
    return Images.of(tiny_case(0), **FAST)


def test_nmse_and_nmae_of_a_scaled_image_are_closed_forms() -> None:
    image = np.random.default_rng(1).random((5, 6, 7), dtype=np.float32)
    assert nmse_percent(1.1 * image, image) == pytest.approx(1.0, rel=1e-4)
    assert nmae_percent(1.1 * image, image) == pytest.approx(10.0, rel=1e-4)
    assert nmse_percent(image, image) == nmae_percent(image, image) == 0.0
    assert nmse_percent(np.zeros_like(image), image) == nmae_percent(np.zeros_like(image), image) == 100.0


@given(scale=st.floats(0.1, 50.0))
def test_they_do_not_depend_on_the_unit(scale) -> None:
    image, reference = np.random.default_rng(2).random((2, 4, 4, 4), dtype=np.float32)
    for figure in (nmse_percent, nmae_percent):
        assert figure(scale * image, scale * reference) == pytest.approx(figure(image, reference), rel=1e-4)
    assert float(mean_normalised(scale * image).mean()) == pytest.approx(1.0, rel=1e-5)


def test_a_reference_of_nothing_is_refused() -> None:
    nothing = np.zeros((3, 3, 3))
    for figure in (nmse_percent, nmae_percent):
        with pytest.raises(UsageError, match="a reference that is 0 everywhere"):
            figure(np.ones((3, 3, 3)), nothing)


def test_delta_t_and_delta_r_are_means_over_the_axes() -> None:
    true = RigidTransform.from_six((5.0, -3.0, 8.0), (4.0, -2.0, 6.0), (10.0, 0.0, 0.0))
    found = RigidTransform.from_six((8.0, -9.0, 8.0), (1.0, -2.0, 6.3), (10.0, 0.0, 0.0))
    assert mean_motion_errors(found, true, (10.0, 0.0, 0.0)) == pytest.approx((3.0, 1.1))


def test_the_ball_that_stands_for_the_liver_goes_with_the_heart() -> None:
    region = LiverRegion(radius_mm=30.0)
    heart = np.random.default_rng(0).normal(0.0, 20.0, (100, 3))
    points = region.points_mm(heart)
    centre = heart.mean(0) + region.from_heart_mm
    np.testing.assert_allclose(points.mean(0), centre, atol=1e-9)
    assert np.linalg.norm(points - centre, axis=1).max() <= 30.0
    volume = len(points) * region.spacing_mm**3
    assert volume == pytest.approx(4 / 3 * np.pi * 30.0**3, rel=0.1)
    np.testing.assert_allclose(region.points_mm(heart + 7.0), points + 7.0)
    shifted = RigidTransform.from_six((3.0, 0.0, 4.0), (0, 0, 0), (0, 0, 0))
    assert target_registration_error_mm(shifted, RigidTransform.identity(), points) == pytest.approx(5.0)


def test_the_true_transform_leaves_little_and_none_leaves_much(images) -> None:
    case = images.case
    oracle, unregistered, wrong = (
        nmse_percent(images.map_at(pose).values, case.truth.mu.values)
        for pose in (case.truth.ct_from_spect, RigidTransform.identity(), case.truth.ct_from_spect.inverse())
    )
    assert oracle < 2.0
    assert unregistered > 5 * oracle
    assert wrong > unregistered, "the inverse is not the transform"
    reference = images.reference().values
    oracle, unregistered = (
        nmse_percent(images.corrected_at(pose).values, reference)
        for pose in (case.truth.ct_from_spect, RigidTransform.identity())
    )
    assert oracle < 0.2 < 1.0 < unregistered


@dataclass(frozen=True)
class Knows:
    """A registrar that knows the answer."""

    answer: RigidTransform
    kind: str = "knows"

    def register(self, study) -> Registration:
        return Registration(self.answer, study.uncorrected.grid.centre_mm, "knows", "moved")


def test_images_are_those_of_the_pipeline(images) -> None:
    pose = images.case.truth.ct_from_spect
    outcome = examine(images.case.study, StudySettings(Knows(pose), **FAST))
    assert np.array_equal(outcome.examination.found.mu.values, images.map_at(pose).values)
    assert np.array_equal(outcome.examination.found.spect.values, images.corrected_at(pose).values)
