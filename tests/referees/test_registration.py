"""SimpleITK reads the pose as we mean it: resampling by it lays the map where the SPECT's anatomy is."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from hypothesis import given, settings

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration import MutualInformation
from mureg.study import PreparedStudy
from support.phantoms import chest, mu_volume, voxel_points
from support.strategies import angles_deg, points_mm, triples

SPECT_GRID = Grid.centred((20, 20, 20), (16.0, 16.0, 16.0), (10.0, 0.0, 5.0))
CT_GRID = Grid.centred((34, 28, 30), (15.0, 15.0, 15.0))


@given(triples(60.0), angles_deg, triples(100.0), points_mm)
def test_the_rigid_parameters_are_those_of_an_euler_transform_of_itk(shift, angles, centre, point) -> None:
    itk = sitk.Euler3DTransform()
    itk.SetComputeZYX(True)
    itk.SetCenter(centre)
    itk.SetRotation(*np.radians(angles))
    itk.SetTranslation(shift)
    ours = RigidTransform.from_six(shift, angles, centre)
    np.testing.assert_allclose(ours.apply(point), itk.TransformPoint(point), atol=1e-8)


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
    reference = mu_volume(SPECT_GRID).to_sitk()
    theirs = sitk.GetArrayFromImage(sitk.Resample(moved.to_sitk(), reference, fixed_to_moving, sitk.sitkLinear, 0.0))
    ours = np.asarray(moved.resampled(onto=SPECT_GRID, through=ct_from_spect))
    np.testing.assert_allclose(ours, theirs.transpose(2, 1, 0), atol=1e-4)


def climbed_by_itk(method, fixed, moving, start) -> sitk.Transform:
    """Regular-step gradient descent of SimpleITK on the metric of `method`."""
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 200, 0.6, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, False)
    return method.Execute(fixed, moving)


def mattes(bins: int = 32):
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def in_itk(pose: RigidTransform, centre_mm) -> sitk.Euler3DTransform:
    shift_mm, turn_deg = pose.six(centre_mm)
    transform = sitk.Euler3DTransform()
    transform.SetComputeZYX(True)
    transform.SetCenter(centre_mm)
    transform.SetRotation(*np.radians(turn_deg).tolist())
    transform.SetTranslation(shift_mm)
    return transform


def test_simpleitk_finds_the_same_largest_mutual_information() -> None:
    """Its optimiser on its own metric, all voxels and the same smoothing, ends within 1.5 mm; its metric agrees."""
    spect_grid, centre = Grid.centred((40, 40, 40), (9.0, 9.0, 9.0), (10.0, -20.0, 30.0)), (10.0, -20.0, 30.0)
    ct_grid = Grid.centred((60, 50, 48), (8.0, 8.0, 8.0), (0.0, 0.0, 20.0))
    true = RigidTransform.from_six((14.0, -9.0, 11.0), (3.0, -2.0, 4.0), centre)
    spect = Volume.from_numpy(chest(voxel_points(spect_grid), edge_mm=16.0)[0], spect_grid, Quantity.ACTIVITY)
    ct = mu_volume(ct_grid, true)
    settings_ = MutualInformation(brightest=1.0, sampling=0.25)
    ours = settings_.register(PreparedStudy.from_images(spect, ct)).ct_from_spect
    fixed, moving = (sitk.SmoothingRecursiveGaussian(v.to_sitk(), settings_.smoothing_mm[-1]) for v in (spect, ct))
    theirs = climbed_by_itk(mattes(), fixed, moving, in_itk(true, centre))
    places = np.asarray(centre) + 60.0 * np.concatenate([np.eye(3), -np.eye(3)])
    moved = np.array([theirs.TransformPoint(place.tolist()) for place in places])
    assert np.linalg.norm(ours.apply(places) - moved, axis=1).mean() < 1.5

    def value(transform) -> float:
        metric = mattes()
        metric.SetInitialTransform(transform)
        return -float(metric.MetricEvaluate(fixed, moving))

    best, before = value(theirs), value(in_itk(RigidTransform.identity(), centre))
    assert value(in_itk(ours, centre)) > best - 0.02 * (best - before)
