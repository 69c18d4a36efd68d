"""Motion of the patient during the acquisition: a jump of the projections, and a second witness for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from mureg.notes import Note, Rank
from mureg.spect import Acquisition
from mureg.spect.patient_motion import Jump, _along_orbit, largest_jump

_SIDE = 2
"""Views before and after the jump that are compared, as in `largest_jump`."""
_MARGIN_ROWS = 5
_LEAST_EXPLAINED = 0.5
"""Share of the difference that a shift must explain: 0.85 to 1.0 for steps of 9 to 54 mm of four virtual patients, 0.23
for the only one of 60 at rest whose largest step is above a pixel (docs/concepts/decision.md)."""


def motion_notes(acquisition: Acquisition) -> Iterator[Note]:
    """Note on axial motion: a jump of more than a pixel that a shift of the patient explains."""
    jump = largest_jump(acquisition)
    if jump is not None and jump.is_motion and explained_share(acquisition, jump) >= _LEAST_EXPLAINED:
        yield Note(
            f"the patient seems to have moved during the scan: the projections jump {jump.words()}",
            Rank.CHANGES_ANSWER,
        )


def explained_share(acquisition: Acquisition, jump: Jump) -> float:
    """How much of the difference between the views before and after a jump a shift explains, 0 to 1.

    Attenuation that changes with the angle also shifts the sums of the rows a little, but changes their shape more. The
    differences are weighted by Poisson noise, and what noise alone leaves is not counted.
    """
    counts = np.asarray(acquisition.photopeak_counts, dtype=np.float64).sum(axis=2)
    if acquisition.view_weights is not None:
        counts = counts / np.asarray(acquisition.view_weights)[:, None]
    profiles = counts[_along_orbit(acquisition.angles_deg)]
    gap = jump.view - 1
    before, after = profiles[gap - _SIDE : gap].mean(0), profiles[gap : gap + _SIDE].mean(0)
    still, shifted = (_misfit(before, after, rows) for rows in (0.0, -jump.rows))
    by_noise = len(before) - 2 * _MARGIN_ROWS
    return float(np.clip((still - shifted) / max(still - by_noise, 1.0), 0.0, 1.0))


def _misfit(before: Float[np.ndarray, " row"], after: Float[np.ndarray, " row"], rows: float) -> float:
    """Chi square of one profile, shifted towards higher rows and scaled, against another."""
    inner = slice(_MARGIN_ROWS, -_MARGIN_ROWS)
    place = np.arange(len(before), dtype=np.float64)
    moved, target = np.interp(place - rows, place, before)[inner], after[inner]
    factor = (moved @ target) / max(float(moved @ moved), 1e-12)
    variance = np.maximum((target + factor**2 * moved) / _SIDE, 1e-3)
    return float(((target - factor * moved) ** 2 / variance).sum())
