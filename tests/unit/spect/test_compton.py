"""Compton scattering and energy windows against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mureg.spect.acquisition import EnergyWindow
from mureg.spect.compton import Crystal, klein_nishina, klein_nishina_total, scattered_kev, sphere


def test_compton_energies() -> None:
    assert scattered_kev(140.5, 1.0) == pytest.approx(140.5)
    assert scattered_kev(140.5, 0.0) == pytest.approx(140.5 / (1 + 140.5 / 511.0), rel=1e-5)  # 110.2 keV
    assert scattered_kev(511.0, -1.0) == pytest.approx(511.0 / 3.0, rel=1e-4)


@pytest.mark.parametrize("energy_kev", [80.0, 140.5, 511.0])
def test_klein_nishina_integrates_to_its_closed_form(energy_kev: float) -> None:
    cosine, weight = np.polynomial.legendre.leggauss(64)
    integral = 2 * math.pi * float((weight * klein_nishina(energy_kev, cosine)).sum())
    assert integral == pytest.approx(klein_nishina_total(energy_kev), rel=1e-8)


def test_klein_nishina_tends_to_thomson() -> None:
    assert klein_nishina_total(0.1) == pytest.approx(6.652e-25, rel=1e-3)


def test_directions_cover_the_sphere_evenly() -> None:
    directions = sphere(800)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0)
    assert directions.mean(0) == pytest.approx(0.0, abs=2e-3)
    assert directions.T @ directions / 800 == pytest.approx(np.eye(3) / 3, abs=2e-3)


def test_window_acceptance() -> None:
    crystal = Crystal(0.10)
    # a window of +- 10 % is +- 1 full width at half maximum: 2.355 standard deviations
    wide = EnergyWindow(140.5 * 0.9, 140.5 * 1.1)
    assert float(crystal.accepted(140.5, wide)) == pytest.approx(math.erf(2.3548 / math.sqrt(2)), abs=1e-4)
    energies = np.linspace(80.0, 200.0, 7)
    assert crystal.accepted(energies, EnergyWindow(0.0, 1000.0)) == pytest.approx(1.0)
