"""The simulated camera against closed forms: where a point lands, how much gets out, how wide it becomes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mureg.errors import GeometryError
from mureg.geometry import Grid
from support.second_camera.camera import MU_LEAD_PER_CM, Camera, Collimator, binned

GRID = Grid.centred((48, 48, 48), (4.0, 4.0, 4.0))


def camera(*angles: float, collimator: Collimator | None = None, radius_mm: float = 200.0) -> Camera:
    return Camera(GRID, np.asarray(angles, dtype=np.float64), radius_mm, collimator)


def point(x_mm: float, y_mm: float, z_mm: float) -> torch.Tensor:
    activity = torch.zeros(GRID.shape)
    i, j, k = np.round(GRID.indices((x_mm, y_mm, z_mm))).astype(int)
    activity[i, j, k] = 1000.0
    return activity


@pytest.mark.parametrize(
    ("angle", "column_mm"),
    [(180.0, 42.0), (0.0, -42.0), (90.0, -26.0), (270.0, 26.0), (225.0, (42.0 + 26.0) / math.sqrt(2.0))],
)
def test_a_point_lands_where_the_viewer_sees_it(angle: float, column_mm: float) -> None:
    # 42 mm to the patient's left, 26 mm to the front, 62 mm above the middle. From the front (180) the left side is
    # on the viewer's right; from the patient's left (90) the front is on the viewer's left.
    view = camera(angle).project(point(42.0, -26.0, 62.0))[0]
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    seen = [float((view * axis).sum() / view.sum()) for axis in (rows, columns)]
    assert seen[0] == pytest.approx(23.5 - 62.0 / 4.0, abs=1e-3)
    assert seen[1] == pytest.approx(23.5 + column_mm / 4.0, abs=0.05)


@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0, 270.0])
def test_a_slab_attenuates_exponentially(angle: float) -> None:
    mu = torch.zeros(GRID.shape)
    mu[14:34, 14:34, :] = 0.15  # 80 mm thick, source in the 10th voxel from one side, the 11th from the other
    activity = torch.zeros(GRID.shape)
    activity[23, 23, 23] = 1000.0
    depth_cm = {0.0: 10.5, 90.0: 10.5, 180.0: 9.5, 270.0: 9.5}[angle] * 0.4
    weakened = camera(angle).project(activity, mu).sum() / camera(angle).project(activity).sum()
    assert float(weakened) == pytest.approx(math.exp(-0.15 * depth_cm), rel=1e-4)


@pytest.mark.parametrize("towards_mm", [-90.0, 90.0])
def test_blur_has_the_width_of_theory(towards_mm: float) -> None:
    collimator = Collimator()
    view = camera(180.0, collimator=collimator).project(point(2.0, -towards_mm, 2.0))[0].double()
    positions = (torch.arange(48, dtype=torch.float64) - 23.5) * 4.0
    weights = view.sum(0) / view.sum()
    mean = (weights * positions).sum()
    variance = float((weights * (positions - mean) ** 2).sum()) - 4.0**2 / 12.0  # pixel integration widens
    length = 35.0 - 20.0 / MU_LEAD_PER_CM
    expected = math.hypot(1.5 * (length + 200.0 - towards_mm) / length, 3.8)
    assert math.sqrt(variance) * 2.3548 == pytest.approx(expected, rel=0.02)


def test_low_energy_high_resolution_collimator_as_published() -> None:
    # about 7, 11 and 13 mm at 10, 20 and 25 cm
    assert Collimator().fwhm_mm([100.0, 200.0, 250.0]) == pytest.approx([7.0, 11.0, 13.0], abs=0.3)


def test_blur_and_binning_keep_the_counts() -> None:
    views = camera(90.0, collimator=Collimator()).project(point(10.0, 10.0, 2.0))
    assert float(views.sum()) == pytest.approx(1000.0, rel=1e-4)
    assert float(binned(views, 2).sum()) == pytest.approx(float(views.sum()), rel=1e-5)


def test_a_grid_that_is_not_cubic_is_refused() -> None:
    with pytest.raises(GeometryError, match="cubic"):
        Camera(Grid.centred((8, 8, 8), (4.0, 4.0, 5.0)), np.zeros(1))
