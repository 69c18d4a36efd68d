"""The camera of a breathing patient against closed forms, and against two other projectors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.ndimage import gaussian_filter

from mureg.errors import GeometryError
from mureg.geometry import Grid, Quantity, Volume
from mureg.simulate.collimators import low_energy_collimator
from mureg.simulate.gamma_camera import GammaCamera
from mureg.spect import Acquisition, EnergyWindow, SystemModel
from mureg.spect.collimator import Collimator as Resolution
from support.second_camera.camera import MU_LEAD_PER_CM, Camera, binned

GRID = Grid.centred((80, 64, 56), (4.5,) * 3, (12.0, -7.0, 30.0))
ANGLES = np.array([0.0, 33.0, 45.0, 90.0, 137.0, 180.0, 225.0, 270.0, 301.0])
RADII = np.linspace(170.0, 240.0, len(ANGLES))
CAMERA = GammaCamera(GRID, ANGLES, RADII, (4.0, -9.0), 48, 56, 6.8, 22.0)
SHARP = replace(CAMERA, collimator=None)
ONE = torch.ones(len(ANGLES), 1)
NOTHING = torch.zeros(1, *GRID.shape)


def point(x_mm: float, y_mm: float, z_mm: float) -> tuple[torch.Tensor, np.ndarray]:
    """A voxel with 1000 photons, and where its centre is."""
    index = np.round(GRID.indices((x_mm, y_mm, z_mm))).astype(int)
    activity = torch.zeros(1, *GRID.shape)
    activity[0, *index] = 1000.0
    return activity, GRID.points(index)


def one_view(view: int) -> GammaCamera:
    return replace(CAMERA, angles_deg=ANGLES[[view]], radii_mm=RADII[[view]])


def across(camera: GammaCamera, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance in front of the axis and to the viewer's right of it in every view, by the rule of three fingers."""
    angle = np.radians(camera.angles_deg)
    towards = np.stack([np.sin(angle), np.cos(angle), 0.0 * angle], -1)
    right = np.cross(-towards, (0.0, 0.0, 1.0))
    from_axis = place - np.array([*camera.axis_mm, 0.0])
    return towards @ from_axis, right @ from_axis


def moments(profile: np.ndarray) -> tuple[float, float]:
    positions = np.arange(len(profile))
    mean = float((profile * positions).sum() / profile.sum())
    return mean, float((profile * (positions - mean) ** 2).sum() / profile.sum())


