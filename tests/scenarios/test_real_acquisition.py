"""A real clinical acquisition (feet first, 30 views over 180 degrees): the heart must stand where hearts stand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mureg import Osem, read_spect, reconstruct
from mureg.spect.physics import WITHOUT

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module")
def heart(shared_data):
    """The smoothed reconstruction, and the patch of left-ventricular wall in it."""
    acquisition, _ = read_spect(shared_data / "nm/mpi_stress_tomo_180deg_30views.dcm")
    image = reconstruct(acquisition, None, Osem(iterations=4, subsets=10), WITHOUT)
    smooth = ndimage.gaussian_filter(image.values, 1.0)
    # above the liver and gut (the lower third of the field), below the neck
    chest = np.zeros_like(smooth, dtype=bool)
    chest[:, :, 20:50] = True
    labels, _ = ndimage.label((smooth > 0.5 * smooth[chest].max()) & chest)
    peak = np.unravel_index(np.argmax(np.where(chest, smooth, 0)), smooth.shape)
    return acquisition, image, smooth, labels == labels[peak]


def test_the_left_ventricle_is_left_and_in_front_of_the_axis(heart) -> None:
    acquisition, image, _, wall = heart
    centre = image.grid.points(np.argwhere(wall).mean(0)) - acquisition.centre_mm
    assert 10 < centre[0] < 120, "to the patient's left"
    assert -120 < centre[1] < -5, "to the front"


def test_the_horseshoe_opens_to_the_right_and_back(heart) -> None:
    """The apex points left and forward, so the wall is missing where the base is: towards the right and the back."""
    _, _, smooth, wall = heart
    i, j, k = np.round(np.argwhere(wall).mean(0)).astype(int)
    slices = smooth[:, :, k - 1 : k + 2].mean(-1)
    angles = np.radians(np.arange(0, 360, 15))
    # the strongest wall met when leaving the cavity in each direction; x to the left, y to the back
    reach = np.arange(2, 8, 0.5)
    profile = [
        ndimage.map_coordinates(slices, [i + reach * np.cos(a), j + reach * np.sin(a)], order=1).max() for a in angles
    ]
    missing = np.clip(0.6 * max(profile) - np.array(profile), 0, None)
    opening = np.array([(missing * np.cos(angles)).sum(), (missing * np.sin(angles)).sum()])
    assert missing.max() > 0, "closed ring: no base in this plane"
    assert opening[0] < 0, "the base must lie to the right of the cavity"
    assert opening[1] > 0, "the base must lie behind the cavity"


def test_gut_and_gallbladder_are_below_and_to_the_right(heart) -> None:
    acquisition, image, smooth, wall = heart
    feet_third = np.where(np.arange(smooth.shape[2]) < 16, smooth, 0)
    hottest = image.grid.points(np.unravel_index(np.argmax(feet_third), smooth.shape)) - acquisition.centre_mm
    assert hottest[0] < 0, "to the patient's right"
    assert hottest[2] < image.grid.points(np.argwhere(wall).mean(0))[2] - acquisition.centre_mm[2], "below the heart"


def test_mirroring_the_views_would_be_noticed(heart) -> None:
    """The test above is able to fail: mirrored projections put the heart on the right."""
    from dataclasses import replace

    acquisition, *_ = heart
    mirrored = replace(acquisition, counts=np.flip(acquisition.counts, -1))
    image = reconstruct(mirrored, None, Osem(iterations=2, subsets=10), WITHOUT)
    smooth = ndimage.gaussian_filter(image.values, 1.5)[:, :, 20:50]
    peak = np.array(np.unravel_index(np.argmax(smooth), smooth.shape)) + np.array([0, 0, 20])
    assert image.grid.points(peak)[0] - acquisition.centre_mm[0] < 0
