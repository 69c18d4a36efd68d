"""Which effects are modelled, and that every assumption is said."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pydantic
import pytest

from mureg.geometry import Quantity, Volume
from mureg.spect.physics import WITHOUT, Physics
from mureg.spect.scatter import SimulatedScatter, WindowScatter
from support.phantoms import camera, orbit

SCANNER = replace(
    camera(orbit(4, 180), rows=4, columns=6), radii_mm=np.full(4, 200.0), collimator="LEHR", manufacturer="SIEMENS"
)
MU = Volume(np.full((6, 6, 4), 0.1, dtype=np.float32), SCANNER.grid(), Quantity.MU_PER_CM)


@pytest.mark.parametrize(
    ("choice", "model"),
    [
        ("simulated", SimulatedScatter()),
        ("simulated-by-window", SimulatedScatter(amount="windows")),
        ("dual-window", WindowScatter("dual")),
        ("triple-window", WindowScatter("triple")),
        ("none", None),
    ],
)
def test_each_scatter_choice_is_the_model_it_names(choice, model) -> None:
    system, notes = Physics(scatter=choice).system(SCANNER, MU)
    assert system.scatter == model
    assert system.mu is MU
    assert notes == ()


def test_the_collimator_is_the_one_the_header_names_unless_another_is_asked_for() -> None:
    assert Physics().system(SCANNER, MU)[0].collimator.name == "Siemens LEHR"
    assert Physics(collimator="GE LEGP").system(SCANNER, MU)[0].collimator.name == "GE LEGP"


def test_an_unknown_collimator_is_replaced_and_said() -> None:
    system, notes = Physics().system(replace(SCANNER, collimator="WONDER"), MU)
    assert system.collimator.name == "Siemens LEHR"
    assert len(notes) == 1
    assert "WONDER" in notes[0]


def test_an_unknown_radius_is_assumed_and_said() -> None:
    system, notes = Physics(radius_mm=230.0).system(replace(SCANNER, radii_mm=None), MU)
    np.testing.assert_array_equal(system.acquisition.radii_mm, np.full(4, 230.0))
    assert notes == ("detector radius unknown: a circular orbit of 230 mm was assumed",)


def test_known_radii_are_kept_whatever_the_assumption() -> None:
    radii = np.array([180.0, 190.0, 210.0, 205.0])
    system, notes = Physics(radius_mm=999.0).system(replace(SCANNER, radii_mm=radii), MU)
    np.testing.assert_array_equal(system.acquisition.radii_mm, radii)
    assert notes == ()


def test_without_resolution_neither_collimator_nor_radius_is_needed() -> None:
    system, notes = Physics(resolution=False).system(replace(SCANNER, radii_mm=None, collimator=""), MU)
    assert system.collimator is None
    assert notes == ()


@pytest.mark.parametrize("choice", ["simulated", "simulated-by-window"])
def test_simulated_scatter_without_a_map_is_left_out_and_said(choice) -> None:
    system, notes = Physics(scatter=choice).system(SCANNER, None)
    assert system.scatter is None
    assert notes == ("scatter was not modelled: simulating it needs an attenuation map",)


@pytest.mark.parametrize("choice", ["dual-window", "triple-window"])
def test_scatter_from_windows_needs_no_map(choice) -> None:
    system, notes = Physics(scatter=choice).system(SCANNER, None)
    assert isinstance(system.scatter, WindowScatter)
    assert notes == ()


def test_the_uncorrected_image_of_the_clinic_models_nothing() -> None:
    system, notes = WITHOUT.system(replace(SCANNER, radii_mm=None), None)
    assert (system.collimator, system.scatter, system.mu, notes) == (None, None, None, ())


def test_the_settings_survive_being_written_down_and_refuse_what_means_nothing() -> None:
    chosen = Physics(scatter="dual-window", radius_mm=260.0)
    assert Physics(**asdict(chosen)) == chosen
    for wrong in ({"scatter": "guessed"}, {"radius_mm": 0.0}, {"beta": 1}):
        with pytest.raises(pydantic.ValidationError):
            Physics(**wrong)
