"""The moving average: what it leaves as it is, where its values lie, and what it does not know."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.errors import GeometryError
from mureg.geometry import Grid, Quantity, Volume
from support.phantoms import oblique_grid, voxel_points

GRID = Grid.centred((24, 20, 16), (2.0, 3.0, 4.0), (5.0, -7.0, 11.0))
INNER = (slice(6, -6), slice(4, -4), slice(3, -3))


@pytest.mark.parametrize("width_mm", [1.0, 4.0, 6.0, 8.0, 12.0])
def test_a_constant_stays_what_it_is(width_mm) -> None:
    averaged = Volume(np.full(GRID.shape, 0.15), GRID, Quantity.MU_PER_CM).averaged(width_mm)
    assert averaged.values == pytest.approx(0.15)
    assert averaged.outside is None


@pytest.mark.parametrize("grid", [GRID, oblique_grid((24, 20, 16))], ids=["straight", "oblique"])
@pytest.mark.parametrize("width_mm", [4.0, 6.0, 8.0])
def test_a_ramp_keeps_its_values_at_their_places(grid, width_mm) -> None:
    direction = np.array([0.3, -0.7, 0.5])
    ramp = Volume.from_numpy(voxel_points(grid) @ direction, grid, Quantity.COUNTS)
    averaged = ramp.averaged(width_mm)
    expected = voxel_points(averaged.grid) @ direction
    np.testing.assert_allclose(averaged.values[INNER], expected[INNER], atol=1e-3)


def test_mass_and_its_centre_stay_and_a_point_becomes_a_box() -> None:
    values = np.zeros(GRID.shape)
    values[11, 8, 7] = 24.0
    averaged = Volume.from_numpy(values, GRID, Quantity.COUNTS).averaged(8.0)  # windows of 4, 3 and 2 voxels
    assert averaged.values.sum() == pytest.approx(24.0)
    assert np.count_nonzero(averaged.values) == 4 * 3 * 2
    assert averaged.values.max() == pytest.approx(1.0)
    centre = (voxel_points(averaged.grid) * averaged.values[..., None]).sum((0, 1, 2)) / 24.0
    np.testing.assert_allclose(centre, GRID.points((11, 8, 7)), atol=1e-4)


def test_unknown_voxels_have_no_weight_and_most_of_a_window_must_be_known() -> None:
    unknown = np.zeros(GRID.shape, dtype=bool)
    unknown[12:] = True
    values = np.where(unknown, 1000.0, 3.0)
    averaged = Volume.from_numpy(values, GRID, Quantity.HU, unknown).averaged(6.0)  # 3 voxels along x
    assert averaged.outside is not None
    assert averaged.values[:12] == pytest.approx(3.0)  # the last known one looks at one unknown of three
    assert not bool(averaged.outside[:12].any())
    assert bool(averaged.outside[12:].all())


def test_labels_have_no_mean() -> None:
    with pytest.raises(GeometryError, match="labels"):
        Volume(np.zeros(GRID.shape), GRID, Quantity.LABEL).averaged(8.0)
