"""SimpleITK reads the pose as we mean it: resampling by it lays the map where the SPECT's anatomy is."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from hypothesis import given, settings

from mureg.geometry import Grid, RigidTransform
from mureg.registration.mutual_information import _to_itk, _to_rigid
from support.phantoms import mu_volume
from support.strategies import angles_deg, points_mm, triples

SPECT_GRID = Grid.centred((20, 20, 20), (16.0, 16.0, 16.0), (10.0, 0.0, 5.0))
CT_GRID = Grid.centred((34, 28, 30), (15.0, 15.0, 15.0))


@given(triples(60.0), angles_deg, triples(100.0), points_mm)
def test_an_itk_pose_becomes_the_same_map_of_points(shift, angles, centre, point) -> None:
    itk = sitk.Euler3DTransform()
    itk.SetCenter(centre)
    itk.SetRotation(*np.radians(angles))
    itk.SetTranslation(shift)
    np.testing.assert_allclose(_to_rigid(itk).apply(point), itk.TransformPoint(point), atol=1e-8)


@settings(max_examples=10)
@given(triples(40.0), triples(20.0))
def test_itk_lays_the_moved_map_back_by_the_same_pose(shift, angles) -> None:
    ct_from_spect = RigidTransform.from_six(shift, angles, SPECT_GRID.centre_mm)
    moved = mu_volume(CT_GRID, ct_from_spect)
    fixed_to_moving = sitk.Euler3DTransform()
    fixed_to_moving.SetComputeZYX(True)
    fixed_to_moving.SetCenter(SPECT_GRID.centre_mm)
    fixed_to_moving.SetRotation(*np.radians(angles))
    fixed_to_moving.SetTranslation(shift)
    reference = _to_itk(mu_volume(SPECT_GRID))
    theirs = sitk.GetArrayFromImage(sitk.Resample(_to_itk(moved), reference, fixed_to_moving, sitk.sitkLinear, 0.0))
    ours = moved.resampled(onto=SPECT_GRID, through=ct_from_spect).values
    np.testing.assert_allclose(ours, theirs.transpose(2, 1, 0), atol=1e-4)
