"""scipy and SimpleITK as referees of the rigid parameters."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from hypothesis import given
from scipy.spatial.transform import Rotation

from mureg.geometry import RigidTransform
from support.strategies import angles_deg, points_mm, rigid_transforms, triples


@given(triples(100.0), angles_deg, triples(200.0), points_mm)
def test_rigid_parameters_mean_what_itk_means_with_zyx(translation, angles, centre, point) -> None:
    itk = sitk.Euler3DTransform()
    itk.SetComputeZYX(True)
    itk.SetCenter(centre)
    itk.SetRotation(*np.radians(angles))
    itk.SetTranslation(translation)
    ours = RigidTransform.from_six(translation, angles, centre)
    np.testing.assert_allclose(ours.apply(point), itk.TransformPoint(point), atol=1e-9)


@given(angles_deg)
def test_angles_turn_about_the_fixed_axes_x_then_y_then_z(angles) -> None:
    x, y, z = (Rotation.from_rotvec(np.radians(a) * axis) for a, axis in zip(angles, np.eye(3), strict=True))
    ours = RigidTransform.from_six((0, 0, 0), angles, (0, 0, 0)).matrix[:3, :3]
    np.testing.assert_allclose(ours, (z * y * x).as_matrix(), atol=1e-12)


@given(rigid_transforms(), triples(200.0))
def test_itk_rebuilds_the_motion_from_our_rigid_parameters(b_from_a, centre) -> None:
    translation, angles = b_from_a.six(centre)
    itk = sitk.Euler3DTransform()
    itk.SetComputeZYX(True)
    itk.SetCenter(centre)
    itk.SetRotation(*np.radians(angles))
    itk.SetTranslation(translation)
    np.testing.assert_allclose(np.reshape(itk.GetMatrix(), (3, 3)), b_from_a.matrix[:3, :3], atol=1e-9)
    np.testing.assert_allclose(itk.TransformPoint((0.0, 0.0, 0.0)), b_from_a.matrix[:3, 3], atol=1e-9)
