"""Pairs of images without symmetry in closed form, and prepared cases made of them: no interpolation, no files."""

from __future__ import annotations

import numpy as np
import torch

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import UNIT_MM
from mureg.training.examples import Examples, TrainingPair, prepared_pair
from mureg.training.settings import TrainingSettings, settings_from
from support.phantoms import blobs, voxel_points

GRID = InputGrid((12, 12, 12), 10.0)
SPECT_GRID = Grid.centred((24, 24, 24), (5.0, 5.0, 5.0), (4.0, -7.0, 30.0))
CT_GRID = Grid.centred((60, 60, 60), (4.0, 4.0, 4.0), (0.0, 0.0, 20.0))


def toy_pair(ct_from_spect: RigidTransform, sigma_mm: float = 14.0) -> TrainingPair:
    """Blobs about the centre of the SPECT grid, and the same ones where the motion takes them as a map."""
    about = np.asarray(SPECT_GRID.centre_mm)
    spect = blobs(voxel_points(SPECT_GRID) - about, sigma_mm)
    mu = 0.15 * blobs(ct_from_spect.inverse().apply(voxel_points(CT_GRID)) - about, sigma_mm)
    heart = about + np.random.default_rng(0).normal(0.0, 12.0, (70, 3))
    return TrainingPair(
        Volume.from_numpy(3.0 * spect, SPECT_GRID, Quantity.COUNTS),
        Volume.from_numpy(mu, CT_GRID, Quantity.MU_PER_CM),
        ct_from_spect,
        heart,
    )


def drawn_motion(seed: int, largest_mm: float = 15.0, largest_deg: float = 8.0) -> RigidTransform:
    chance = np.random.default_rng(seed)
    return RigidTransform.from_six(
        chance.uniform(-largest_mm, largest_mm, 3), chance.uniform(-largest_deg, largest_deg, 3), SPECT_GRID.centre_mm
    )


def toy_examples(n: int, first: int = 0, *, aligned: bool = False) -> Examples:
    """Prepared toy pairs with a motion each, of one patient each."""
    motions = [RigidTransform.identity() if aligned else drawn_motion(first + k) for k in range(n)]
    prepared = [prepared_pair(toy_pair(motion), GRID) for motion in motions]
    return Examples(
        tuple(f"toy-{first + k}" for k in range(n)),
        tuple(f"patient-{first + k}" for k in range(n)),
        **{name: torch.stack([one[name] for one in prepared]) for name in prepared[0]},
        aligned=torch.full((n,), aligned),
        spacing_mm=GRID.spacing_mm,
        sha256=f"toys {first} to {first + n} {aligned}",
    )


def toy_settings(**changes) -> TrainingSettings:
    """Settings of a run on toys, quick to learn."""
    table = {
        "network": {"kind": "tiny"},
        "grid": {"shape": [12, 12, 12], "spacing_mm": 10.0},
        "optimiser": {"learning_rate": 0.003, "betas": [0.9, 0.99]},
        "epochs": 4,
    }
    return settings_from({**table, **changes}, "toys.toml")


__all__ = ["CT_GRID", "GRID", "SPECT_GRID", "UNIT_MM", "drawn_motion", "toy_examples", "toy_pair", "toy_settings"]
