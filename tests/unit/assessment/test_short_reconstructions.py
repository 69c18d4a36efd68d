"""Short reconstructions that share one sparse product, against one reconstruction for each alternative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mureg.assessment.short_reconstructions import log_likelihoods
from mureg.geometry import Quantity, Volume
from mureg.recon import Osem
from mureg.spect import SystemModel
from support.phantoms import camera, orbit

CAMERA = camera(orbit(12, 180), rows=6, columns=16, pixel_mm=(12.0, 12.0))


def _alternative(seed: int, rows: int, offset_mm: float = 0.0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(20.0, (1, 12, rows, 16)).astype(np.float64)
    acquisition = replace(CAMERA, counts=counts, column_offsets_mm=np.full(12, offset_mm))
    grid = acquisition.grid()
    return acquisition, Volume(rng.uniform(0.0, 0.15, grid.shape), grid, Quantity.MU_PER_CM)


def _alone(acquisition, mu):
    """Four iterations of six subsets by the ordinary reconstruction, and its log-likelihood of each row."""
    system = SystemModel(acquisition, acquisition.grid(), mu)
    expected = system.project(Osem(iterations=4, subsets=6).reconstruct(acquisition, system).values)
    return (acquisition.photopeak_counts * np.log(expected) - expected).sum((0, 2))


def test_alternatives_of_any_rows_maps_and_offsets_give_what_each_gives_alone() -> None:
    alternatives = [_alternative(1, 6), _alternative(2, 6), _alternative(3, 4), _alternative(4, 6, 5.0)]
    together = log_likelihoods([alternatives[k] for k in (3, 0, 2, 1)])
    for of_rows, number in zip(together, (3, 0, 2, 1), strict=True):
        np.testing.assert_allclose(of_rows, _alone(*alternatives[number]), rtol=1e-9)


def test_a_part_of_the_rows_gives_what_an_acquisition_of_these_rows_gives() -> None:
    acquisition, mu = _alternative(5, 6)
    (whole,) = log_likelihoods([(acquisition, mu)])
    head = Volume(mu.values[..., 4:], replace(acquisition, counts=acquisition.counts[:, :, :2]).grid(), mu.quantity)
    (alone,) = log_likelihoods([(replace(acquisition, counts=acquisition.counts[:, :, :2]), head)])
    # the least expected counts are a share of the mean of all
    np.testing.assert_allclose(whole[:2], alone, rtol=1e-9)
