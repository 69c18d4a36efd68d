"""Which row of the table a scanner gets, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.attenuation.hu_to_mu import MU_WATER_PER_CM, choose_conversion, mu_map
from mureg.errors import UnitsError
from mureg.geometry import Grid, Quantity, Volume


@pytest.mark.parametrize(
    ("manufacturer", "model", "kvp", "name"),
    [
        ("GE MEDICAL SYSTEMS", "Infinia", 140, "GE Infinia, 140 kVp"),
        ("GE MEDICAL SYSTEMS", "Discovery NM/CT 670", 120, "GE Optima, 120 kVp"),
        ("GE MEDICAL SYSTEMS", "Discovery NM/CT 670 Pro", 140, "GE Optima, 140 kVp"),
        ("GE MEDICAL SYSTEMS", "Optima CT540", 100, "GE Optima, 100 kVp"),
        ("SIEMENS", "Symbia T6", 130, "Siemens Symbia, 130 kVp"),
        ("SIEMENS", "SYMBIA INTEVO", 110, "Siemens Symbia, 110 kVp"),
        ("Siemens Healthineers", "Symbia Pro.specta", 80.0, "Siemens Symbia, 80 kVp"),
    ],
)
def test_scanners_in_the_table_are_known_by_the_names_they_write(manufacturer, model, kvp, name) -> None:
    conversion, sentence = choose_conversion(manufacturer, model, kvp)
    assert (conversion.name, sentence) == (name, "")


@pytest.mark.parametrize(
    ("manufacturer", "model", "kvp", "name", "said"),
    [
        ("SIEMENS", "Symbia T6", 120, "Siemens Symbia, 130 kVp", "SIEMENS Symbia T6 at 120 kVp has no entry"),
        ("Philips", "BrightView XCT", 120, "GE Optima, 120 kVp", "Philips BrightView XCT at 120 kVp has no entry"),
        ("SIEMENS", "Symbia T6", None, "Siemens Symbia, 130 kVp", "does not name the tube voltage"),
        ("GE MEDICAL SYSTEMS", "Infinia", 0.0, "GE Infinia, 140 kVp", "does not name the tube voltage"),
        ("", "", 100, "GE Optima, 100 kVp", "does not name the scanner"),
        ("", "", None, "GE Optima, 120 kVp", "does not name the scanner and tube voltage"),
    ],
)
def test_every_guess_is_said(manufacturer, model, kvp, name, said) -> None:
    conversion, sentence = choose_conversion(manufacturer, model, kvp)
    assert conversion.name == name
    assert said in sentence


SCANNERS = [("GE MEDICAL SYSTEMS", "Infinia", 140.0), ("SIEMENS", "Symbia T6", 110.0), ("", "", None)]


def ramp() -> Volume:
    hu = np.arange(-1100.0, 3000.0, 10.0, dtype=np.float64)[:, None, None]
    grid = Grid.centred((len(hu), 1, 1), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "1.2.3")
    return Volume(hu, grid, Quantity.HU, hu > 2900.0)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_the_two_lines_meet_at_water(scanner) -> None:
    hu = np.array([[[-1e-6, 0.0, 1e-6]]], dtype=np.float64)
    mu = mu_map(Volume(hu, Grid.centred((1, 1, 3), (1.0, 1.0, 1.0)), Quantity.HU), choose_conversion(*scanner)[0])
    assert np.allclose(mu.values, np.array(MU_WATER_PER_CM, dtype=np.float64), atol=1e-9)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_denser_never_means_less_attenuation_and_never_below_zero(scanner) -> None:
    mu = mu_map(ramp(), choose_conversion(*scanner)[0]).values.flatten()
    assert (mu >= 0.0).all()
    assert (np.diff(mu) >= 0.0).all()


def test_grid_and_unknown_voxels_are_kept() -> None:
    ct = ramp()
    mu = mu_map(ct, choose_conversion("", "", None)[0])
    assert (mu.grid, mu.quantity) == (ct.grid, Quantity.MU_PER_CM)
    assert mu.outside is ct.outside


def test_a_map_in_other_units_is_refused() -> None:
    ct = ramp()
    with pytest.raises(UnitsError, match="a CT in HU"):
        mu_map(ct.with_values(ct.values, Quantity.MU_PER_CM), choose_conversion("", "", None)[0])
