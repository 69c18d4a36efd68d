"""Motion of the patient during the acquisition: a jump of the projections, and a second witness for it."""

from __future__ import annotations

from collections.abc import Iterator

from mureg.notes import Note, Rank
from mureg.spect import Acquisition
from mureg.spect.patient_motion import largest_jump

_LEAST_EXPLAINED = 0.5
"""Share of the difference that a shift must explain: 0.85 to 1.0 for steps of 9 to 54 mm of four virtual patients, 0.23
for the only one of 60 at rest whose largest step is above a pixel (docs/concepts/decision.md)."""


def motion_notes(acquisition: Acquisition) -> Iterator[Note]:
    """Note on axial motion: a jump of more than a pixel that a shift of the patient explains."""
    jump = largest_jump(acquisition)
    if jump is not None and jump.is_motion and jump.explained_share >= _LEAST_EXPLAINED:
        yield Note(
            f"the patient seems to have moved during the scan: the projections jump {jump.words()}",
            Rank.CHANGES_ANSWER,
        )
