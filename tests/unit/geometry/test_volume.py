"""Volumes: what they refuse, where the unknown goes, how they move and shrink."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mureg.errors import GeometryError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume, interpolate, interpolation
from mureg.jobs.threads import threads_set_to
from support.phantoms import blobs, centroid_mm, oblique_grid, voxel_points
from support.shapes import unchecked
from support.strategies import grids, numbers, triples

CUBE = Grid.centred((6, 5, 4), (2.0, 3.0, 4.0))


def random_volume(grid: Grid, seed: int = 0, quantity: Quantity = Quantity.HU) -> Volume:
    values = np.random.default_rng(seed).random(grid.shape)
    return Volume(values, grid, quantity)


class TestRefusals:
    def test_values_of_another_shape_than_the_grid(self) -> None:
        with pytest.raises(GeometryError, match=r"shape \(4, 5, 6\) on a grid of shape \(6, 5, 4\)"):
            Volume(np.zeros((4, 5, 6)), CUBE, Quantity.HU)

    def test_a_mask_of_another_shape(self) -> None:
        with unchecked(), pytest.raises(GeometryError, match="a mask of shape"):
            Volume(np.zeros((6, 5, 4)), CUBE, Quantity.HU, np.zeros((4, 5, 6), dtype=bool))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_values_that_are_no_numbers(self, value) -> None:
        values = np.zeros((6, 5, 4))
        values[1, 2, 3] = value
        with pytest.raises(GeometryError, match="NaN or infinite voxel values; expected finite numbers"):
            Volume(values, CUBE, Quantity.HU)


class TestIdentity:
    @pytest.mark.parametrize("grid", [CUBE, oblique_grid()], ids=["straight", "oblique"])
    @pytest.mark.parametrize("quantity", [Quantity.HU, Quantity.LABEL])
    def test_resampling_onto_itself_changes_nothing(self, grid, quantity) -> None:
        volume = random_volume(grid, quantity=quantity)
        same = volume.resampled(onto=grid)
        np.testing.assert_allclose(same.values, volume.values, rtol=0, atol=1e-12)
        assert same.outside is None
        assert same.grid == grid
        assert same.quantity is quantity

    def test_the_volume_itself_is_left_as_it_was(self) -> None:
        volume = random_volume(CUBE)
        before = volume.values.copy()
        volume.resampled(onto=oblique_grid(), through=RigidTransform.from_six((3, 2, 1), (5, 6, 7), (0, 0, 0)))
        assert np.array_equal(volume.values, before)

    def test_numbers_survive_the_way_through_numpy(self) -> None:
        values = np.arange(120, dtype=np.float32).reshape(6, 5, 4)
        np.testing.assert_array_equal(Volume.from_numpy(values, CUBE, Quantity.HU).values, values)


class TestMotion:
    @given(triples(25.0), triples(20.0))
    def test_anatomy_at_a_place_in_ct_appears_where_ct_from_spect_came_from(self, shift, angles) -> None:
        """The object lies at `ct_from_spect(p)` in CT, so that it must be seen at p in SPECT."""
        ct_from_spect = RigidTransform.from_six(shift, angles, (4.0, -3.0, 2.0))
        ct_grid, spect_grid = oblique_grid((44, 46, 40), (4.0, 4.0, 4.0)), Grid.centred((24, 24, 24), (5.0,) * 3)
        ct = Volume.from_numpy(blobs(ct_from_spect.inverse().apply(voxel_points(ct_grid))), ct_grid, Quantity.ACTIVITY)
        seen = ct.resampled(onto=spect_grid, through=ct_from_spect)
        truth = blobs(voxel_points(spect_grid))
        # linear interpolation errs by up to spacing^2 / 8 times the curvature in each direction
        np.testing.assert_allclose(seen.values, truth, atol=3 * 4.0**2 / 8 / 12.0**2 * 1.5)
        np.testing.assert_allclose(centroid_mm(seen.values, spect_grid), centroid_mm(truth, spect_grid), atol=0.3)

    def test_a_shift_moves_the_picture_against_the_map_of_points(self) -> None:
        """With `ct_from_spect` = 2 voxels to the left (+x), what lay at index 4 in CT is seen at index 2."""
        values = np.zeros((6, 5, 4))
        values[4, 1, 2] = 7.0
        shift = RigidTransform.from_six((2 * 2.0, 0, 0), (0, 0, 0), (0, 0, 0))
        seen = Volume(values, CUBE, Quantity.COUNTS).resampled(onto=CUBE, through=shift)
        expected = np.zeros((6, 5, 4))
        expected[2, 1, 2] = 7.0
        np.testing.assert_allclose(seen.values, expected, rtol=0, atol=1e-5)

    @given(triples(8.0), triples(15.0))
    def test_there_and_back_returns_a_smooth_object(self, shift, angles) -> None:
        a_from_b = RigidTransform.from_six(shift, angles, (0, 0, 0))
        grid = Grid.centred((40, 40, 40), (3.0, 3.0, 3.0))
        original = Volume.from_numpy(blobs(voxel_points(grid)), grid, Quantity.ACTIVITY)
        back = original.resampled(grid, a_from_b).resampled(grid, a_from_b.inverse())
        inside = np.linalg.norm(voxel_points(grid), axis=-1) < 35.0
        # two interpolations, each off by up to 3 * 3^2 / 8 / 12^2 of the peak
        np.testing.assert_allclose(back.values[inside], original.values[inside], atol=2 * 3 * 9 / 8 / 144 * 1.3)

    @given(grids(least=2), triples(3.0), numbers(-5, 5))
    def test_a_ramp_is_sampled_exactly(self, target, slope, offset) -> None:
        """Trilinear interpolation is exact for functions linear in space, inside the outermost voxel centres."""
        source = oblique_grid((12, 11, 10), (9.0, 8.0, 7.0))
        ramp = voxel_points(source) @ np.asarray(slope) + offset
        seen = Volume(ramp, source, Quantity.HU).resampled(onto=target)
        index = source.indices(voxel_points(target))
        within = ((index >= 0) & (index <= np.asarray(source.shape) - 1)).all(-1)
        expected = voxel_points(target) @ np.asarray(slope) + offset
        np.testing.assert_allclose(seen.values[within], expected[within], atol=1e-8)

    def test_labels_are_never_mixed(self) -> None:
        labels = np.random.default_rng(1).integers(0, 2, (6, 5, 4)) * 40.0
        motion = RigidTransform.from_six((0.7, 0.4, -0.9), (10, 20, 30), (0, 0, 0))
        seen = Volume(labels, CUBE, Quantity.LABEL).resampled(onto=CUBE, through=motion)
        assert set(np.unique(seen.values).tolist()) == {0.0, 40.0}


class TestOutside:
    @given(st.integers(-6, 6), st.integers(-5, 5), st.integers(-4, 4))
    def test_what_a_shift_brings_in_from_beyond_is_unknown(self, i, j, k) -> None:
        shift = RigidTransform.from_six((i * 2.0, j * 3.0, k * 4.0), (0, 0, 0), (0, 0, 0))
        seen = random_volume(CUBE).resampled(onto=CUBE, through=shift)
        kept = max(0, 6 - abs(i)) * max(0, 5 - abs(j)) * max(0, 4 - abs(k))
        assert seen.known_share == pytest.approx(kept / 120)
        if seen.outside is not None:
            assert float(np.abs(seen.values[seen.outside]).sum()) == 0.0

    def test_a_voxel_reaches_half_a_spacing_around_its_centre(self) -> None:
        nearly_half = RigidTransform.from_six((0.98, 0, 0), (0, 0, 0), (0, 0, 0))
        over_half = RigidTransform.from_six((1.02, 0, 0), (0, 0, 0), (0, 0, 0))
        assert random_volume(CUBE).resampled(CUBE, nearly_half).outside is None
        assert random_volume(CUBE).resampled(CUBE, over_half).known_share == pytest.approx(5 / 6)

    def test_unknown_voxels_stay_unknown_and_never_bleed_in(self) -> None:
        mask = np.zeros((6, 5, 4), dtype=bool)
        mask[3] = True
        values = np.ones((6, 5, 4))
        values[3] = -2000.0
        half_a_voxel = RigidTransform.from_six((1.0, 0, 0), (0, 0, 0), (0, 0, 0))
        seen = Volume(values, CUBE, Quantity.HU, mask).resampled(onto=CUBE, through=half_a_voxel)
        assert seen.outside is not None
        touched = [bool(plane.all()) for plane in seen.outside]
        assert touched[2:4] == [True, True]
        assert [bool(plane.any()) for plane in seen.outside[:2]] == [False, False]
        np.testing.assert_allclose(seen.values[~seen.outside], np.ones(int((~seen.outside).sum())))

    @given(triples(6.0), triples(30.0), st.booleans(), st.booleans())
    def test_what_is_unknown_is_known_without_the_values(self, shift_mm, angles_deg, masked, labels) -> None:
        mask = np.random.default_rng(1).random((6, 5, 4)) > 0.8 if masked else None
        volume = Volume(np.ones((6, 5, 4)), CUBE, Quantity.LABEL if labels else Quantity.HU, mask)
        motion = RigidTransform.from_six(shift_mm, angles_deg, (0, 0, 0))
        for through in (motion, None):
            outside = volume.resampled(CUBE, through).outside
            expected = np.zeros((6, 5, 4), dtype=bool) if outside is None else outside
            assert np.array_equal(volume.unknown_on(CUBE, through), expected)

    def test_a_whole_voxel_shift_moves_the_mask_with_the_image(self) -> None:
        mask = np.zeros((6, 5, 4), dtype=bool)
        mask[4, 2, 1] = True
        shift = RigidTransform.from_six((2.0, 0, 0), (0, 0, 0), (0, 0, 0))
        seen = Volume(np.ones((6, 5, 4)), CUBE, Quantity.HU, mask).resampled(onto=CUBE, through=shift)
        expected = np.zeros((6, 5, 4), dtype=bool)
        expected[3, 2, 1] = True
        expected[5] = True
        assert np.array_equal(seen.outside, expected)

    def test_far_away_nothing_is_known(self) -> None:
        far = Grid.centred((3, 3, 3), (5.0,) * 3, (900.0, 0.0, 0.0))
        assert random_volume(CUBE).resampled(onto=far).known_share == 0.0

    def test_everything_is_known_without_a_mask(self) -> None:
        assert random_volume(CUBE).known_share == 1.0
        mask = np.zeros(CUBE.shape, dtype=bool)
        assert Volume.from_numpy(np.zeros(CUBE.shape), CUBE, Quantity.HU, mask).outside is None


class TestPart:
    @pytest.mark.parametrize("grid", [CUBE, oblique_grid()], ids=["straight", "oblique"])
    def test_a_part_holds_what_resampling_onto_it_gives(self, grid) -> None:
        chance = np.random.default_rng(1)
        volume = Volume(chance.random(grid.shape), grid, Quantity.HU, chance.random(grid.shape) < 0.1)
        affine = grid.affine.copy()
        affine[:3, 3] = grid.points((1, 2, 1))
        part = volume.part(Grid((3, 2, 2), affine))
        np.testing.assert_array_equal(part.values, volume.values[1:4, 2:4, 1:3])
        sampled = volume.resampled(onto=part.grid)
        known = np.ones(part.values.shape, bool) if sampled.outside is None else ~sampled.outside
        np.testing.assert_array_equal(known, True if part.outside is None else ~part.outside)
        np.testing.assert_allclose(part.values[known], sampled.values[known], atol=1e-12)

    @pytest.mark.parametrize(
        ("shape", "shift"), [((6, 5, 4), (1.0, 0.0, 0.0)), ((2, 2, 2), (0.5, 0.0, 0.0)), ((2, 2, 2), (-1.0, 0.0, 0.0))]
    )
    def test_other_grids_are_refused(self, shape, shift) -> None:
        affine = CUBE.affine.copy()
        affine[:3, 3] = CUBE.points(shift)
        with pytest.raises(GeometryError, match="some of the voxels of the volume"):
            random_volume(CUBE).part(Grid(shape, affine))


class TestInterpolate:
    OFFSET = np.outer([0.3, -0.9, 0.2, 0.0], [0, 0, 0, 1])
    MATRIX = RigidTransform.from_six((0.63, 0.57, 0.71), (4, -5, 6), (0, 0, 0)).matrix.copy()

    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize(
        "matrix",
        [
            pytest.param(MATRIX, id="turned"),
            pytest.param(np.diag([0.61, 1.7, 0.93, 1.0]) + OFFSET, id="along axes"),
        ],
    )
    def test_values_are_those_of_eight_neighbours_by_their_distance(self, monkeypatch, matrix, threads) -> None:
        """Referee: `scipy.ndimage.map_coordinates` at each place, which the rim half a voxel wide repeats."""
        monkeypatch.setattr(interpolation, "_SLAB_POINTS", 20)
        values = np.random.default_rng(3).random((5, 6, 7))
        index = np.moveaxis(np.indices((8, 5, 9)), 0, -1) @ matrix[:3, :3].T + matrix[:3, 3]
        expected = ndimage.map_coordinates(values, np.moveaxis(index, -1, 0), order=1, mode="nearest")
        beyond = ((index < -0.5) | (index > np.asarray(values.shape) - 0.5)).any(-1)
        with threads_set_to(threads):
            sampled, outside = interpolate(values, matrix, (8, 5, 9))
        np.testing.assert_array_equal(outside, beyond)
        np.testing.assert_allclose(sampled, np.where(beyond, 0.0, expected), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("nearest", [False, True])
    @pytest.mark.parametrize("points_at_once", [1, 13, 60])
    def test_slabs_give_what_one_go_gives(self, monkeypatch, nearest, points_at_once) -> None:
        values = np.random.default_rng(4).random((5, 6, 7)).astype(np.float32)
        whole = interpolate(values, self.MATRIX, (7, 4, 3), nearest=nearest)
        monkeypatch.setattr(interpolation, "_SLAB_POINTS", points_at_once)
        slabs = interpolate(values, self.MATRIX, (7, 4, 3), nearest=nearest)
        assert np.array_equal(whole[0], slabs[0])
        assert np.array_equal(whole[1], slabs[1])


class TestCoarsened:
    @pytest.mark.parametrize(
        "grid",
        [Grid.centred((12, 8, 6), (1.0, 1.5, 2.0), (5, 6, 7)), oblique_grid((12, 8, 6), (1.0, 1.5, 2.0))],
        ids=["straight", "oblique"],
    )
    def test_mean_extent_and_centre_are_kept_where_blocks_fit(self, grid) -> None:
        volume = random_volume(grid)
        coarse = volume.coarsened(3.0 + 1e-9)
        assert coarse.grid.shape == (4, 4, 6)
        np.testing.assert_allclose(coarse.grid.spacing_mm, (3.0, 3.0, 2.0))
        assert float(coarse.values.mean()) == pytest.approx(float(volume.values.mean()))
        np.testing.assert_allclose(coarse.grid.corners_mm(), grid.corners_mm(), atol=1e-9)

    @given(triples(2.0), numbers(2.0, 9.0))
    def test_a_ramp_keeps_its_place(self, slope, spacing_mm) -> None:
        """The mean of a linear function over a block is its value at the middle of the block."""
        grid = oblique_grid((12, 12, 12), (1.0, 2.0, 3.0))
        ramp = voxel_points(grid) @ np.asarray(slope)
        coarse = Volume(ramp, grid, Quantity.HU).coarsened(spacing_mm)
        whole = tuple(
            slice(0, int(12 // round(c / s))) for c, s in zip(coarse.grid.spacing_mm, grid.spacing_mm, strict=True)
        )
        expected = voxel_points(coarse.grid) @ np.asarray(slope)
        np.testing.assert_allclose(coarse.values[whole], expected[whole], atol=1e-9)

    @given(grids(), numbers(0.1, 30.0))
    def test_it_gets_no_coarser_than_asked_and_reaches_as_far(self, grid, spacing_mm) -> None:
        coarse = random_volume(grid).coarsened(spacing_mm).grid
        for before, after in zip(grid.spacing_mm, coarse.spacing_mm, strict=True):
            assert after <= max(before, spacing_mm) * (1 + 1e-5)
        assert (np.asarray(coarse.extent_mm) >= np.asarray(grid.extent_mm) - 1e-6).all()
        np.testing.assert_allclose(coarse.corners_mm()[0], grid.corners_mm()[0], atol=1e-6)

    def test_a_block_with_an_unknown_voxel_is_unknown(self) -> None:
        mask = np.zeros((6, 5, 4), dtype=bool)
        mask[5, 0, 0] = True
        coarse = Volume(np.ones((6, 5, 4)), CUBE, Quantity.HU, mask).coarsened(4.0)
        assert coarse.grid.shape == (3, 5, 4)
        assert coarse.outside is not None
        assert np.argwhere(coarse.outside).tolist() == [[2, 0, 0]]

    def test_a_grid_as_coarse_as_asked_stays(self) -> None:
        volume = random_volume(CUBE)
        assert volume.coarsened(2.0) is volume
