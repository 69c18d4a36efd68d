"""When views were taken and for how long: what share of the decays each of them could count."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.io.dicom.access import numbers
from mureg.io.nm.energy import half_life_h
from mureg.io.nm.orbit import corrections_applied, detector_item, rotation_item
from mureg.io.nm.views import Pass
from mureg.notes import Note, Rank

_NOTICEABLE = 1e-3  # a smaller difference between views is left alone: below the noise of any view; chosen

Array = npt.NDArray[np.float64]


def seconds_per_view(dataset: Dataset, one_pass: Pass) -> float:
    """Acquisition time of the first view of a pass in seconds, 0 where unknown."""
    seconds = _seconds(dataset, one_pass)
    return 0.0 if seconds is None else float(seconds[0])


def view_weights(dataset: Dataset, passes: list[Pass], nuclide: str) -> tuple[Array | None, tuple[str, ...]]:
    """The share of decays that each view counted, relative to the first, and a note on what was reckoned.

    Views of a rotation follow each other without a pause, each for its ActualFrameDuration (PS3.3 C.8.4.13); detectors
    count at the same time, rotations one after another. A view that lasts T from time t counts
    exp(-k t) (1 - exp(-k T)) / k decays, k = ln 2 / half-life; where CorrectedImage says DECY, T.

    Returns:
        Weights [view] in the order of the passes and their views; None where all differ by 0.1 % at most, or where
        the durations are unknown.
    """
    decays = "DECY" not in corrections_applied(dataset)
    rate_per_s = math.log(2) / (half_life_h(nuclide) * 3600.0) if decays else 0.0
    begin_s, weights, lasting = 0.0, [], []
    for rotation in sorted({one_pass.rotation for one_pass in passes}):
        longest_s = 0.0
        for one_pass in (p for p in passes if p.rotation == rotation):
            planned_s = _seconds(dataset, one_pass)
            if planned_s is None:
                return None, (
                    ("no duration of the views in the header; decay between them neglected",) if decays else ()
                )
            indices = np.asarray(one_pass.views) - one_pass.first
            start_s, lasts_s = begin_s + (np.cumsum(planned_s) - planned_s)[indices], planned_s[indices]
            counted = -np.expm1(-rate_per_s * lasts_s) / rate_per_s if decays else lasts_s
            weights.append(np.exp(-rate_per_s * start_s) * counted)
            lasting.append(lasts_s)
            longest_s = max(longest_s, float(planned_s.sum()))
        begin_s += longest_s
    relative, lasts_s = np.concatenate(weights), np.concatenate(lasting)
    notes = []
    if np.ptp(lasts_s) > _NOTICEABLE * lasts_s.max():
        words = f"views of {lasts_s.min():g} to {lasts_s.max():g} s, weighted by their time"
        notes.append(Note(words, Rank.RECORD))
    by_decay = relative / lasts_s
    fall = 1.0 - float(by_decay.min() / by_decay.max())
    if fall > _NOTICEABLE:
        half_life = f"{nuclide}, half-life {half_life_h(nuclide):.4g} h"
        words = f"decay between views modelled ({half_life}): {100 * fall:.1f} % from the earliest to the latest"
        notes.append(Note(words, Rank.RECORD))
    if relative.max() <= (1.0 + _NOTICEABLE) * relative.min():
        return None, ()
    return relative / relative[0], tuple(notes)


def _seconds(dataset: Dataset, one_pass: Pass) -> Array | None:
    """Duration of each planned view of a pass in seconds, None where it is not written."""
    for place in (rotation_item(dataset, one_pass.rotation), detector_item(dataset, one_pass.detector), dataset):
        durations = numbers(place, "ActualFrameDuration")
        if durations and min(durations) > 0:
            each = durations if len(durations) == one_pass.planned else durations[:1]
            return np.resize(np.asarray(each, dtype=np.float64) / 1000.0, one_pass.planned)
    return None
