"""What is thinner than a voxel must keep its mass on the SPECT grid, wherever the grid's points happen to fall."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from support.phantoms import voxel_points

CT = Grid.centred((170, 150, 60), (1.7, 1.7, 3.4))
SPECT_MM = 6.8


def shell() -> Volume:
    """A carbon shell of one CT voxel, 204 mm wide: as a table has it, straight along x."""
    points = voxel_points(CT)
    thin = (np.abs(points[..., 1] - 60.0) < 0.85) & (np.abs(points[..., 0]) < 102.0)
    return Volume.from_numpy(np.where(thin, 0.2, 0.0), CT, Quantity.MU_PER_CM)


@pytest.mark.parametrize("part", ["body", "table"])
@pytest.mark.parametrize("offset_mm", [0.0, 1.1, 2.3, 3.4, 4.9, 6.1])
def test_a_thin_shell_keeps_its_total_for_any_offset_of_the_grid(part, offset_mm) -> None:
    thin = shell()
    nothing = thin.with_values(thin.values * 0)
    maps = AttenuationMaps(*((thin, None) if part == "body" else (nothing, thin)), AttenuationMap())
    grid = Grid.centred((44, 40, 20), (SPECT_MM,) * 3, (0.0, offset_mm, 0.0))
    of_ct = float(thin.values.sum()) * CT.voxel_volume_mm3 / CT.extent_mm[2]
    laid = maps.on_spect(grid).values[:, :, 10]
    assert float(laid.sum()) * SPECT_MM**2 == pytest.approx(of_ct, rel=0.01)


def test_a_shell_that_moves_with_the_body_keeps_its_total() -> None:
    maps = AttenuationMaps(shell(), None, AttenuationMap())
    grid = Grid.centred((44, 40, 20), (SPECT_MM,) * 3)
    totals = [
        float(maps.on_spect(grid, RigidTransform.from_six((0.0, y, 0.0), (0, 0, 0), (0, 0, 0))).values[:, :, 10].sum())
        for y in np.arange(0.0, 6.8, 0.97)
    ]
    assert np.ptp(totals) < 0.01 * np.mean(totals)
