"""What does not fit the detector is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.errors import GeometryError, UnitsError, UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import SystemModel
from mureg.spect.collimator import Collimator
from mureg.spect.system import detector_order, inner_order
from support.phantoms import camera, oblique_grid

SCANNER = camera([0.0, 90.0], rows=4, columns=6, pixel_mm=(5.0, 6.0), centre_mm=(1.0, 2.0, 3.0))
GRID = SCANNER.grid()
FLIPPED = Grid(GRID.shape, np.diag([6.0, 6.0, -5.0, 1.0]))


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        (Grid.centred((6, 6, 4), (5.0, 6.0, 5.0), (1, 2, 3)), "spacing .* as the detector's pixels"),
        (Grid.centred((6, 6, 4), (6.0, 6.0, 6.0), (1, 2, 3)), "spacing .* as the detector's pixels"),
        (oblique_grid((6, 6, 4), (6.0, 6.0, 5.0)), "along the patient axes"),
        (FLIPPED, "along the patient axes"),
        (Grid.centred((6, 6, 5), (6.0, 6.0, 5.0), (1, 2, 3)), "5 slices, .* expected the 4 slices"),
        (Grid.centred((6, 6, 4), (6.0, 6.0, 5.0), (1, 2, 5.5)), "2.500 mm off the middle of the detector rows"),
    ],
    ids=["x spacing", "z spacing", "oblique", "flipped", "slices", "shifted along the axis"],
)
def test_a_grid_that_the_detector_does_not_see_is_refused(grid, sentence) -> None:
    with pytest.raises(GeometryError, match=sentence):
        SystemModel(SCANNER, grid)


def test_a_ct_is_no_attenuation_map() -> None:
    with pytest.raises(UnitsError, match="an attenuation map in HU; expected 1/cm"):
        SystemModel(SCANNER, GRID, Volume(np.zeros(GRID.shape, dtype=np.float32), GRID, Quantity.HU))


@pytest.mark.parametrize(
    "other",
    [
        Grid.centred((6, 6, 4), (6.0, 6.0, 5.0), (1, 2, 4)),
        Grid.centred((6, 6, 5), (6.0, 6.0, 5.0), (1, 2, 3)),
        Grid.centred((6, 6, 4), (5.0, 5.0, 5.0), (1, 2, 3)),
        oblique_grid((6, 6, 4), (6.0, 6.0, 5.0), centre_mm=(1, 2, 3)),
    ],
    ids=["shifted along the axis", "slices", "spacing", "oblique"],
)
def test_a_map_whose_slices_are_not_those_of_the_activity_is_refused(other) -> None:
    with pytest.raises(GeometryError, match=r"not those of the activity; .* use mu.resampled"):
        SystemModel(SCANNER, GRID, Volume(np.zeros(other.shape, dtype=np.float32), other, Quantity.MU_PER_CM))


def test_resolution_recovery_needs_the_radius() -> None:
    collimator = Collimator("", hole_mm=1.5, septum_mm=0.2, length_mm=35.0)
    with pytest.raises(UsageError, match="without a known detector radius; expected a radius for each view"):
        SystemModel(SCANNER, GRID, None, collimator)


def test_the_detectors_layout_and_the_inner_one_undo_each_other() -> None:
    projections = np.random.default_rng(0).random((2, 4, 6), dtype=np.float32)
    assert np.array_equal(detector_order(inner_order(projections)), projections)
    assert float(inner_order(projections)[1, 2, 3]) == float(projections[1, 0, 2]), "the last z is the top row"