def test_a_point_lands_where_the_viewer_sees_it() -> None:
    # left, front, towards the head; a single voxel may fall a little beside the lattice of columns
    errors = []
    for shift in range(12):
        activity, place = point(60.0 + 4.5 * (shift % 4), -41.0 + 4.5 * (shift // 4), 75.0)
        right = across(CAMERA, place)[1]
        views = CAMERA.primary(activity, NOTHING, ONE).double().numpy()
        rows, columns = (np.array([moments(view.sum(axis))[0] for view in views]) for axis in (1, 0))
        np.testing.assert_allclose(rows, 23.5 - (place[2] - 22.0) / 6.8, atol=0.01)
        errors.append(columns - (27.5 + right / 6.8))
    assert np.abs(errors).max() < 0.11
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03


def test_from_the_front_the_left_side_is_on_the_right() -> None:
    activity, _ = point(80.0, 0.0, 30.0)
    front, back = CAMERA.primary(activity, NOTHING, ONE)[[5, 0]]
    assert front[:, 28:].sum() > 999
    assert back[:, :28].sum() > 999


@pytest.mark.parametrize("towards", [90.0, 20.0, -90.0])
@pytest.mark.parametrize("view", range(len(ANGLES)))
def test_a_point_is_as_wide_as_hole_distance_voxel_and_pixel_make_it(view: int, towards: float) -> None:
    angle, camera = math.radians(ANGLES[view]), one_view(view)
    length = 35.0 - 20.0 / MU_LEAD_PER_CM
    excess = []
    for shift in np.linspace(-60.0, 60.0, 24):  # where the shadow falls on the lattice of columns evens out
        right = np.array([-math.cos(angle), math.sin(angle)]) * shift
        x, y = np.array([4.0, -9.0]) + towards * np.array([math.sin(angle), math.cos(angle)]) + right
        activity, place = point(x, y, 24.0)
        fwhm = math.hypot(1.5 * (length + RADII[view] - across(camera, place)[0][0]) / length, 3.8)
        expected = (fwhm / 2.354820) ** 2 + 4.5**2 / 12 + 6.8**2 / 12
        seen = camera.primary(activity, NOTHING, ONE[:1])[0].double().numpy()
        assert moments(seen.sum(1))[1] * 6.8**2 == pytest.approx(expected, rel=0.03)
        excess.append(moments(seen.sum(0))[1] * 6.8**2 / expected - 1.0)
    locked = ANGLES[view] % 90 == 0  # every voxel falls on the lattice alike
    assert abs(np.mean(excess)) < (0.17 if locked else 0.025)


def test_photons_are_conserved() -> None:
    activity = torch.zeros(1, *GRID.shape)
    activity[0, 15:62, 10:50, 8:44] = torch.rand(47, 40, 36, generator=torch.Generator().manual_seed(3))
    for camera in (SHARP, CAMERA):
        sums = camera.primary(activity, NOTHING, ONE).sum((1, 2)).numpy()
        np.testing.assert_allclose(sums, float(activity.sum()), rtol=2e-4)


def test_uniform_activity_gives_uniform_pixels() -> None:
    activity = torch.ones(1, *GRID.shape)
    view = SHARP.primary(activity, NOTHING, ONE)[0, 12:36, 12:44]
    np.testing.assert_allclose(view.numpy(), 64 * (6.8 / 4.5) ** 2, rtol=1e-5)


def test_a_cylinder_attenuates_as_the_integral_says() -> None:
    radius, mu = 100.0, 0.15
    fine = [(np.arange(n * 5) + 0.5) / 5 - 0.5 for n in GRID.shape[:2]]
    x = GRID.affine[0, 3] + fine[0][:, None] * 4.5 - 4.0
    y = GRID.affine[1, 3] + fine[1][None, :] * 4.5 + 9.0
    disc = (np.hypot(x, y) < radius).reshape(80, 5, 64, 5).mean((1, 3))
    slices = torch.zeros(1, *GRID.shape)
    slices[..., 20:30] = torch.from_numpy(disc).float()[None, ..., None]
    seen = CAMERA.primary(slices, mu * slices, ONE).sum((1, 2)).numpy()

    def out(right: float) -> float:
        chord = 2 * math.sqrt(radius**2 - right**2)
        return (1 - math.exp(-mu * chord / 10)) / (mu / 10)

    expected = 10 * quad(out, -radius, radius)[0] / 4.5**2
    np.testing.assert_allclose(seen, expected, rtol=0.005)


def test_a_slab_of_bone_as_thick_as_many_voxels() -> None:
    activity, place = point(4.0, -9.0, 30.0)
    mu = NOTHING.clone()
    mu[..., :] = 0.28
    i, j, _ = np.round(GRID.indices(place)).astype(int)
    weakened = SHARP.primary(activity, mu, ONE).sum((1, 2)) / 1000.0
    ways = {0: 63.5 - j, 3: 79.5 - i, 5: j + 0.5, 7: i + 0.5}
    for view, way in ways.items():
        assert float(weakened[view]) == pytest.approx(math.exp(-0.28 * 0.45 * way), rel=0.003)
    half = SHARP.primary(activity, 20 * mu, ONE).sum((1, 2))
    assert float(half[5]) < 1e-6  # lead is not thin: no series there


def test_only_what_stands_in_front_of_a_column_attenuates_it() -> None:
    camera = replace(SHARP, n_columns=8, angles_deg=np.array([180.0, 90.0]), radii_mm=np.array([200.0, 200.0]))
    activity, _ = point(4.0, -9.0, 30.0)
    shares, mu = torch.ones(2, 1), NOTHING.clone()
    mu[0, :20] = 0.2  # far to the patient's right: beside the columns from the front, behind the point from the left
    plain = camera.primary(activity, NOTHING, shares)
    torch.testing.assert_close(camera.primary(activity, mu, shares), plain)
    mu = NOTHING.clone()
    mu[0, :, :10], mu[0, -10:] = 0.2, 0.1
    weaker = camera.primary(activity, mu, shares).sum((1, 2)) / plain.sum((1, 2))
    np.testing.assert_allclose(weaker.numpy(), np.exp([-0.2 * 4.5, -0.1 * 4.5]), rtol=1e-3)


def smooth_phantom(shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    chance = np.random.default_rng(5)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = gaussian_filter(((x / 0.8) ** 2 + (y / 0.6) ** 2 + (z / 0.8) ** 8 < 1).astype(float), 1.0)
    noise = [gaussian_filter(chance.random(shape), 3.0) for _ in range(2)]
    noise = [np.clip((n - n.mean()) / n.std() * 0.4 + 1, 0, None) for n in noise]
    return torch.from_numpy(body * noise[0]).float()[None], torch.from_numpy(0.13 * body * noise[1]).float()[None]


def test_states_of_breathing_add_up_by_their_shares() -> None:
    activity, mu = smooth_phantom(GRID.shape)
    activity = torch.cat([activity, activity.roll(3, 3), activity.roll(-2, 3) * 0.5])
    mu = torch.cat([mu, mu.roll(3, 3), mu.roll(-2, 3)])
    shares = torch.from_numpy(np.random.default_rng(1).dirichlet([1, 1, 1], len(ANGLES))).float()
    mixed = CAMERA.primary(activity, mu, shares)
    single = [CAMERA.primary(activity[[p]], mu[[p]], ONE) for p in range(3)]
    torch.testing.assert_close(mixed, sum(shares[:, p, None, None] * single[p] for p in range(3)), rtol=1e-4, atol=1e-2)


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> np.ndarray:
    return (torch.linalg.norm(found - expected, dim=(1, 2)) / torch.linalg.norm(expected, dim=(1, 2))).numpy()


def test_agreement_with_a_camera_that_interpolates() -> None:
    grid = Grid.centred((64, 64, 48), (4.0,) * 3)
    activity, mu = smooth_phantom(grid.shape)
    referee = binned(Camera(grid, ANGLES, 200.0).project(activity[0], mu[0]), 2)
    camera = GammaCamera(grid, ANGLES, np.full(len(ANGLES), 200.0), (0.0, 0.0), 24, 32, 8.0)
    found = camera.primary(activity, mu, ONE)
    assert relative_difference(found, referee).max() < 0.01
    np.testing.assert_allclose(found.sum((1, 2)).numpy(), referee.sum((1, 2)).numpy(), rtol=0.003)


def test_agreement_with_the_model_that_reconstructs() -> None:
    grid = Grid.centred((40, 40, 32), (6.8,) * 3, (3.0, -4.0, 10.0))
    activity, mu = smooth_phantom(grid.shape)
    acquisition = Acquisition(
        np.zeros((1, len(ANGLES), 32, 40), dtype=np.float32),
        (EnergyWindow(126.5, 154.5, "photopeak"),),
        0,
        ANGLES,
        (6.8, 6.8),
        radii_mm=RADII,
        centre_mm=(3.0, -4.0, 10.0),
    )
    map_ = Volume(mu[0].numpy(), grid, Quantity.MU_PER_CM)
    referee = SystemModel(acquisition, grid, map_, Resolution("LEHR", 1.5, 0.2, 35.0)).project(activity[0].numpy())
    found = GammaCamera(grid, ANGLES, RADII, (3.0, -4.0), 32, 40, 6.8, 10.0).primary(activity, mu, ONE)
    assert relative_difference(found, torch.from_numpy(referee.copy())).max() < 0.02
    np.testing.assert_allclose(found.sum((1, 2)).numpy(), referee.sum((1, 2)), rtol=0.005)


def test_an_empty_patient_is_dark() -> None:
    assert float(CAMERA.primary(NOTHING, NOTHING, ONE).abs().max()) == 0.0


def test_geometry_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GeometryError, match="cubic"):
        replace(CAMERA, grid=Grid.centred((8, 8, 8), (4.0, 4.0, 5.0)))
    with pytest.raises(GeometryError, match="one of each"):
        replace(CAMERA, radii_mm=RADII[:-1])


@pytest.mark.parametrize(
    ("manufacturer", "hole_mm", "length_mm"),
    [
        ("SIEMENS", 1.11, 24.05),
        ("Siemens Healthineers", 1.11, 24.05),
        ("GE MEDICAL SYSTEMS", 1.5, 35.0),
        ("", 1.5, 35.0),
    ],
)
def test_the_simulated_collimators_have_their_makers_holes_and_lead_of_their_own(
    manufacturer: str, hole_mm: float, length_mm: float
) -> None:
    """Anger's formula with 26.9/cm for lead, which the stored cohorts were made with."""
    distance = np.array([0.0, 50.0, 150.0, 300.0])
    effective_mm = length_mm - 2.0 / 2.69
    width = np.sqrt((hole_mm * (effective_mm + distance) / effective_mm) ** 2 + 3.8**2)
    assert low_energy_collimator(manufacturer).fwhm_mm(distance) == pytest.approx(width, rel=1e-12)
