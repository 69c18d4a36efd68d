"""How views are computed must not show: in threads, in pairs from opposite sides, several studies at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, Volume
from mureg.jobs.threads import threads_set_to
from mureg.recon import Osem
from mureg.spect import SystemModel, sparse
from mureg.spect.collimator import COLLIMATORS
from mureg.spect.scatter import SimulatedScatter
from support.phantoms import camera, orbit

LEHR = COLLIMATORS["GE LEHR"]
CHANCE = np.random.default_rng(3)


def model(angles, offsets=None, collimator=LEHR, dtype=np.float64) -> SystemModel:
    """A camera on an uneven orbit around a patchy map that is wider than the field."""
    scanner = replace(
        camera(angles, rows=6, columns=10, pixel_mm=(6.8, 6.8), dtype=dtype),
        radii_mm=np.linspace(120.0, 170.0, len(angles)),
        view_weights=np.linspace(0.5, 1.5, len(angles)),
        column_offsets_mm=None if offsets is None else np.asarray(offsets),
    )
    wide = Grid.centred((14, 12, 6), (6.8, 6.8, 6.8))
    mu = Volume(np.random.default_rng(1).random(wide.shape).astype(dtype) * 0.2, wide, Quantity.MU_PER_CM)
    return SystemModel(scanner, scanner.grid(), mu, collimator)


class TestOppositeViews:
    ANGLES = (10.0, 55.0, 190.0, 235.0, 300.0)

    @pytest.mark.parametrize("collimator", [None, LEHR], ids=["sharp", "blurred"])
    @pytest.mark.parametrize("offsets", [None, (3.0, -2.0, -3.0, 2.0, 1.0), (3.0, -2.0, 3.0, 2.0, 1.0)])
    def test_views_together_see_what_each_sees_alone(self, offsets, collimator) -> None:
        system = model(self.ANGLES, offsets, collimator)
        activity = CHANCE.random(system.grid.shape)
        views = list(range(len(self.ANGLES)))
        together = system.block(views, activity).project(activity)
        alone = np.concatenate([system.block([view], activity).project(activity) for view in views])
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12 * alone.max())

    def test_a_view_in_a_block_of_its_own_sees_what_it_sees_among_others(self) -> None:
        system = model(self.ANGLES)
        activity = CHANCE.random(system.grid.shape)
        block = system.block(range(len(self.ANGLES)), activity)
        alone = np.concatenate([one.project(activity) for one in block.singly()])
        np.testing.assert_allclose(alone, block.project(activity), rtol=0, atol=1e-12 * alone.max())

    def test_only_views_that_look_along_the_same_lines_share_a_frame(self) -> None:
        activity = np.zeros(model(self.ANGLES).grid.shape)

        def frames(offsets) -> int:
            return len(model(self.ANGLES, offsets).block(range(5), activity).turns)

        assert frames(None) == 3
        assert frames((3.0, -2.0, -3.0, 2.0, 1.0)) == 3
        assert frames((3.0, -2.0, 3.0, 2.0, 1.0)) == 4


class TestThreads:
    @pytest.mark.parametrize("scatter", [None, SimulatedScatter(directions=20, refresh_after=(1,))])
    def test_the_number_of_threads_changes_no_digit(self, scatter) -> None:
        system = replace(model(orbit(12, 360), dtype=np.float32), scatter=scatter)
        activity = CHANCE.random(system.grid.shape, dtype=np.float32)
        acquisition = replace(system.acquisition, counts=np.ascontiguousarray(system.project(activity))[None])
        images = []
        for threads in (1, 2, 5):
            with threads_set_to(threads):
                images.append(Osem(iterations=2, subsets=3).reconstruct(acquisition, system).values)
        assert images[0].max() > 0.1
        assert np.array_equal(images[0], images[1])
        assert np.array_equal(images[0], images[2])


def test_studies_one_after_another_along_z_are_projected_each_for_itself() -> None:
    system = model(orbit(5, 180))
    block = system.block(range(5), system.mu.values)
    maps = [system.mu.values, 0.5 * system.mu.values]
    activities = [CHANCE.random(system.grid.shape) for _ in maps]
    both = block.with_attenuation(system.attenuation_of(np.concatenate(maps, -1), range(5)))
    together = both.project(np.concatenate(activities, -1))
    back = both.backproject(together)
    for k, (mu, activity) in enumerate(zip(maps, activities, strict=True)):
        own = block.with_attenuation(system.attenuation_of(mu, range(5)))
        slices = slice(k * 6, (k + 1) * 6)
        np.testing.assert_allclose(together[..., slices], own.project(activity), rtol=0, atol=1e-12)
        np.testing.assert_allclose(back[..., slices], own.backproject(own.project(activity)), rtol=0, atol=1e-11)


class TestSparse:
    def test_without_scipys_inner_functions_the_products_are_the_same(self, monkeypatch) -> None:
        system = model(orbit(4, 360))
        activity = CHANCE.random(system.grid.shape)
        direct = system.project(activity)
        back = system.backproject(direct)
        monkeypatch.setattr(sparse, "csr_matvecs", None)
        monkeypatch.setattr(sparse, "csc_matvecs", None)
        np.testing.assert_allclose(system.project(activity), direct, rtol=1e-12)
        np.testing.assert_allclose(system.backproject(direct), back, rtol=1e-12)

    def test_arrays_that_do_not_fit_are_refused(self) -> None:
        matrix = sparse.SparseMatrix(np.arange(4, dtype=np.int32), np.arange(3, dtype=np.int32), np.ones(3), 3)
        with pytest.raises(ValueError, match="product of"):
            matrix.apply(np.ones((4, 2)), np.ones((3, 2)))
        with pytest.raises(ValueError, match="gaps"):
            matrix.apply(np.ones((3, 2)), np.ones((3, 4))[:, ::2])
