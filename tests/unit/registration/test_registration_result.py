"""The two parts of a pose as the report states them."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from mureg.geometry import RigidTransform
from mureg.registration import Registration
from support.strategies import angles_deg, rigid_transforms, triples


@given(triples(80.0), angles_deg, triples(200.0))
def test_the_rigid_parameters_are_those_of_the_motion_about_the_stated_centre(shift, angles, centre) -> None:
    found = Registration(RigidTransform.from_six(shift, angles, centre), centre, "test", "moved")
    np.testing.assert_allclose(found.shift_mm, shift, atol=1e-9)
    np.testing.assert_allclose(found.angles_deg, angles, atol=1e-9)


@given(rigid_transforms(), triples(200.0))
def test_shift_and_angles_rebuild_the_transform(ct_from_spect, centre) -> None:
    found = Registration(ct_from_spect, centre, "test", "moved")
    rebuilt = RigidTransform.from_six(found.shift_mm, found.angles_deg, centre)
    np.testing.assert_allclose(rebuilt.matrix, ct_from_spect.matrix, atol=1e-8)
