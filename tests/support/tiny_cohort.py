"""A cohort of small chests with a heart, projections, a moved CT and the whole truth: seconds to evaluate."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from mureg.attenuation.hu_to_mu import mu_map
from mureg.cohort.store.cohort import CASES, write_case
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.recon import Osem
from mureg.recon.images import reconstruct
from mureg.spect import Acquisition, EnergyWindow
from mureg.spect.physics import WITHOUT
from mureg.study import Case, Ct, Study, Truth
from support.phantoms import camera, chest, measured, orbit, voxel_points

N, PIXEL_MM, N_VIEWS = 32, 13.0, 12
MOTIONS = (((14.0, -9.0, 11.0), (3.0, -2.0, 4.0)), ((-10.0, 6.0, 8.0), (-2.0, 3.0, -3.0)), ((5, 4, -12), (1, 2, 5)))


@cache
def tiny_case(index: int) -> Case:
    """Cases 0 and 1 are of one patient, 2 and 3 of another, and so on."""
    acquisition = camera(orbit(N_VIEWS, 360.0), N, N, (PIXEL_MM, PIXEL_MM), dtype=np.float32)
    grid = acquisition.grid()
    activity, mu = (
        Volume.from_numpy(values, grid, q)
        for values, q in zip(chest(voxel_points(grid), 14.0), (Quantity.ACTIVITY, Quantity.MU_PER_CM), strict=True)
    )
    counts = measured(activity.values, acquisition, mu).counts
    counts = np.random.default_rng(index).poisson(counts * (2e6 / counts.sum())).astype(np.float32)
    windows = (EnergyWindow(126.5, 154.5, "photopeak"), EnergyWindow(114.0, 126.0, "scatter"))
    spect = Acquisition(
        np.concatenate([counts, np.zeros_like(counts)]), windows, 0, acquisition.angles_deg, (PIXEL_MM, PIXEL_MM),
        (0.0, 0.0, 0.0), np.full(N_VIEWS, 240.0), seconds_per_view=20.0, collimator="LEHR", nuclide="Tc-99m",
        patient_position="HFS", manufacturer="SIEMENS",
    )  # fmt: skip
    pose = RigidTransform.from_six(*MOTIONS[index % len(MOTIONS)], grid.centre_mm)
    heart = np.random.default_rng(7).normal((38.0, -32.0, 12.0), 18.0, (60, 3))
    wall = (activity.values > 0.6).astype(np.float32)
    truth = Truth(
        pose, grid.centre_mm, heart, pose.apply(heart), mu, activity, Volume.from_numpy(wall, grid, Quantity.ACTIVITY),
        np.zeros((2, N_VIEWS, N, N), dtype=np.float32),
    )  # fmt: skip
    study = Study(spect, _ct(pose), f"patient-{index // 2}")
    uncorrected = reconstruct(spect, None, Osem(iterations=2, subsets=4), WITHOUT)
    return Case(f"tiny-{index:06d}", study, uncorrected, truth, {}, {"settings_sha256": "ab" * 32, "index": index})


def tiny_cohort(folder: Path, n: int = 2) -> Path:
    """Write the first `n` cases."""
    for index in range(n):
        write_case(tiny_case(index), folder / CASES / f"tiny-{index:06d}")
    return folder


def _ct(ct_from_spect: RigidTransform) -> Ct:
    """HU whose attenuation is that of the chest where the CT saw it."""
    grid = Grid.centred((64, 48, 60), (7.0, 7.0, 7.0))
    mu = chest(ct_from_spect.inverse().apply(voxel_points(grid)), 8.0)[1]
    tried = np.array([-1000.0, 0.0, 1500.0], dtype=np.float32).reshape(3, 1, 1)
    ct = Ct(Volume.from_numpy(tried, Grid.centred((3, 1, 1), (1, 1, 1)), Quantity.HU), "SIEMENS", "Symbia", 130.0)
    known = mu_map(ct.volume, ct.conversion()[0]).values.ravel()
    hounsfield = np.interp(mu, known, tried.ravel())
    return Ct(Volume.from_numpy(hounsfield.round(), grid, Quantity.HU), "SIEMENS", "Symbia", 130.0)
