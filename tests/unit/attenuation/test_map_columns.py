"""Parts of maps that are worked on alone: the columns of a table, and voxels taken by column."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.attenuation import maps as maps_module
from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.attenuation.slices import with_more_slices
from mureg.geometry import Grid, Quantity, RigidTransform, Volume

CT = Grid.centred((40, 36, 10), (3.0, 3.0, 5.0))
SPECT = Grid.centred((20, 20, 20), (6.8, 6.8, 6.8))


def part(values: np.ndarray) -> Volume:
    """With a slanted field: corners that the CT does not know."""
    x, y, z = np.indices(CT.shape)
    return Volume(values * 1.0, CT, Quantity.MU_PER_CM, (x + y + z < 6) | (x + y > 70))


@pytest.mark.parametrize("place", ["middle", "edge", "nowhere"])
@pytest.mark.parametrize("beyond", ["slices", "water", "none"])
def test_the_columns_of_a_table_give_what_the_whole_field_gives(monkeypatch, place, beyond) -> None:
    table = np.zeros(CT.shape)
    if place != "nowhere":
        table[8:30, slice(33, None) if place == "edge" else slice(25, 29)] = 0.2
    maps = [AttenuationMaps(part(np.zeros(CT.shape)), part(table), AttenuationMap(beyond=beyond)) for _ in range(2)]
    pose = RigidTransform.from_six((3.0, -2.0, 5.0), (0, 0, 0), (0, 0, 0))
    cropped = maps[0].on_spect(SPECT, pose)
    monkeypatch.setattr(maps_module, "_around_what_absorbs", lambda volume, _width_mm: volume)
    whole = maps[1].on_spect(SPECT, pose)
    assert (whole.values.max() > 0.05) == (place != "nowhere")
    np.testing.assert_allclose(cropped.values, whole.values, rtol=0, atol=1e-7)


def test_a_lengthened_map_repeats_the_first_and_last_known_voxel_of_each_column() -> None:
    volume = part(np.random.default_rng(0).random(CT.shape))
    longer = with_more_slices(volume, 3, 4)
    known = ~volume.outside
    for x, y in ((0, 0), (1, 3), (20, 20), (5, 0)):
        inside = np.flatnonzero(known[x, y])
        slices = np.clip(np.arange(-3, 14), inside[0], inside[-1])
        np.testing.assert_array_equal(longer.values[x, y], volume.values[x, y, slices])
    assert longer.outside is not None
    assert longer.outside[39, 35].all(), "a column that is not known at all"
