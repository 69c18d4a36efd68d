"""How alike places are to a ventricle: both ways to correlate, with SciPy's correlation as the referee."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mureg.heart import likeness
from mureg.heart.likeness import Box, likeness_in, share_within


@pytest.mark.parametrize("way", [likeness._Transformed, likeness._Neighbours])
def test_the_correlation_is_that_of_scipy(way) -> None:
    chance = np.random.default_rng(1)
    image, kernels = chance.random((9, 12, 10)), chance.normal(size=(3, 5, 5, 5))
    inside = (slice(2, -2),) * 3
    for ours, kernel in zip(way(image, 5).with_kernels(list(kernels)), kernels, strict=True):
        np.testing.assert_allclose(ours, ndimage.correlate(image, kernel)[inside], atol=1e-12)


def test_few_voxels_and_many_are_given_the_same_likeness(monkeypatch) -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(2).random((20, 22, 24)), 1.5)
    box = Box((3, 4, 0), (9, 10, 7))
    of_few = likeness_in(image, box, 0.009)
    monkeypatch.setattr(likeness, "_FEW_VOXELS", 0)
    np.testing.assert_allclose(of_few, likeness_in(image, box, 0.009), atol=1e-9)
    whole = likeness_in(image, Box((0, 0, 0), image.shape), 0.009)
    np.testing.assert_allclose(of_few, whole[box.slices], atol=1e-9)


def test_the_share_of_a_ball_is_counted_voxel_by_voxel() -> None:
    mask = np.random.default_rng(3).random((9, 8, 7)) < 0.3
    box = Box((2, 0, 3), (7, 8, 7))
    shares = share_within(mask, 20.0, box)
    places = np.indices(mask.shape).reshape(3, -1).T * likeness.SPACING_MM
    steps = np.indices((7, 7, 7)).reshape(3, -1).T - 3
    in_ball = (np.linalg.norm(steps * likeness.SPACING_MM, axis=1) <= 20.0).sum()
    for index in np.ndindex(*shares.shape):
        place = (np.array(index) + box.first) * likeness.SPACING_MM
        near = mask.ravel()[np.linalg.norm(places - place, axis=1) <= 20.0]
        assert shares[index] == pytest.approx(near.sum() / in_ball, abs=1e-12)
