"""Tabulated attenuation (NIST XCOM, the slopes PyTomography ships) as referee of the conversion."""

from __future__ import annotations

import pytest
import torch

from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import mu_map
from mureg.spect.corrections import choose_conversion

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
    ct = Volume(torch.full((1, 1, 1), hu, dtype=torch.float64), Grid.centred((1, 1, 1), (1.0,) * 3), Quantity.HU)
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
