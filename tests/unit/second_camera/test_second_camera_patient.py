"""A patient built from a drawn contrast CT whose anatomy is known."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.errors import GeometryError, UsageError
from mureg.geometry import Grid, Quantity, Volume
from support.second_camera.patient import HeartLandmarks, left_ventricle, on_grid, patient_from_ct

GRID = Grid.centred((70, 60, 50), (3.0, 3.0, 3.0))
NAMES = {5: "liver", 51: "heart", 35: "vertebrae_T9"}
# the base of the ventricle is cut at x = 25 mm, its apex looks to the patient's left
LANDMARKS = HeartLandmarks((25.0, 0.0, 0.0), (60.0, 0.0, 0.0))


def drawn() -> tuple[Volume, Volume]:
    """Muscle ellipsoid with a contrast-filled cavity in a soft-tissue box, with a bone, a liver and a table."""
    x, y, z = np.moveaxis(
        GRID.points(np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), -1)), -1, 0
    )
    hu = np.full(GRID.shape, -1000.0, dtype=np.float32)
    hu[(np.abs(x) < 90) & (np.abs(y) < 60)] = 30.0
    hu[(np.abs(x) < 90) & (y > 70) & (y < 76)] = 200.0  # table
    labels = np.zeros(GRID.shape, dtype=np.float32)
    radius = np.sqrt(((x - 25) / 50) ** 2 + (y / 34) ** 2 + (z / 34) ** 2)
    cavity = np.sqrt(((x - 25) / 38) ** 2 + (y / 22) ** 2 + (z / 22) ** 2) < 1
    labels[radius < 1] = 51
    hu[radius < 1] = 100.0
    hu[cavity] = 380.0
    for name, box, value in ((5, (x < -50) & (x > -90), 70.0), (35, (np.abs(x) < 9) & (y > 45), 400.0)):
        chosen = box & (np.abs(y) < 60)
        labels[chosen], hu[chosen] = name, value
    return tuple(Volume(a.astype(np.float32), GRID, q) for a, q in ((hu, Quantity.HU), (labels, Quantity.LABEL)))  # type: ignore[return-value]


def build() -> tuple[Volume, Volume, object]:
    ct, labels = drawn()
    return ct, labels, patient_from_ct(ct, labels, NAMES, LANDMARKS, np.random.default_rng(1), texture=0.0)


def at(volume: Volume, *point_mm: float) -> float:
    i, j, k = np.round(volume.grid.indices(point_mm)).astype(int)
    return float(volume.values[i, j, k])


def test_wall_is_a_shell_open_at_the_base() -> None:
    ct, labels = drawn()
    ventricle = left_ventricle(ct, labels.values == 51, LANDMARKS)
    points = [GRID.points(np.argwhere(mask)) for mask in (ventricle.wall, ventricle.cavity)]
    assert min(points[0][:, 0].min(), points[1][:, 0].min()) > 25.0 - 1e-6
    wall = Volume(ventricle.wall.astype(np.float32), GRID, Quantity.LABEL)
    for shell in ((30, 0, 28), (30, 28, 0), (30, 0, -28), (69, 0, 0)):
        assert at(wall, *shell) == 1
    for hollow in ((30, 0, 0), (26, 0, 0), (20, 0, 28)):
        assert at(wall, *hollow) == 0


def test_contrast_is_not_bone_but_bone_and_table_stay() -> None:
    _, _, patient = build()
    water, soft = 0.1538, 0.1538 + 1.039e-4 * 45.0
    assert at(patient.mu, 30, 0, 0) == pytest.approx(soft, rel=1e-4)  # blood, 380 HU in the CT
    assert at(patient.mu, 0, 54, 0) == pytest.approx(water + 1.039e-4 * 400.0, rel=1e-4)  # bone
    assert at(patient.mu, 40, 73, 0) == pytest.approx(water + 1.039e-4 * 200.0, rel=1e-4)  # table
    assert at(patient.mu, -100, 0, 0) == 0.0


def test_uptake_by_organ() -> None:
    _, _, patient = build()
    expected = {(30, 0, 28): 1.0, (30, 0, 0): 0.06, (-70, 0, 0): 0.5, (40, 50, 0): 0.04, (40, 73, 0): 0.0}
    for point, uptake in expected.items():
        assert at(patient.activity, *point) == pytest.approx(uptake)


def test_bringing_a_volume_onto_a_coarser_grid_keeps_its_integral() -> None:
    _, _, patient = build()
    coarse = on_grid(patient.activity, Grid.centred((40, 40, 30), (7.0, 7.0, 7.0)), 3)
    before = float(patient.activity.values.sum()) * 27.0
    assert float(coarse.values.sum()) * 343.0 == pytest.approx(before, rel=0.01)


def test_refusals() -> None:
    ct, labels = drawn()
    chance = np.random.default_rng(1)
    with pytest.raises(UsageError, match="heart"):
        patient_from_ct(ct, labels, {5: "liver"}, LANDMARKS, chance)
    with pytest.raises(GeometryError, match="blood"):
        patient_from_ct(ct, labels, NAMES, HeartLandmarks((0.0, 0.0, 0.0), (140.0, 0.0, 0.0)), chance)
