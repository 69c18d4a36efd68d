"""Axial motion of the patient during the scan: jumps between neighbouring views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mureg.spect.acquisition import Acquisition

_SIDE = 2
"""Views before and after a gap that are compared: less noise than one, less attenuation between them than three."""
# Chosen; what is found and missed with them is measured on 100 virtual patients (docs/how-to/report.md, What it does
# not detect).
_REACH_ROWS = 5  # largest step either way that is tried: 34 mm of a usual cardiac SPECT
_STEPS_PER_ROW = 10  # tried steps in each row; a parabola then finds the place between them
_FEWEST_VIEWS = 16  # with fewer, neighbouring views differ too much by attenuation
_FEWEST_ROWS = 4 * _REACH_ROWS  # half of the rows are then left where a profile is shifted by the most
_FEWEST_COUNTS = 2000.0  # of the median view: 100 in each of the fewest rows, 10 % of noise
_LEAST_CONTRAST = 0.1  # standard deviation of the row sums over their mean: a flat profile has no place

Profile = Float[np.ndarray, " row"]


@dataclass(frozen=True)
class Jump:
    """The largest step between neighbouring views.

    Attributes:
        mm: how far the patient is shifted to the head after it; negative to the foot.
        view: number of the first view after it, counted from 1 along the orbit.
        rows: the same in detector rows.
        explained_share: how much of the difference between the views before and after it the shift explains, 0 to 1.
            Attenuation that changes with the angle also shifts the sums of the rows a little, but changes their shape
            more. What noise alone leaves is not counted.
    """

    mm: float
    view: int
    rows: float
    explained_share: float

    @property
    def is_motion(self) -> bool:
        """Whether it is more than a pixel."""
        return abs(self.rows) > 1.0

    def words(self) -> str:
        """The jump as text: size in mm, direction, and the view after it."""
        toward = "head" if self.mm >= 0 else "foot"
        return f"{abs(self.mm):.1f} mm to the {toward} before view {self.view}"


def largest_jump(acquisition: Acquisition) -> Jump | None:
    """Find the largest step of the patient along the axis of rotation from one view to the next.

    What a detector row counts in all is the activity of one slice of the patient, whatever the angle: without
    attenuation these sums are the same in every view (the Helgason-Ludwig condition of order zero), and with it they
    change slowly from view to view. The mean of the two views before each gap is matched to the mean of the two after
    it, with a free factor, by least squares. A slow drift, steps across the axis and breathing are not seen, nor a step
    at the first or last view.

    Returns:
        The largest step of up to five rows either way; None for too few views, rows, counts or
        differences between the rows to tell.
    """
    counts = acquisition.photopeak_counts.astype(np.float64)
    profiles = counts.sum(axis=2)
    if acquisition.view_weights is not None:
        profiles = profiles / acquisition.view_weights[:, None]
    profiles = profiles[_along_orbit(acquisition.angles_deg)]
    n_views, n_rows = profiles.shape
    if n_views < _FEWEST_VIEWS or n_rows < _FEWEST_ROWS or np.median(counts.sum(axis=(1, 2))) < _FEWEST_COUNTS:
        return None
    mean = profiles.mean(0)
    if mean.std() < _LEAST_CONTRAST * mean.mean():
        return None
    gaps = range(_SIDE, n_views - _SIDE + 1)
    sides = [(profiles[gap - _SIDE : gap].mean(0), profiles[gap : gap + _SIDE].mean(0)) for gap in gaps]
    steps = [_step_rows(*pair) for pair in sides]
    worst = int(np.argmax(np.abs(steps)))
    rows = -steps[worst]  # row 0 is nearest the head
    explained_share = _explained_share(*sides[worst], steps[worst])
    return Jump(rows * acquisition.pixel_mm[0], gaps[worst] + 1, rows, explained_share)


def _along_orbit(angles_deg: Float[np.ndarray, " view"]) -> np.ndarray:
    """Views in the order of their angles, beginning after the widest gap, in the sense in which they were taken."""
    angles = np.asarray(angles_deg) % 360.0
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(angles[order], append=angles[order[0]] + 360.0)
    widest = int(np.argmax(gaps))
    if gaps[widest] < 1.5 * np.median(gaps):  # a full circle begins where the camera began
        widest = int(np.argmin(order)) - 1
    order = np.roll(order, -(widest + 1))
    return np.roll(order[::-1], 1 if order[0] == 0 else 0) if np.median(np.diff(order)) < 0 else order


def _step_rows(before: Profile, after: Profile) -> float:
    """By how many rows, towards higher numbers, a profile has to be shifted to lie on another."""
    rows = np.arange(len(before), dtype=np.float64)
    inner = slice(_REACH_ROWS, -_REACH_ROWS)
    shifts = np.arange(-_REACH_ROWS * _STEPS_PER_ROW, _REACH_ROWS * _STEPS_PER_ROW + 1) / _STEPS_PER_ROW
    moved = np.interp(rows[None, inner] - shifts[:, None], rows, before)
    # what remains after the best factor
    target = after[inner]
    explained_share = (moved @ target) ** 2 / np.maximum((moved**2).sum(1), 1e-12)
    best = int(np.argmax(explained_share))
    if not 0 < best < len(shifts) - 1:
        return float(shifts[best])
    low, middle, high = explained_share[best - 1 : best + 2]
    bend = low - 2 * middle + high
    return float(shifts[best] + (0.5 * (low - high) / bend / _STEPS_PER_ROW if bend < 0 else 0.0))


def _explained_share(before: Profile, after: Profile, rows: float) -> float:
    """How much of the difference of two profiles a shift towards higher rows explains; see `Jump`."""
    misfit_still, misfit_shifted = (_misfit(before, after, shift) for shift in (0.0, rows))
    by_noise = len(before) - 2 * _REACH_ROWS
    return float(np.clip((misfit_still - misfit_shifted) / max(misfit_still - by_noise, 1.0), 0.0, 1.0))


def _misfit(before: Profile, after: Profile, rows: float) -> float:
    """Chi square of one profile, shifted towards higher rows and scaled, against another, by Poisson noise."""
    inner = slice(_REACH_ROWS, -_REACH_ROWS)
    place = np.arange(len(before), dtype=np.float64)
    moved, target = np.interp(place - rows, place, before)[inner], after[inner]
    factor = (moved @ target) / max(float(moved @ moved), 1e-12)
    variance = np.maximum((target + factor**2 * moved) / _SIDE, 1e-3)
    return float(((target - factor * moved) ** 2 / variance).sum())
