"""Views whose depths are added up beforehand, against the block that adds them up each time."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.errors import UsageError
from mureg.geometry import Quantity, Volume
from mureg.jobs.threads import threads_set_to
from mureg.spect import Acquisition, EnergyWindow, SystemModel
from mureg.spect.summed import SummedViews

VIEWS = [7, 0, 3, 6, 9]
"""Views 0 and 6, 3 and 9 face each other and share a frame."""


def _system(*, attenuation: bool = False) -> SystemModel:
    rng, n_views = np.random.default_rng(0), 12
    acquisition = Acquisition(
        np.zeros((1, n_views, 5, 9)),
        (EnergyWindow(126.0, 154.0),),
        0,
        np.arange(n_views) * 30.0,
        (6.8, 6.8),
        column_offsets_mm=3.0 * np.cos(np.radians(np.arange(n_views) * 30.0)),
        view_weights=rng.uniform(0.5, 1.5, n_views),
    )
    grid = acquisition.grid()
    mu = Volume(np.full(grid.shape, 0.1), grid, Quantity.MU_PER_CM)
    return SystemModel(acquisition, grid, mu if attenuation else None)


def test_summed_views_project_and_back_project_like_their_block() -> None:
    rng, system = np.random.default_rng(1), _system()
    activity = rng.uniform(0.0, 1.0, system.grid.shape)
    block, model = system.block(VIEWS, activity), system.model(VIEWS, activity)
    assert isinstance(model, SummedViews)
    projections = block.project(activity)
    np.testing.assert_allclose(model.project(activity), projections, rtol=1e-12)
    measured = rng.uniform(0.0, 1.0, projections.shape)
    np.testing.assert_allclose(model.backproject(measured), block.backproject(measured), rtol=1e-11, atol=1e-14)
    assert (model.project(activity) * measured).sum() == pytest.approx(
        (activity * model.backproject(measured)).sum(), rel=1e-12
    )


def test_the_number_of_threads_changes_no_digit() -> None:
    rng, system = np.random.default_rng(2), _system()
    activity = rng.uniform(0.0, 1.0, system.grid.shape).astype(np.float32)
    model = system.model(VIEWS, activity)
    answers = []
    for threads in (1, 2):
        with threads_set_to(threads):
            projections = model.project(activity)
            answers.append((projections, model.backproject(projections)))
    for one, two in zip(*answers, strict=True):
        assert one.dtype == np.float32
        assert np.array_equal(one, two)


def test_views_with_attenuation_cannot_be_summed() -> None:
    system = _system(attenuation=True)
    with pytest.raises(UsageError, match="attenuation"):
        SummedViews.of(system.block(VIEWS, np.ones(system.grid.shape)))
