"""Tabulated attenuation (NIST, the slopes PyTomography ships) as referee of the conversion."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.attenuation.hu_to_mu import MU_WATER_PER_CM, choose_conversion, mu_map
from mureg.attenuation.maps import AttenuationMap
from mureg.geometry import Grid, Quantity, Volume

# manufacturer, model, kVp, slope below and above 0 HU in 1/cm per HU
PUBLISHED = [
    ("GE MEDICAL SYSTEMS", "Infinia", 140, 1.631e-4, 1.155e-4),
    ("GE MEDICAL SYSTEMS", "Optima CT540", 140, 1.655e-4, 1.130e-4),
    ("GE MEDICAL SYSTEMS", "Optima CT540", 120, 1.658e-4, 1.039e-4),
    ("GE MEDICAL SYSTEMS", "Optima CT540", 100, 1.694e-4, 0.959e-4),
    ("GE MEDICAL SYSTEMS", "Optima CT540", 80, 1.694e-4, 0.798e-4),
    ("SIEMENS", "Symbia T16", 130, 1.636e-4, 1.090e-4),
    ("SIEMENS", "Symbia Intevo", 110, 1.634e-4, 0.978e-4),
    ("SIEMENS", "Symbia T2", 80, 1.625e-4, 0.759e-4),
]


def mu_of(manufacturer: str, model: str, kvp: float, hu: float) -> float:
    ct = Volume(np.full((1, 1, 1), hu), Grid.centred((1, 1, 1), (1.0,) * 3), Quantity.HU)
    return float(mu_map(ct, choose_conversion(manufacturer, model, kvp)[0]).values[0, 0, 0])


@pytest.mark.parametrize(("manufacturer", "model", "kvp", "below", "above"), PUBLISHED)
def test_slopes_are_the_published_ones(manufacturer, model, kvp, below, above) -> None:
    water = mu_of(manufacturer, model, kvp, 0.0)
    assert (water - mu_of(manufacturer, model, kvp, -500.0)) / 500 == pytest.approx(below, rel=1e-6)
    assert (mu_of(manufacturer, model, kvp, 1000.0) - water) / 1000 == pytest.approx(above, rel=1e-6)


@pytest.mark.parametrize(("manufacturer", "model", "kvp"), [row[:3] for row in PUBLISHED])
@pytest.mark.parametrize(
    ("tissue", "hu", "least", "most"),
    [
        ("water", 0.0, 0.153, 0.155),
        ("fat", -100.0, 0.136, 0.139),
        ("lung", -740.0, 0.028, 0.040),
        ("air", -1000.0, 0.0, 1e-3),
        ("metal artefact below air", -3024.0, 0.0, 0.0),
    ],
)
def test_tissues_attenuate_as_tabulated(manufacturer, model, kvp, tissue, hu, least, most) -> None:
    assert least <= mu_of(manufacturer, model, kvp, hu) <= most


@pytest.mark.parametrize(
    ("manufacturer", "model"), [("GE MEDICAL SYSTEMS", "Infinia"), ("GE MEDICAL SYSTEMS", "Optima CT540")]
)
def test_cortical_bone_at_140_kvp(manufacturer, model) -> None:
    assert 0.28 <= mu_of(manufacturer, model, 140, 1200.0) <= 0.295


# mass attenuation at 60, 80 and 140.5 keV in cm2/g: NISTIR 5632, the last between 100 and 150 keV on logarithmic axes
WATER, LUNG_TISSUE, FAT = (0.2059, 0.1837, 0.1538), (0.2053, 0.1826, 0.1526), (0.1974, 0.1800, 0.1533)


@pytest.mark.parametrize("density", [0.15, 0.26, 0.35, 0.50])
@pytest.mark.parametrize("ct_energy", [0, 1])
def test_lung_follows_its_density_and_the_published_lines_make_it_too_thin(density, ct_energy) -> None:
    hu = 1000.0 * (density * LUNG_TISSUE[ct_energy] / WATER[ct_energy] - 1.0)
    true = density * LUNG_TISSUE[2]
    for manufacturer, model, kvp, *_ in PUBLISHED:
        published = choose_conversion(manufacturer, model, kvp)[0]
        by_line, to_air = (MU_WATER_PER_CM + line.below * hu for line in (published, published.to_air()))
        assert to_air == pytest.approx(true, rel=0.01)
        assert by_line < true - 0.003


def test_fat_lies_nearer_to_the_line_to_air() -> None:
    true, hu = 0.93 * FAT[2], 1000.0 * (0.93 * FAT[1] / WATER[1] - 1.0)
    published = choose_conversion("", "", None)[0]
    by_line, to_air = (MU_WATER_PER_CM + line.below * hu for line in (published, published.to_air()))
    assert by_line < to_air < true


def chest() -> Volume:
    """A body of water with a lung in it."""
    hu = np.full((40, 40, 20), -1000.0, dtype=np.float32)
    hu[4:36, 4:36] = 0.0
    hu[10:30, 10:30] = -740.0
    return Volume(hu, Grid.centred((40, 40, 20), (8.0, 8.0, 8.0)), Quantity.HU)


@pytest.mark.parametrize(
    ("settings", "lung"), [(AttenuationMap(), 0.0400), (AttenuationMap(below_water="scanner"), 0.0311)]
)
def test_a_map_takes_the_line_to_air_unless_asked_for_that_of_the_scanner(settings, lung) -> None:
    body = settings.prepare(chest(), choose_conversion("GE MEDICAL SYSTEMS", "Optima CT540", 120.0)[0]).body.values
    assert float(body[20, 20, 10]) == pytest.approx(lung, abs=1e-4)
    assert float(body[6, 6, 10]) == pytest.approx(0.1538)
