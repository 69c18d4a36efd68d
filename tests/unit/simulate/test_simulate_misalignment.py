"""The direction of the motion, with SimpleITK as referee."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.simulate.misalignment import CLINICAL, PAPER, MotionRange, PatientMotion, moved

GRID = Grid.centred((40, 44, 36), (3.0, 3.0, 4.0), (5.0, -7.0, 20.0))
MOTION = PatientMotion((9.0, -7.0, 10.0), (5.0, -8.0, 12.0))
CENTRE_MM = (5.0, -7.0, 20.0)


def blob(at_mm: tuple[float, float, float]) -> Volume:
    points = GRID.points(np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), -1))
    values = 1000.0 * np.exp(-((points - at_mm) ** 2).sum(-1) / (2 * 7.0**2))
    return Volume(values.astype(np.float32), GRID, Quantity.HU)


def centroid_mm(volume: Volume) -> np.ndarray:
    values = volume.values
    index = np.stack(np.meshgrid(*[np.arange(n) for n in values.shape], indexing="ij"), -1)
    return volume.grid.points((index * values[..., None]).sum((0, 1, 2)) / values.sum())


def test_anatomy_lies_where_ct_from_spect_says() -> None:
    ct_from_spect = MOTION.ct_from_spect(CENTRE_MM)
    mark = (20.0, -15.0, 8.0)
    after = moved(blob(mark), ct_from_spect, GRID)
    assert centroid_mm(after) == pytest.approx(ct_from_spect.apply(mark), abs=0.1)


def test_the_motion_is_rotate_about_the_centre_then_translate() -> None:
    assert MOTION.ct_from_spect(CENTRE_MM).apply(CENTRE_MM) == pytest.approx(np.add(CENTRE_MM, MOTION.translation_mm))


def test_moved_agrees_with_simpleitk() -> None:
    ct_from_spect = MOTION.ct_from_spect(CENTRE_MM)
    original = blob((15.0, -12.0, 14.0))
    image = sitk.GetImageFromArray(original.values.transpose(2, 1, 0))
    image.SetSpacing(GRID.spacing_mm)
    image.SetOrigin(tuple(GRID.points((0, 0, 0))))
    euler = sitk.Euler3DTransform()
    euler.SetCenter(CENTRE_MM)
    euler.SetMatrix(ct_from_spect.matrix[:3, :3].ravel().tolist())
    euler.SetTranslation(MOTION.translation_mm)
    # a resampler asks where each point of its result comes from: the inverse of the motion of the anatomy
    referee = sitk.GetArrayFromImage(sitk.Resample(image, image, euler.GetInverse(), sitk.sitkLinear, 0.0))
    ours = moved(original, ct_from_spect, GRID)
    assert ours.outside is not None
    known = ~ours.outside
    assert np.abs(ours.values - referee.transpose(2, 1, 0))[known].max() < 0.01


def test_laying_the_moved_ct_back_gives_the_original() -> None:
    ct_from_spect = MOTION.ct_from_spect(CENTRE_MM)
    original = blob((8.0, -4.0, 22.0))
    back = moved(original, ct_from_spect, GRID).resampled(onto=GRID, through=ct_from_spect)
    assert centroid_mm(back) == pytest.approx(centroid_mm(original), abs=0.1)


def test_what_lay_outside_is_said_and_thick_slices_average() -> None:
    far = RigidTransform.from_six((0.0, 0.0, 30.0), (0.0, 0.0, 0.0), CENTRE_MM)
    thick = Grid.centred((40, 44, 18), (3.0, 3.0, 8.0), CENTRE_MM)
    after = moved(blob(CENTRE_MM), far, thick, oversampling=(1, 1, 2))
    # the first source slice begins at -52 mm; moved up by 30 mm, every target slice below -22 mm is unknown
    top_mm = thick.points(np.array([[0, 0, k] for k in range(18)]))[:, 2] + 4.0
    assert GRID.corners_mm()[:, 2].min() == pytest.approx(-52.0)
    assert after.outside is not None
    assert np.array_equal(after.outside.all((0, 1)), top_mm - 4.0 < -22.0)
    assert not after.outside[:, :, top_mm - 8.0 >= -22.0].any()


@pytest.mark.parametrize("bounds", [PAPER, CLINICAL])
def test_draws_stay_inside_their_range_and_repeat(bounds: MotionRange) -> None:
    drawn = [bounds.draw(np.random.default_rng(seed)) for seed in range(300)]
    translation = np.array([m.translation_mm for m in drawn])
    angles = np.array([m.angles_deg for m in drawn])
    for values, limit in ((translation, bounds.translation_mm), (angles, bounds.angles_deg)):
        assert (np.abs(values) <= limit).all()
        assert (np.abs(values).max(0) > 0.95 * np.asarray(limit)).all()
    assert bounds.draw(np.random.default_rng(3)) == drawn[3]
