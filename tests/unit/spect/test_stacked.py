"""Stacked views against the block they were made of, and the memory that kept results may take."""

import numpy as np
import pytest

from mureg.errors import UsageError
from mureg.geometry import Quantity, Volume
from mureg.spect import Acquisition, EnergyWindow, SystemModel
from mureg.spect.collimator import Collimator
from mureg.spect.kept import KeptByBytes
from mureg.spect.stacked import StackedViews

VIEWS = [0, 3, 6, 9, 5]


def _system(*, resolution: bool = False) -> SystemModel:
    rng = np.random.default_rng(0)
    n_views = 12
    acquisition = Acquisition(
        np.zeros((1, n_views, 5, 9)),
        (EnergyWindow(126.0, 154.0),),
        0,
        np.arange(n_views) * 30.0,
        (6.8, 6.8),
        radii_mm=np.full(n_views, 200.0),
        view_weights=rng.uniform(0.5, 1.5, n_views),
    )
    grid = acquisition.grid()
    mu = Volume(rng.uniform(0.0, 0.2, grid.shape), grid, Quantity.MU_PER_CM)
    return SystemModel(acquisition, grid, mu, Collimator("LEHR", 1.5, 0.2, 35.0) if resolution else None)


def test_stacked_views_project_like_the_block_and_back_project_its_transpose() -> None:
    """Views 0 and 6, 3 and 9 face each other and share a frame."""
    rng, system = np.random.default_rng(1), _system()
    activity = rng.uniform(0.0, 1.0, system.grid.shape)
    block = system.block(VIEWS, activity)
    stacked = StackedViews.of(block, activity.shape[2], activity.dtype.name)
    projections = block.project(activity)
    np.testing.assert_allclose(stacked.project(activity), projections, rtol=1e-12)
    measured = rng.uniform(0.0, 1.0, projections.shape)
    np.testing.assert_allclose(stacked.backproject(measured), block.backproject(measured), rtol=1e-11, atol=1e-14)
    assert (stacked.project(activity) * measured).sum() == pytest.approx(
        (activity * stacked.backproject(measured)).sum(), rel=1e-12
    )


def test_views_with_resolution_cannot_be_stacked() -> None:
    system = _system(resolution=True)
    activity = np.ones(system.grid.shape)
    with pytest.raises(UsageError, match="resolution"):
        StackedViews.of(system.block(VIEWS, activity), activity.shape[2], "float64")


def test_what_is_kept_stays_below_its_memory_and_the_oldest_goes_first() -> None:
    kept: KeptByBytes[bytes] = KeptByBytes(10, len)
    made = []

    def value(key: str) -> bytes:
        return kept.value(key, lambda: made.append(key) or bytes(4))

    for key in ("a", "b", "a", "c", "a", "b"):
        assert len(value(key)) == 4
        assert kept.bytes <= 10
    assert made == ["a", "b", "c", "b"]
    kept.value("large", lambda: bytes(100))
    assert kept.bytes <= 10
