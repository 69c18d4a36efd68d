"""Tissues, random fields, rebinning, hot spots: each against a closed form or an independent referee."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mureg.errors import GeometryError
from mureg.geometry import Grid, RigidTransform
from mureg.geometry.rebin import rebinned
from mureg.simulate.fields import SmoothField
from mureg.simulate.tissues import TISSUES


@pytest.mark.parametrize(
    ("tissue", "hu", "mu"),
    [
        ("lung", (-780, -700), (0.035, 0.043)),
        ("fat", (-110, -80), (0.135, 0.146)),
        ("soft_tissue", (30, 60), (0.155, 0.163)),
        ("blood", (30, 60), (0.155, 0.163)),
        ("liver", (45, 65), (0.157, 0.165)),
        ("spongy_bone", (120, 300), (0.165, 0.19)),
        ("cortical_bone", (800, 1300), (0.23, 0.29)),
        ("air", (-1001, -990), (0.0, 0.001)),
    ],
)
def test_tissues_have_the_numbers_of_the_textbook(tissue: str, hu: tuple, mu: tuple) -> None:
    assert hu[0] <= TISSUES[tissue].hu <= hu[1]
    assert mu[0] <= TISSUES[tissue].mu_per_cm <= mu[1]


def test_a_random_field_has_the_spread_and_reach_asked_for() -> None:
    field = SmoothField.draw(np.random.default_rng(4), 3, 40.0, (800.0, 800.0, 800.0))
    grid = Grid.centred((100, 100, 100), (7.0, 7.0, 7.0))
    values = field.on(grid)
    assert values.shape == (3, 100, 100, 100)
    assert abs(float(values.mean())) < 0.05
    assert 0.5 < float(values.std()) < 1.0  # splines between the values are a little flatter than the values
    near = torch.corrcoef(torch.stack([values[0, :-1].flatten(), values[0, 1:].flatten()]))[0, 1]
    far = torch.corrcoef(torch.stack([values[0, :-15].flatten(), values[0, 15:].flatten()]))[0, 1]
    assert near > 0.95
    assert abs(float(far)) < 0.1


def test_a_field_is_the_same_at_a_point_however_it_is_asked() -> None:
    field = SmoothField.draw(np.random.default_rng(4), 2, 50.0, (300.0, 300.0, 300.0))
    turn = RigidTransform.from_six((5.0, -8.0, 3.0), (4.0, 9.0, -20.0), (1.0, 2.0, 3.0))
    grid = Grid.centred((7, 8, 9), (11.0, 9.0, 8.0), (5.0, -6.0, 7.0))
    places = turn.apply(grid.points(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)))
    np.testing.assert_allclose(field.on(grid, turn), field.at(torch.from_numpy(places)), atol=1e-4)


def test_rebinning_keeps_totals_and_places() -> None:
    fine = Grid.centred((30, 26, 22), (4.5, 4.5, 4.5), (6.0, -3.0, 2.0))
    coarse = Grid.centred((40, 40, 40), (6.8, 6.8, 6.8))
    values = np.random.default_rng(1).random(fine.shape)
    new = rebinned(values, fine, coarse)
    assert float(new.sum()) * coarse.voxel_volume_mm3 == pytest.approx(float(values.sum()) * fine.voxel_volume_mm3)

    def centroid(v: np.ndarray, grid: Grid) -> np.ndarray:
        where = grid.points(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1))
        return (where * v[..., None]).sum((0, 1, 2)) / float(v.sum())

    np.testing.assert_allclose(centroid(new, coarse), centroid(values, fine), atol=0.1)


def test_rebinning_refuses_a_turned_lattice() -> None:
    turned = Grid((3, 3, 3), np.diag([-1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(GeometryError, match="patient axes"):
        rebinned(np.zeros((3, 3, 3)), turned, turned)


def test_best_fit_finds_the_motion_between_partners() -> None:
    points = np.random.default_rng(3).normal(size=(50, 3)) * 40
    true = RigidTransform.from_six((10.0, -20.0, 5.0), (4.0, -9.0, 25.0), (3.0, 2.0, 1.0))
    found = RigidTransform.best_fit(points, true.apply(points))
    np.testing.assert_allclose(found.matrix, true.matrix, atol=1e-9)
    mirrored = points * (-1, 1, 1)
    assert np.linalg.det(RigidTransform.best_fit(points, mirrored).matrix[:3, :3]) == pytest.approx(1.0)
