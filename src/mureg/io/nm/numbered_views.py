"""Which view is which where the projections of one acquisition lie in several objects."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from mureg.errors import GeometryError, UnreadableInputError
from mureg.io.dicom.access import items, number, text
from mureg.io.nm.frames import frame_labels
from mureg.io.nm.pose import ROUNDED_DEG, SAME_ANGLE_DEG, implied_angle_deg

_AXES = ("energy window", "detector", "rotation", "view", "R-R interval", "time slot")
_VIEW = _AXES.index("view")
_ON_STEP = 0.05  # of a step: angles rounded to 0.1 degrees lie that close to steps of 3 degrees; chosen

Key = tuple[int, ...]
Notes = tuple[str, ...]


@dataclass(frozen=True)
class NumberedView:
    """One frame of one object.

    Attributes:
        part: number of the object, from 0.
        frame: number of the frame among those of all objects, from 0.
        key: numbers from 1: energy window, detector, rotation, view, R-R interval, time slot.
        start_deg: angle of the first view of its detector, None where the header's own holds for all objects.
        step_deg: size of the step that follows from the angles, None likewise.
    """

    part: int
    frame: int
    key: Key
    start_deg: float | None = None
    step_deg: float | None = None


def frame_keys(header: Dataset) -> list[Key]:
    """The numbers of every frame by the vectors of its object; a single frame without vectors is number 1 in all.

    Raises `UnreadableInputError` as `mureg.io.nm.frames.frame_labels`.
    """
    n_frames = int(number(header, "NumberOfFrames") or 1)
    if n_frames == 1 and not header.get("FrameIncrementPointer"):
        return [(1,) * len(_AXES)]
    if "NumberOfFrames" not in header:
        header = Dataset(dict(header.items()))
        header.NumberOfFrames = 1
    labels = frame_labels(header, "AngularViewVector")
    absent = np.ones(n_frames, dtype=np.int64)
    return [tuple(int(k) for k in row) for row in np.stack([labels.get(axis, absent) for axis in _AXES], axis=1)]


def start_angle_deg(header: Dataset, detector: int) -> float | None:
    """The start angle that an object states for its views of a detector."""
    heads = items(header, "DetectorInformationSequence")
    own = number(heads[min(detector, len(heads)) - 1], "StartAngle") if heads else None
    turns = items(header, "RotationInformationSequence")
    return own if own is not None or not turns else number(turns[0], "StartAngle")


def numbered_views(datasets: Sequence[Dataset]) -> tuple[list[NumberedView], Notes]:
    """Every frame of every object, in their order, with its numbers, and a sentence on how they were numbered.

    The vectors of the objects count where no two frames share their numbers. Objects of a single view, in one or more
    energy windows or gates, that all call it the first are put in order by their start angles, which must be whole
    steps apart; where these are all the same, by InstanceNumber, which their orientations must not contradict.

    Raises:
        UnreadableInputError: two frames are the same view and nothing tells them apart.
        GeometryError: angles that are not whole steps apart, or that contradict the numbers.
    """
    keys = [(part, key) for part, dataset in enumerate(datasets) for key in frame_keys(dataset)]
    views = [NumberedView(part, frame, key) for frame, (part, key) in enumerate(keys)]
    base = f"{len(datasets)} objects of projections joined to one acquisition"
    numbered = len({view.key for view in views}) == len(views)
    by_pass: dict[Key, list[NumberedView]] = defaultdict(list)
    for view in views:
        by_pass[(*view.key[:_VIEW], *view.key[_VIEW + 1 :])].append(view)
    found: list[NumberedView] = []
    ways = set()
    alike = len({frozenset(view.part for view in members) for members in by_pass.values()}) == 1
    for members in by_pass.values():
        starts = [start_angle_deg(datasets[view.part], view.key[1]) for view in members]
        single = len({view.part for view in members}) == len(members)
        if not numbered and len({view.key for view in members}) > 1:
            raise _same_view(views)  # numbered, and some of them twice
        if single and len(members) > 1 and None not in starts and _all_differ([s for s in starts if s is not None]):
            found += _by_angle(datasets, members, [s for s in starts if s is not None], numbered=numbered)
            ways.add("by their start angles")
        elif numbered:
            _require_one_start(starts)
            found += members
            ways.add("by their vectors")
        elif single:
            _require_one_start(starts)
            found += _by_instance(datasets, members, only=alike)
            ways.add("by InstanceNumber")
        else:
            raise _same_view(views)
    if len({view.key for view in found}) < len(found):
        raise _same_view(found)
    return sorted(found, key=lambda view: view.frame), (
        f"{base}; their views are numbered {' and '.join(sorted(ways))}",
    )


def _by_angle(
    datasets: Sequence[Dataset], members: list[NumberedView], starts: list[float], *, numbered: bool
) -> list[NumberedView]:
    """Views numbered from the angle of the first, which is that of the lowest view or instance number."""
    labels = [view.key[_VIEW] if numbered else _instance(datasets[view.part]) for view in members]
    if None in labels:
        raise UnreadableInputError(
            "several objects of one view each without an InstanceNumber",
            "an InstanceNumber in each",
            "export the original objects",
        )
    lowest = int(np.argmin(np.asarray(labels, dtype=np.float64)))
    turn = next(iter(items(datasets[members[lowest].part], "RotationInformationSequence")), Dataset())
    step = abs(number(turn, "AngularStep") or 0.0) or _smallest_step(starts)
    sign = -1.0 if text(turn, "RotationDirection") == "CW" else 1.0
    steps = [sign * (start - starts[lowest]) % 360.0 / step for start in starts]
    whole = [round(k) % max(1, round(360.0 / step)) for k in steps]
    off = max(abs(math.remainder((k - round(k)) * step, 360.0)) for k in steps)
    if off > _ON_STEP * step or len(set(whole)) < len(whole):
        raise GeometryError(
            f"{len(members)} objects of one view each whose start angles are not whole steps of {step:g} degrees apart",
            "one angle for each view",
            "export the acquisition as one object",
        )
    if numbered and any(k - n != whole[lowest] - labels[lowest] for k, n in zip(whole, labels, strict=True)):  # type: ignore[operator]
        raise GeometryError(
            "the start angles of the objects contradict their view numbers (AngularViewVector)",
            "angles that grow with the numbers in the direction of rotation",
            "export the acquisition as one object",
        )
    return [
        replace(view, key=_with_view(view.key, k + 1), start_deg=starts[lowest], step_deg=step)
        for view, k in zip(members, whole, strict=True)
    ]


def _by_instance(datasets: Sequence[Dataset], members: list[NumberedView], *, only: bool) -> list[NumberedView]:
    """Views numbered by instance numbers, which must be distinct; in order where several passes are complete.

    With `only`, the objects hold the same passes (energy windows, gates), one view of each.
    """
    listed = [_instance(datasets[view.part]) for view in members]
    numbers_found = [n for n in listed if n is not None and n >= 1]
    if len(set(numbers_found)) < len(members):
        raise _same_view(members)
    turn = next(iter(items(datasets[members[0].part], "RotationInformationSequence")), Dataset())
    planned = number(turn, "NumberOfFramesInRotation") or 0
    if not only:
        if len(members) != planned:
            raise _same_view(members)
        ranks = {n: k for k, n in enumerate(sorted(numbers_found), start=1)}
        numbers_found = [ranks[n] for n in numbers_found]
    step = number(turn, "AngularStep") or 0.0
    signed = -abs(step) if text(turn, "RotationDirection") == "CW" else abs(step)
    implied = [_implied_deg(datasets[view.part], view.key[1]) for view in members]
    written = [(n, angle) for n, angle in zip(numbers_found, implied, strict=True) if angle is not None]
    if len({round(angle, 1) for _, angle in written}) > 1:
        n_0, angle_0 = min(written)
        if any(abs(math.remainder(a - angle_0 - signed * (n - n_0), 360.0)) > SAME_ANGLE_DEG for n, a in written):
            raise GeometryError(
                "the orientations of the objects contradict the order of their instance numbers",
                "orientations that turn with the views",
                "export the acquisition as one object",
            )
    return [replace(view, key=_with_view(view.key, n)) for view, n in zip(members, numbers_found, strict=True)]


def _require_one_start(starts: list[float | None]) -> None:
    known_starts = [start for start in starts if start is not None]
    if any(abs(math.remainder(start - known_starts[0], 360.0)) > ROUNDED_DEG for start in known_starts):
        raise GeometryError(
            "objects of one acquisition with different start angles that do not number their views",
            "one start angle, or one for each view",
            "export the acquisition as one object",
        )


def _same_view(views: Sequence[NumberedView]) -> UnreadableInputError:
    return UnreadableInputError(
        f"{len(views)} frames in several objects of one series, and some are the same view",
        "one frame for each view, numbered by AngularViewVector, StartAngle or InstanceNumber",
        "export the acquisition as one object, or give the objects that belong together in a folder of their own",
    )


def _all_differ(angles: list[float]) -> bool:
    turned = sorted(angle % 360.0 for angle in angles)
    gaps = [b - a for a, b in zip(turned, [*turned[1:], turned[0] + 360.0], strict=True)]
    return min(gaps) > ROUNDED_DEG


def _smallest_step(angles: list[float]) -> float:
    turned = sorted(angle % 360.0 for angle in angles)
    return min(b - a for a, b in zip(turned, [*turned[1:], turned[0] + 360.0], strict=True))


def _implied_deg(header: Dataset, detector: int) -> float | None:
    heads = items(header, "DetectorInformationSequence")
    return implied_angle_deg(heads[min(detector, len(heads)) - 1]) if heads else None


def _instance(header: Dataset) -> int | None:
    value = number(header, "InstanceNumber")
    return None if value is None else int(value)


def _with_view(key: Key, view: int) -> Key:
    return (*key[:_VIEW], view, *key[_VIEW + 1 :])
