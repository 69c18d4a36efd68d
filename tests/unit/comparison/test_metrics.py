"""Errors of a pose against a known one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mureg.comparison import ACTION_LIMIT_MM, motion_errors, share_above, target_registration_error_mm
from mureg.geometry import RigidTransform

CENTRE_MM = (10.0, -20.0, 175.0)
TRUE = RigidTransform.from_six((5.0, -3.0, 8.0), (4.0, -2.0, 6.0), CENTRE_MM)
HEART_MM = np.random.default_rng(1).normal((40.0, -50.0, 180.0), 25.0, (64, 3))

millimetres = st.tuples(*[st.floats(-60, 60)] * 3)
degrees = st.tuples(*[st.floats(-40, 40)] * 3)


@given(shift_mm=millimetres, angles_deg=degrees)
def test_errors_are_the_rigid_parameters_found_less_the_true_ones(shift_mm, angles_deg) -> None:
    found = RigidTransform.from_six(np.add((5.0, -3.0, 8.0), shift_mm), np.add((4.0, -2.0, 6.0), angles_deg), CENTRE_MM)
    shifts, angles = motion_errors(found, TRUE, CENTRE_MM)
    np.testing.assert_allclose(shifts, shift_mm, atol=1e-6)
    np.testing.assert_allclose(angles, angles_deg, atol=1e-5)


@given(shift_mm=millimetres, angles_deg=degrees)
def test_without_motion_the_headers_are_off_by_the_whole_of_it(shift_mm, angles_deg) -> None:
    true = RigidTransform.from_six(shift_mm, angles_deg, CENTRE_MM)
    shifts, angles = motion_errors(RigidTransform.identity(), true, CENTRE_MM)
    np.testing.assert_allclose(shifts, np.negative(shift_mm), atol=1e-6)
    np.testing.assert_allclose(angles, np.negative(angles_deg), atol=1e-5)


def test_angles_either_side_of_half_a_turn_are_neighbours() -> None:
    found, true = (RigidTransform.from_six((0, 0, 0), (0, 0, angle), CENTRE_MM) for angle in (179.0, -179.0))
    assert motion_errors(found, true, CENTRE_MM)[1] == pytest.approx((0.0, 0.0, -2.0))


def test_the_truth_has_no_error() -> None:
    assert target_registration_error_mm(TRUE, TRUE, HEART_MM) == 0.0
    assert motion_errors(TRUE, TRUE, CENTRE_MM) == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def test_a_shift_moves_every_point_by_its_length() -> None:
    found = RigidTransform.from_six((2.0, 3.0, -6.0), (0, 0, 0), CENTRE_MM) @ TRUE
    assert target_registration_error_mm(found, TRUE, HEART_MM) == pytest.approx(7.0)


def test_a_rotation_moves_a_point_along_its_chord() -> None:
    found = RigidTransform.from_six((0, 0, 0), (0, 0, 10.0), (0, 0, 0))
    error = target_registration_error_mm(found, RigidTransform.identity(), [[50.0, 0.0, 30.0]])
    assert error == pytest.approx(2 * 50.0 * np.sin(np.deg2rad(5.0)))


@given(shift_mm=millimetres, angles_deg=degrees)
def test_the_error_at_points_does_not_depend_on_the_frame_of_the_ct(shift_mm, angles_deg) -> None:
    elsewhere_from_ct = RigidTransform.from_six(shift_mm, angles_deg, (0, 0, 0))
    found = RigidTransform.from_six((1.0, 2.0, 3.0), (1.0, 0.0, -1.0), CENTRE_MM)
    assert target_registration_error_mm(elsewhere_from_ct @ found, elsewhere_from_ct @ TRUE, HEART_MM) == pytest.approx(
        target_registration_error_mm(found, TRUE, HEART_MM), abs=1e-9
    )


def test_the_limit_is_one_pixel_and_counts_as_within() -> None:
    assert share_above([0.0, ACTION_LIMIT_MM, 7.0, 30.0]) == 0.5
    assert share_above([1.0, 2.0, 3.0], limit=2.5) == pytest.approx(1 / 3)
    assert np.isnan(share_above([]))
