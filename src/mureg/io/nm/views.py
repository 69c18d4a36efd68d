"""Which views an object holds: all of them, some missing, some repeated, some empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import items, number
from mureg.notes import Note, Rank

LARGEST_MISSING_SHARE = 0.25
"""A pass with more of its views missing or empty is refused; a round value."""

_SERIOUS_SHARE = 0.1
"""Of the planned views: above it the image may be wrong and has to be checked. A round value."""
_SURELY_COUNTED = 50.0  # a view beside views with that many counts has 0 by chance once in 10^21 (Poisson)

Notes = tuple[str, ...]


@dataclass(frozen=True)
class Pass:
    """The views that one detector took during one rotation.

    Attributes:
        detector, rotation: numbers from 1.
        views: numbers of the views that are there, ascending.
        first: number of the first view that the pass was to have.
        planned: how many views it was to have.
    """

    detector: int
    rotation: int
    views: tuple[int, ...]
    first: int
    planned: int

    @property
    def missing(self) -> tuple[int, ...]:
        """The planned views that are not there, counted from 1 within the pass."""
        present = set(self.views)
        return tuple(k + 1 for k in range(self.planned) if k + self.first not in present)


def passes_of(dataset: Dataset, keys: set[tuple[int, ...]], n_windows: int) -> tuple[list[Pass], Notes]:
    """Rotations and detectors in order, each with its views, and a note on each that is not complete.

    Args:
        dataset: NM object.
        keys: energy window, detector, rotation and view of each frame, numbers from 1.
        n_windows: number of energy windows; each must hold the same views.

    Raises:
        UnreadableInputError: energy windows with other views, more than a quarter of a pass missing, or numbers that
            do not fit NumberOfFramesInRotation, so that the missing views are unknown.
    """
    by_window = [{key[1:] for key in keys if key[0] == w} for w in range(1, n_windows + 1)]
    for w, views in enumerate(by_window[1:], start=2):
        if views != by_window[0]:
            raise UnreadableInputError(
                f"energy window {w} has {len(views)} views and window 1 {len(by_window[0])}",
                "the same views in each energy window",
                "export the complete acquisition",
            )
    views_by_pass: dict[tuple[int, int], list[int]] = {}
    for detector, rotation, view in sorted(by_window[0]):
        views_by_pass.setdefault((rotation, detector), []).append(view)
    passes = []
    for (rotation, detector), views_found in sorted(views_by_pass.items()):
        heads = [len(v) for (r, _), v in views_by_pass.items() if r == rotation]
        first, planned = _plan(dataset, detector, rotation, views_found, heads)
        passes.append(Pass(detector, rotation, tuple(views_found), first, planned))
    notes = []
    for one_pass in passes:
        if len(one_pass.views) < one_pass.planned:
            _require_enough(one_pass)
            gaps = one_pass.missing
            words = f"{views_in_words(gaps)} of {one_pass.planned} {_are(gaps)} missing{_of(one_pass, passes)}"
            notes.append(Note(words, _rank_without(len(gaps), one_pass.planned)))
    return passes, tuple(notes)


def counted_views(
    passes: list[Pass], counts: Sequence[npt.NDArray[np.float64]]
) -> tuple[list[npt.NDArray[np.bool_]], Notes]:
    """Which views to use: not those without a single count where the others were counted, for there the camera failed.

    Args:
        passes: from `passes_of`.
        counts: for each pass the sum of each view over all energy windows and gates [view].

    Returns:
        For each pass whether to use each view [view], and a note on those left out; all of them where the acquisition
        as a whole has hardly any counts.

    Raises:
        UnreadableInputError: more than a quarter of a pass missing or empty.
    """
    if float(np.median(np.concatenate(counts))) < _SURELY_COUNTED:
        return [np.ones(len(one_pass.views), dtype=bool) for one_pass in passes], ()
    used, notes = [], []
    for one_pass, sums in zip(passes, counts, strict=True):
        use = np.asarray(sums > 0)
        used.append(use)
        if not use.all():
            empty = [view - one_pass.first + 1 for view, full in zip(one_pass.views, use, strict=True) if not full]
            _require_enough(
                replace(one_pass, views=tuple(v for v, full in zip(one_pass.views, use, strict=True) if full))
            )
            verbs = "holds no counts and is" if len(empty) == 1 else "hold no counts and are"
            words = f"{views_in_words(empty)} of {one_pass.planned} {verbs} left out{_of(one_pass, passes)}"
            notes.append(Note(words, _rank_without(len(empty), one_pass.planned)))
    return used, tuple(notes)


def _rank_without(n_missing: int, planned: int) -> Rank:
    """The rank of missing views: above a tenth of those planned the image may be wrong."""
    return Rank.CHANGES_ANSWER if n_missing > _SERIOUS_SHARE * planned else Rank.GUESSED


def repeated_angles(angles_deg: npt.NDArray[np.float64]) -> Notes:
    """A note where several views were taken at one angle (to 0.01 degrees)."""
    rounded = np.round(angles_deg % 360.0, 2) % 360.0
    extra = len(rounded) - len(np.unique(rounded))
    if extra == 0:
        return ()
    verb = "repeats the angle of another and is" if extra == 1 else "repeat the angles of others and are"
    return (f"{extra} of {len(rounded)} views {verb} kept, each as a measurement of its own",)


def views_in_words(numbers: Sequence[int]) -> str:
    """Such as "view 7", "views 17 and 18" or "views 3, 9 and 57 to 60"."""
    runs: list[list[int]] = []
    for k in sorted(numbers):
        if runs and runs[-1][-1] == k - 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    parts = [p for run in runs for p in (map(str, run) if len(run) < 3 else (f"{run[0]} to {run[-1]}",))]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return ("view " if len(numbers) == 1 else "views ") + listed


def _plan(dataset: Dataset, detector: int, rotation: int, views: list[int], heads: list[int]) -> tuple[int, int]:
    """First number and count of the views of a pass, from NumberOfFramesInRotation (of each head, or of all).

    Args:
        dataset: NM object.
        detector, rotation: of the pass.
        views: the numbers that are there, ascending.
        heads: how many views each detector of this rotation has.
    """
    listed = items(dataset, "RotationInformationSequence")
    declared = number(listed[rotation - 1], "NumberOfFramesInRotation") if rotation <= len(listed) else None
    span = views[-1] - views[0] + 1
    if not declared or (span == len(views) and int(declared) in (len(views), sum(heads))):
        return views[0], span
    plans, shared = [int(declared)], int(declared) // len(heads)
    if shared * len(heads) == int(declared) and (shared in heads or views[0] > shared):
        plans.insert(0, shared)  # the number is that of all heads, since one of them is complete or numbers run on
    for planned in plans:
        first = (views[0] - 1) // planned * planned + 1  # numbers may run on from head to head
        if views[-1] < first + planned:
            return first, planned
    gap = next((k for k in range(views[0], views[-1]) if k not in views), None)
    sentence = f"{len(views)} views of {int(declared)}" if gap is None else f"view {gap} is missing"
    raise UnreadableInputError(
        f"{sentence} and view {views[-1]} is there (detector {detector}, rotation {rotation})",
        f"numbers within the {int(declared)} views of the rotation",
        "export the complete acquisition",
    )


def _require_enough(one_pass: Pass) -> None:
    if one_pass.planned - len(one_pass.views) <= LARGEST_MISSING_SHARE * one_pass.planned:
        return
    raise UnreadableInputError(
        f"{len(one_pass.views)} views of {one_pass.planned} "
        f"(detector {one_pass.detector}, rotation {one_pass.rotation})",
        "at least three quarters of them, with counts",
        "export the complete acquisition",
    )


def _are(numbers: Sequence[int]) -> str:
    return "is" if len(numbers) == 1 else "are"


def _of(one_pass: Pass, passes: list[Pass]) -> str:
    """Label of a pass; "" if there is only one."""
    return f" (detector {one_pass.detector}, rotation {one_pass.rotation})" if len(passes) > 1 else ""
