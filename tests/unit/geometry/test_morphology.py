"""Voxels near a mask, against the distance transform of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mureg.geometry.morphology import dilated, eroded, in_slices, within

SPACINGS = [(2.5, 2.5, 5.0), (1.3, 1.7, 0.9), (3.9, 3.9, 3.0)]


def scattered(share: float) -> np.ndarray:
    return np.random.default_rng(0).random((23, 31, 11)) < share


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("reach_mm", [0.5, 3.6, 7.0, 14.3])
def test_near_is_what_the_distance_says(spacing_mm, reach_mm) -> None:
    mask, spacing = scattered(0.01), np.asarray(spacing_mm)
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    np.testing.assert_array_equal(within(mask, reach_mm, spacing), distance <= reach_mm)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_deep_is_what_the_distance_says(spacing_mm) -> None:
    mask, spacing = scattered(0.99), np.asarray(spacing_mm)
    distance = ndimage.distance_transform_edt(mask, sampling=spacing)
    np.testing.assert_array_equal(eroded(mask, 3.6, spacing), distance > 3.6)


def test_in_slices_no_slice_is_near_another() -> None:
    mask, spacing = scattered(0.02), np.asarray((2.0, 3.0, 1.0))
    near = within(mask, 8.1, in_slices(spacing))
    for k in range(mask.shape[2]):
        distance = ndimage.distance_transform_edt(~mask[:, :, k], sampling=spacing[:2])
        np.testing.assert_array_equal(near[:, :, k], distance <= 8.1)
    cross = ndimage.generate_binary_structure(2, 1)[:, :, None]
    np.testing.assert_array_equal(dilated(mask), ndimage.binary_dilation(mask, cross))


def test_nothing_is_near_nothing() -> None:
    assert not within(np.zeros((5, 4, 3), dtype=np.bool_), 100.0, np.full(3, 20.0)).any()
