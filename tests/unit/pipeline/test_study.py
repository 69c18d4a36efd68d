"""What a study refuses before anything is computed from it."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.attenuation.hu_to_mu import mu_map
from mureg.errors import UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.study import Ct, Study

GRID = Grid.centred((2, 2, 2), (5.0, 5.0, 5.0))


def volume(quantity: Quantity) -> Volume:
    return Volume(np.zeros((2, 2, 2)), GRID, quantity)


@pytest.mark.parametrize("quantity", [Quantity.HU, Quantity.ACTIVITY, Quantity.COUNTS, Quantity.LABEL])
def test_an_attenuation_map_is_in_inverse_centimetres(quantity) -> None:
    with pytest.raises(UsageError, match=r"an attenuation map in .*; expected 1/cm") as refusal:
        Study(volume(Quantity.ACTIVITY), volume(quantity))
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("quantity", [Quantity.HU, Quantity.MU_PER_CM, Quantity.LABEL])
def test_an_emission_image_is_in_counts_or_activity(quantity) -> None:
    with pytest.raises(UsageError, match=r"a SPECT volume in .*; expected counts or activity"):
        Study(volume(quantity), volume(Quantity.MU_PER_CM))


@pytest.mark.parametrize("quantity", [Quantity.ACTIVITY, Quantity.COUNTS])
def test_emission_and_attenuation_make_a_study(quantity) -> None:
    assert Study(volume(quantity), volume(Quantity.MU_PER_CM)).patient == ""


def test_a_ct_of_water_becomes_a_map_of_water() -> None:
    conversion, note = Ct(volume(Quantity.HU), "SIEMENS", "Symbia T16", 130.0).conversion()
    np.testing.assert_allclose(mu_map(volume(Quantity.HU), conversion).values, np.full((2, 2, 2), 0.1538))
    assert note == ""
