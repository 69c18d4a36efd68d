"""A jump of the projections is motion only where a shift of the patient explains it."""

from __future__ import annotations

import numpy as np
import pytest

from mureg.assessment.motion_checks import motion_notes
from mureg.notes import Rank
from mureg.spect import Acquisition
from mureg.spect.patient_motion import largest_jump
from support.phantoms import PHOTOPEAK

N_VIEWS, N_ROWS, N_COLUMNS, GAP = 32, 64, 16, 16
ROWS = np.arange(N_ROWS, dtype=np.float64)


def activity(rows):
    """A heart above a liver, by detector row."""
    return 60.0 + 100.0 * np.exp(-((rows - 24.0) ** 2) / 60.0) + 200.0 / (1.0 + np.exp(-(rows - 44.0) / 4.0))


def scan(profiles, seed: int = 2) -> Acquisition:
    """Poisson counts of views whose rows add up to these profiles [view, row]."""
    expected = np.repeat(np.asarray(profiles)[:, :, None] / N_COLUMNS, N_COLUMNS, axis=2)
    counts = np.random.default_rng(seed).poisson(10.0 * expected)
    angles = 225.0 - 180.0 / N_VIEWS * np.arange(N_VIEWS)
    return Acquisition(
        counts[None].astype(np.float32),
        (PHOTOPEAK,),
        0,
        angles,
        (6.8, 6.8),
        radii_mm=np.full(N_VIEWS, 230.0),
    )


def halves(before, after) -> Acquisition:
    return scan(np.where(np.arange(N_VIEWS)[:, None] < GAP, before, after))


@pytest.mark.parametrize("rows", [-2.5, -1.4, 1.4, 2.5, 4.0])
def test_a_shift_explains_a_patient_who_slipped(rows: float) -> None:
    slipped = halves(activity(ROWS), 0.9 * activity(ROWS - rows))
    jump = largest_jump(slipped)
    assert jump is not None
    assert jump.explained_share > 0.8
    (note,) = motion_notes(slipped)
    assert note.rank is Rank.CHANGES_ANSWER
    assert f"before view {GAP + 1}" in note
    assert ("to the foot" if rows > 0 else "to the head") in note


def test_attenuation_that_changes_between_views_is_no_motion() -> None:
    """Bands of rows lose counts to a table or an arm: the sums seem to jump, but no shift explains it."""
    bands = 1.0 - 0.2 * np.cos(ROWS / 7.0 + 3.0)
    dimmed = halves(activity(ROWS), activity(ROWS) * bands)
    jump = largest_jump(dimmed)
    assert jump is not None
    assert jump.is_motion, "the first witness alone is deceived"
    assert jump.explained_share < 0.4
    assert not list(motion_notes(dimmed))


def test_who_lies_still_is_not_accused() -> None:
    assert not list(motion_notes(halves(activity(ROWS), activity(ROWS))))
