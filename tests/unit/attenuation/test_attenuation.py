"""The attenuation map of a SPECT: the body moves, the table stays, what the CT lacks is marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mureg.attenuation.hu_to_mu import choose_conversion, mu_map
from mureg.attenuation.maps import AttenuationMap, AttenuationMaps, attenuation_grid, extended_share
from mureg.errors import GeometryError, UnitsError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from support import supine
from support.phantoms import voxel_points

CONVERSION = choose_conversion("GE MEDICAL SYSTEMS", "Optima CT540", 120.0)[0].to_air()
GRID = supine.ct_grid((105, 90, 24), (4.0, 4.0, 5.0))
SPECT = Grid.centred((64, 64, 40), (6.0, 6.0, 6.0))
FORWARD = RigidTransform.from_six((0.0, -12.0, 0.0), (0, 0, 0), (0, 0, 0))


@pytest.fixture(scope="module")
def ct() -> Volume:
    return supine.ct(GRID, 300.0, gap_mm=9.0)


def test_body_and_table_add_up_to_the_map(ct) -> None:
    maps = AttenuationMap(contrast="keep").prepare(ct, CONVERSION)
    assert maps.table is not None
    assert np.allclose(maps.body.values + maps.table.values, mu_map(ct, CONVERSION).values)
    again = AttenuationMap().prepare(mu_map(ct, CONVERSION))
    assert np.allclose(again.body.values, maps.body.values)


def test_contrast_is_clipped_by_choice_and_said(ct) -> None:
    in_heart = np.unravel_index(np.linalg.norm(voxel_points(GRID) - supine.HEART_MM, axis=-1).argmin(), GRID.shape)
    kept = AttenuationMap(contrast="keep").prepare(ct, CONVERSION)
    clipped = AttenuationMap().prepare(ct, CONVERSION)
    assert float(kept.body.values[in_heart]) == pytest.approx(0.1538 + 300 * CONVERSION.above)
    assert float(clipped.body.values[in_heart]) == pytest.approx(0.1538 + 45 * CONVERSION.above)
    assert any("contrast medium" in note for note in clipped.notes)
    assert kept.notes == ()


def test_the_body_moves_and_the_table_stays(ct) -> None:
    maps = AttenuationMap(beyond="none").prepare(ct, CONVERSION)
    only_body = AttenuationMap(table="drop", beyond="none").prepare(ct, CONVERSION)
    only_table = AttenuationMap(body="drop", beyond="none").prepare(ct, CONVERSION)
    moved = maps.on_spect(SPECT, FORWARD).values
    table_at_home = only_table.on_spect(SPECT).values
    assert np.array_equal(only_table.on_spect(SPECT, FORWARD).values, table_at_home)
    assert np.allclose(moved, only_body.on_spect(SPECT, FORWARD).values + table_at_home)
    # 12 mm are two voxels: the body stands two rows further back, voxel by voxel
    at_home = only_body.on_spect(SPECT).values
    assert np.allclose(only_body.on_spect(SPECT, FORWARD).values[:, 2:], at_home[:, :-2], atol=1e-6)


@pytest.mark.parametrize("beyond", ["slices", "water", "none"])
def test_what_the_ct_does_not_cover_is_marked_whatever_fills_it(ct, beyond) -> None:
    maps = AttenuationMap(beyond=beyond, table="drop").prepare(ct, CONVERSION)
    points = voxel_points(SPECT)
    outline = Volume.from_numpy(supine.inside_trunk(points).astype(float), SPECT, Quantity.LABEL)
    mu = maps.on_spect(SPECT, outline=outline)
    assert mu.outside is not None
    truly_outside = (np.abs(points) > np.asarray(GRID.extent_mm) / 2).any(-1)
    assert (mu.outside == truly_outside).all()
    values, far = mu.values, np.abs(points[..., 2]) > GRID.extent_mm[2] / 2 + 12.0
    deep = far & supine.inside_trunk(points * 1.1)
    if beyond == "none":
        assert (values[far] == 0.0).all()
        assert extended_share(mu) == pytest.approx(0.0, abs=1e-6)
    elif beyond == "water":
        assert values[deep] == pytest.approx(0.1538)
        assert (values[far & ~supine.inside_trunk(points)] == 0.0).all()
    else:
        last = values[:, :, np.flatnonzero(~truly_outside[32, 32])[-1]]
        assert np.allclose(values[:, :, far[0, 0] & (points[0, 0, :, 2] > 0)], last[:, :, None], atol=1e-6)
        assert 0.3 < extended_share(mu) < 0.6


def test_water_fills_what_repeated_slices_cannot_reach() -> None:
    # a field of 120 mm radius in a trunk of 160 mm half width: beside it only the emission tells of a body
    points = voxel_points(GRID)
    beyond_field = np.hypot(points[..., 0], points[..., 1]) > 120.0
    ct = Volume.from_numpy(supine.patient_hu(points), GRID, Quantity.HU, beyond_field)
    maps = AttenuationMap().prepare(ct, CONVERSION)
    outline = Volume.from_numpy(supine.inside_trunk(voxel_points(SPECT)).astype(float), SPECT, Quantity.LABEL)
    mu = maps.on_spect(SPECT, outline=outline)
    side = np.abs(voxel_points(SPECT) - (140.0, 0.0, 0.0)).sum(-1).argmin()
    assert float(mu.values.flatten()[side]) == pytest.approx(0.1538)
    assert mu.outside is not None
    assert bool(mu.outside.flatten()[side])
    assert any("wider than the field of the CT" in note for note in maps.notes)


def test_a_slanted_scan_is_continued_column_by_column(ct) -> None:
    points = voxel_points(GRID)
    slanted = np.abs(points[..., 2] + 0.15 * points[..., 1]) > 45.0
    cylinder = np.where(np.hypot(points[..., 0], points[..., 1]) < 90.0, 0.15, 0.0)
    mu = Volume.from_numpy(np.where(slanted, 0.0, cylinder), GRID, Quantity.MU_PER_CM, slanted)
    filled = AttenuationMap().prepare(mu).on_spect(SPECT).values
    inside = np.hypot(*voxel_points(SPECT)[..., :2].transpose(3, 0, 1, 2)) < 80.0
    assert np.allclose(filled[inside], 0.15, atol=1e-3)


def test_coarsening_once_is_coarsening_each_time(ct) -> None:
    maps = AttenuationMap().prepare(ct, CONVERSION)
    assert np.array_equal(maps.coarsened(3.0).on_spect(SPECT, FORWARD).values, maps.on_spect(SPECT, FORWARD).values)


@pytest.mark.parametrize("angle_deg", [0.0, 20.0])
def test_the_attenuation_grid_holds_the_field_on_the_emission_lattice(angle_deg) -> None:
    emission = Grid.centred((40, 40, 30), (6.8, 6.8, 6.8), (3.0, -7.0, 11.0), "1.2.3")
    ct_from_spect = RigidTransform.from_six((20.0, -5.0, 0.0), (0.0, 0.0, angle_deg), (0, 0, 0))
    wide = attenuation_grid(emission, GRID, ct_from_spect)
    assert wide.spacing_mm == pytest.approx(emission.spacing_mm)
    assert (wide.shape[2], wide.frame_of_reference) == (30, "1.2.3")
    steps = emission.indices(wide.points((0, 0, 0)))
    assert np.allclose(steps, np.round(steps), atol=1e-9)
    corners = wide.indices(ct_from_spect.inverse().apply(GRID.corners_mm()))[:, :2]
    assert corners.min() >= -0.5 - 1e-6
    assert (corners.max(0) <= np.asarray(wide.shape[:2]) - 0.5 + 1e-6).all()


def test_the_attenuation_grid_is_no_wider_than_what_absorbs(ct) -> None:
    maps = AttenuationMap(table="drop").prepare(ct, CONVERSION)
    assert maps.attenuation_grid(SPECT) == SPECT
    narrow = Grid.centred((40, 40, 30), (6.8, 6.8, 6.8))
    width_mm = maps.attenuation_grid(narrow).extent_mm[0]
    assert 2 * supine.TRUNK_MM[0] <= width_mm <= 2 * supine.TRUNK_MM[0] + 2 * 6.8 + 6.0


def test_refusals(ct) -> None:
    with pytest.raises(UsageError, match="choose_conversion"):
        AttenuationMap().prepare(ct)
    with pytest.raises(UnitsError):
        AttenuationMap().prepare(ct.with_values(ct.values, Quantity.COUNTS))
    with pytest.raises(ValidationError):
        AttenuationMap(beyond="air")  # type: ignore[arg-type]
    maps = AttenuationMap().prepare(ct, CONVERSION)
    with pytest.raises(GeometryError):
        AttenuationMaps(maps.body, mu_map(supine.ct(supine.ct_grid((20, 20, 4))), CONVERSION), maps.settings)
    with pytest.raises(GeometryError):
        attenuation_grid(Grid((4, 4, 4), np.diag([-1.0, -1.0, 1.0, 1.0])), GRID)


def test_the_sample_has_contrast_a_table_and_a_whole_patient() -> None:
    from mureg.io.dicom.ct_read import read_ct_dicom
    from mureg.sample import sample_folder

    read = read_ct_dicom(Path(sample_folder()) / "ct")
    maps = AttenuationMap().prepare(read.volume, CONVERSION)
    assert any("contrast medium" in note for note in maps.notes)
    assert maps.table is not None
    grid = read.volume.grid
    litres = float((maps.body.values > 0.01).sum()) * grid.voxel_volume_mm3 / 1e6
    assert 5.2 < litres / (grid.extent_mm[2] / 100.0) < 6.7, "for each decimetre of a slim chest"
