"""Poses do not hang on the last digits of the images."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.geometry.target_error import target_registration_error_mm
from mureg.io import read_study
from mureg.pipeline import prepare
from mureg.registration import Combination, MutualInformation, NearHeart
from mureg.registration.mutual_information import COARSE
from mureg.sample import load_truth, sample_folder
from mureg.study import PreparedStudy
from support.phantoms import chest, mu_volume, voxel_points

NOISE = 1e-5
SEEDS = range(4)


@pytest.fixture(scope="module")
def sample() -> PreparedStudy:
    folder = sample_folder()
    return prepare(read_study(folder / "spect.dcm", ct=folder / "ct"))


def _farthest_mm(registrar, study: PreparedStudy, points_mm) -> float:
    """Distance of the poses of a study and of the same study with noise far below any that is measured."""
    image = study.uncorrected
    pose = registrar.register(study).ct_from_spect
    distances = []
    for seed in SEEDS:
        noise = 1.0 + NOISE * np.random.default_rng(seed).standard_normal(image.values.shape)
        changed = image.with_values((image.values * noise).astype(image.values.dtype))
        other = registrar.register(PreparedStudy(changed, study.maps, study.acquisition))
        distances.append(target_registration_error_mm(other.ct_from_spect, pose, points_mm))
    return max(distances)


@pytest.mark.parametrize(
    "registrar",
    [Combination().quick_mode(), NearHeart()],
    ids=["quick mode", "near-heart"],
)
def test_noise_of_a_hundred_thousandth_does_not_move_the_heart_of_the_sample_study(registrar, sample) -> None:
    assert _farthest_mm(registrar, sample, load_truth().heart_points_mm) < 0.05


@pytest.mark.parametrize("motion", [(14.0, 0.0, -8.0), (-6.0, 9.0, 17.0)])
@pytest.mark.parametrize("registrar", [COARSE, MutualInformation()], ids=["coarse", "mutual information"])
def test_nor_does_it_move_that_of_a_phantom(motion, registrar) -> None:
    grid = Grid.centred((28, 28, 28), (12.0, 12.0, 12.0))
    spect = Volume.from_numpy(chest(voxel_points(grid), edge_mm=16.0)[0], grid, Quantity.ACTIVITY)
    moved = RigidTransform.from_six(motion, (0.0, 3.0, 0.0), (0.0, 0.0, 0.0))
    body = mu_volume(Grid.centred((42, 36, 36), (11.0, 11.0, 11.0)), moved)
    around_heart = np.random.default_rng(0).normal(0.0, 40.0, (50, 3))
    assert _farthest_mm(registrar, PreparedStudy.from_images(spect, body), around_heart) < 0.05
