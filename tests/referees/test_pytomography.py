"""PyTomography 3.4.0 as an independent referee of the projector.

Made by benchmarks/evidence/make_pytomography_reference.py; only projections are stored, the phantom is painted anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import Acquisition, EnergyWindow, SystemModel
from mureg.spect.collimator import COLLIMATORS


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parent / "data/pytomography_projections.npz") as stored:
        return dict(stored)


def painted(reference, grid: Grid):
    points = grid.points(np.moveaxis(np.indices(grid.shape), 0, -1))
    activity, mu = np.zeros(grid.shape), np.zeros(grid.shape)
    for *geometry, brightness, density in reference["ellipsoids"]:
        centre, semi_axes = np.reshape(geometry, (2, 3))
        inside = (((points - centre) / semi_axes) ** 2).sum(-1) < 1
        activity[inside], mu[inside] = brightness, density
    return activity, mu


def nrmse(found, expected) -> float:
    return float(np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()))


def camera_of(expected, angles_deg, voxel_mm: float, **orbit) -> Acquisition:
    return Acquisition(
        counts=np.zeros((1, *expected.shape), dtype=np.float32),
        windows=(EnergyWindow(126.5, 154.5),),
        photopeak=0,
        angles_deg=angles_deg,
        pixel_mm=(voxel_mm, voxel_mm),
        **orbit,
    )


@pytest.mark.parametrize("kind", ["attenuated", "unattenuated"])
def test_projections_agree_with_pytomography(reference, kind) -> None:
    expected = reference[kind]
    acquisition = camera_of(expected, reference["angles_deg"], float(reference["voxel_mm"]))
    grid = acquisition.grid()
    activity, mu = painted(reference, grid)
    map_ = Volume(mu, grid, Quantity.MU_PER_CM) if kind == "attenuated" else None
    found = np.asarray(SystemModel(acquisition, grid, map_).project(activity))
    # the same physics and the same interpolation: what is left is PyTomography's single precision
    assert nrmse(found, expected) < 1e-5


def test_the_full_model_agrees_with_pytomography(reference) -> None:
    """Attenuation and the collimator's blur by distance, LEHR at 25 cm."""
    expected = reference["full_model"]
    radii_mm = np.full(len(expected), float(reference["radius_mm"]))
    acquisition = camera_of(expected, reference["fine_angles_deg"], float(reference["fine_mm"]), radii_mm=radii_mm)
    grid = acquisition.grid()
    activity, mu = painted(reference, grid)
    mu_volume = Volume(mu, grid, Quantity.MU_PER_CM)
    found = np.asarray(SystemModel(acquisition, grid, mu_volume, COLLIMATORS["GE LEHR"]).project(activity))
    # voxels of 4.5 mm: on 6.8 mm sampling the Gaussian, as PyTomography does, narrows it near the detector (1.1 %)
    assert nrmse(found, expected) < 0.01
    unblurred = np.asarray(SystemModel(acquisition, grid, mu_volume).project(activity))
    assert nrmse(unblurred, expected) > 0.05, "the test can tell"


@pytest.mark.parametrize("axis", [1, 2], ids=["rows", "columns"])
def test_reference_tells_a_mirrored_detector(reference, axis) -> None:
    assert nrmse(np.flip(reference["attenuated"], axis), reference["attenuated"]) > 0.2


def test_reference_tells_the_front_from_the_back(reference) -> None:
    """Half a turn mirrors the columns; only attenuation tells the two views apart."""
    angles = list(reference["angles_deg"])
    front, back = (reference["attenuated"][angles.index(a)] for a in (180.0, 0.0))
    assert nrmse(np.flip(back, 1), front) > 0.2
