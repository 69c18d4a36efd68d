"""Finding the objects of one acquisition: a view each, or the views spread over several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mureg.errors import MuregError
from mureg.io.dicom.access import image_type, number, text
from mureg.io.dicom.files import DicomSeries
from mureg.io.dicom.join import with_groups_joined
from mureg.io.nm.numbered_views import frame_keys, start_angle_deg

_SAME = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "Rows", "Columns")
_DAMAGED = (MuregError, ValueError, TypeError, OverflowError)  # what a damaged header makes of a number

Key = tuple[object, ...]


def joined_projections(objects: Sequence[DicomSeries], projections: Sequence[DicomSeries]) -> list[DicomSeries]:
    """NM objects; those of `projections` that hold one acquisition between them become one object with parts.

    They share patient, study, frame of reference and matrix. Either they are of one series and hold a view each (in
    one or more energy windows and gates), or views of which no two have the same numbers; or each is a single view in a
    series of its own, no two alike. What they say of camera and rotation is compared when they are read
    (`mureg.io.nm.joined_views`).
    """
    by_series = _by(projections, lambda entry: (*_acquired(entry), text(entry.files[0].header, "SeriesInstanceUID")))
    groups = [group for group in by_series if len(group) > 1 and _are_parts(group)]
    alone = [group[0] for group in by_series if len(group) == 1 and _n_views(group[0]) == 1]
    groups += [group for group in _by(alone, _acquired) if len({_view(entry) for entry in group}) == len(group) > 1]
    return with_groups_joined(objects, groups, _as_object)


def _as_object(group: Sequence[DicomSeries]) -> DicomSeries:
    """One object whose file has parts, named by its series."""
    files = tuple(file for entry in group for file in entry.files)
    uid = text(files[0].header, "SeriesInstanceUID") or group[0].uid
    return replace(group[0], uid=uid, files=(replace(files[0], parts=files),))


def _are_parts(group: Sequence[DicomSeries]) -> bool:
    """Whether objects of one series hold a view each, or no two frames with the same numbers."""
    try:
        if all(_n_views(entry) == 1 for entry in group):
            return True
        keys = [key for entry in group for key in frame_keys(entry.files[0].header)]
    except _DAMAGED:
        return False
    return len(set(keys)) == len(keys)


def _acquired(entry: DicomSeries) -> Key:
    header = entry.files[0].header
    return (*(text(header, keyword) for keyword in _SAME), *image_type(header)[2:4])


def _view(entry: DicomSeries) -> Key:
    """What tells the view of an object from that of another, unlike any other where it cannot be read."""
    header = entry.files[0].header
    try:
        keys = frame_keys(header)
        return (*sorted(keys), start_angle_deg(header, keys[0][1]), number(header, "InstanceNumber"))
    except _DAMAGED:
        return (entry.uid,)


def _n_views(entry: DicomSeries) -> int:
    """How many views an object holds, each perhaps in several energy windows and gates."""
    try:
        return len({key[1:4] for key in frame_keys(entry.files[0].header)})
    except _DAMAGED:
        return 0


def _by(objects: Iterable[DicomSeries], key: Callable[[DicomSeries], Key]) -> list[list[DicomSeries]]:
    groups: dict[Key, list[DicomSeries]] = defaultdict(list)
    for entry in objects:
        groups[key(entry)].append(entry)
    return list(groups.values())
