"""Refusals and laws of the way from Hounsfield units to attenuation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mureg.errors import UnitsError
from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import HuToMu, mu_map
from mureg.spect.corrections import choose_conversion

GRID = Grid.centred((1, 1, 2), (1.0, 1.0, 1.0))
KNOWN = [
    ("GE MEDICAL SYSTEMS", "Infinia", 140),
    ("GE MEDICAL SYSTEMS", "Optima CT540", 120),
    ("SIEMENS", "Symbia T16", 110),
]


def mu_of(conversion: HuToMu, *hu: float) -> list[float]:
    grid = Grid.centred((1, 1, len(hu)), (1.0, 1.0, 1.0))
    return (
        mu_map(Volume(torch.tensor([[hu]], dtype=torch.float64), grid, Quantity.HU), conversion).values[0, 0].tolist()
    )


@pytest.mark.parametrize("scanner", KNOWN)
@given(st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_denser_never_means_less_attenuation_and_never_below_zero(scanner, one, other) -> None:
    low, high = mu_of(choose_conversion(*scanner)[0], min(one, other), max(one, other))
    assert 0.0 <= low <= high


@pytest.mark.parametrize("scanner", KNOWN)
def test_the_two_lines_meet_at_water(scanner) -> None:
    below, at, above = mu_of(choose_conversion(*scanner)[0], -1e-6, 0.0, 1e-6)
    assert below == pytest.approx(at, abs=1e-9)
    assert above == pytest.approx(at, abs=1e-9)


def test_a_map_in_other_units_is_refused() -> None:
    with pytest.raises(UnitsError, match="a volume in 1/cm; expected a CT in HU"):
        mu_map(Volume(torch.zeros(1, 1, 2), GRID, Quantity.MU_PER_CM), HuToMu("", 1e-4, 1e-4))


def test_grid_and_unknown_voxels_are_kept() -> None:
    mask = torch.tensor([[[True, False]]])
    mu = mu_map(Volume(torch.zeros(1, 1, 2), GRID, Quantity.HU, mask), HuToMu("", 1e-4, 1e-4))
    assert mu.quantity is Quantity.MU_PER_CM
    assert mu.grid == GRID
    assert torch.equal(mu.outside, mask)


@pytest.mark.parametrize(
    ("scanner", "name"),
    [
        (("GE MEDICAL SYSTEMS", "Infinia Hawkeye 4", 140), "GE Infinia, 140 kVp"),
        (("ge medical systems", "optima ct540", 120.0), "GE Optima, 120 kVp"),
        (("GE MEDICAL SYSTEMS", "Discovery NM/CT 670", 80), "GE Optima, 80 kVp"),
        (("SIEMENS", "Symbia T16", 130), "Siemens Symbia, 130 kVp"),
        (("Siemens Healthineers", "Symbia Intevo 6", 110), "Siemens Symbia, 110 kVp"),
    ],
)
def test_a_scanner_of_the_table_needs_no_remark(scanner, name) -> None:
    conversion, sentence = choose_conversion(*scanner)
    assert conversion.name == name
    assert sentence == ""


@pytest.mark.parametrize(
    ("scanner", "name", "words"),
    [
        (("SIEMENS", "Symbia T16", 125), "Siemens Symbia, 130 kVp", "SIEMENS Symbia T16, 125 kVp"),
        (("SIEMENS", "Symbia T16", None), "Siemens Symbia", "tube voltage unknown"),
        (("Philips", "Brilliance 64", 120), "GE Optima, 120 kVp", "Philips Brilliance 64, 120 kVp"),
        (("", "", None), "GE Optima, 120 kVp", "scanner unknown, tube voltage unknown"),
    ],
)
def test_a_guess_takes_the_nearest_voltage_and_says_so(scanner, name, words) -> None:
    conversion, sentence = choose_conversion(*scanner)
    assert conversion.name.startswith(name)
    assert conversion.name in sentence
    assert words in sentence
