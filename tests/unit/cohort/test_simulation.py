"""A case whose draw was changed by hand differs by that change and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mureg.cohort.settings import CohortSettings, from_toml
from mureg.cohort.simulation import case_of, draw, exposure, simulate_case
from mureg.simulate.misalignment import PatientMotion

SETTINGS = """
name = "small"
seed = 3
voxel_mm = 6.5
[placement]
share_without_motion = 1.0
[placement.motion]
translation_mm = [20.0, 20.0, 20.0]
angles_deg = [5.0, 5.0, 5.0]
[breathing]
amplitude_mm = [0.0, 0.0]
share_creep = 0.0
end_expiration = 1.0
mid = 0.0
average = 0.0
[orbit]
views = [12]
counts = [1e6, 1e6]
[ct]
coverage_mm = [200.0, 200.0]
"""


@pytest.fixture(scope="module")
def settings() -> CohortSettings:
    return from_toml(SETTINGS)


def test_the_draw_left_as_it_is_gives_the_case(settings: CohortSettings) -> None:
    case, same = simulate_case(settings, 0), case_of(settings, 0, exposure(settings, 0, case_draw=draw(settings, 0)))
    assert np.array_equal(case.study.spect.counts, same.study.spect.counts)
    assert np.array_equal(case.study.attenuation.volume.values, same.study.attenuation.volume.values)


def test_a_motion_set_by_hand_moves_the_heart_and_leaves_the_table(settings: CohortSettings) -> None:
    """Without breathing the truth is the motion itself; the table's attenuation stays where it was in the scanner."""
    drawn = draw(settings, 0)
    assert drawn.motion == PatientMotion()
    to_the_right = PatientMotion(translation_mm=(-15.0, 0.0, 0.0))
    still, moved = (
        case_of(settings, 0, exposure(settings, 0, case_draw=d)) for d in (drawn, replace(drawn, motion=to_the_right))
    )
    np.testing.assert_allclose(still.truth.ct_from_spect.matrix, np.eye(4), atol=1e-3)
    np.testing.assert_allclose(moved.truth.ct_from_spect.matrix[:3, 3], (-15.0, 0.0, 0.0), atol=1e-3)
    assert np.array_equal(still.study.attenuation.volume.values, moved.study.attenuation.volume.values), "the same CT"
    maps = [case.truth.mu.values for case in (still, moved)]
    grid = still.truth.mu.grid
    below = grid.points(np.moveaxis(np.indices(grid.shape), 0, -1))[..., 1] > drawn.table.top_mm + 12.0
    inside_table = below & (maps[0] > 0.01)
    assert inside_table.sum() > 100
    np.testing.assert_allclose(maps[0][below], maps[1][below], atol=2e-3)
    assert np.abs(maps[0] - maps[1]).max() > 0.05, "the body moved"
