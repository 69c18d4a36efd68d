"""Putting together what an archive took apart: the slices of one volume, each in a series of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import image_type, number, numbers, text
from mureg.io.dicom.files import DicomFile, DicomSeries

_SAME = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "Rows", "Columns")
_TELLING = ("SeriesNumber", "SeriesDescription", "ConvolutionKernel", "SliceThickness", "AcquisitionNumber")

Key = tuple[str, ...]


def joined_slices(series: Sequence[DicomSeries]) -> list[DicomSeries]:
    """CT series, those with a single slice joined where they share what the slices of one volume share.

    That is patient, study, frame of reference, kind, matrix, orientation and spacing; where two of them lie at one
    place, also number, description, kernel and thickness. A joined series takes the first UID and says so in its notes.
    """
    single = [entry for entry in series if len(entry.files) == 1 and _is_one_slice(entry.files[0].header)]
    return _joined(series, single, _as_series)


def joined_objects(objects: Sequence[DicomSeries]) -> list[DicomSeries]:
    """NM objects; reconstructions of one frame each become a volume, as in `joined_slices`, whose file has parts."""
    return _joined(objects, [entry for entry in objects if _is_nm_slice(entry.files[0].header)], _as_object)


def _joined(
    series: Sequence[DicomSeries],
    single: Sequence[DicomSeries],
    whole: Callable[[Sequence[DicomSeries]], DicomSeries],
) -> list[DicomSeries]:
    return with_groups_joined(series, _grouped(single), whole)


def with_groups_joined(
    series: Sequence[DicomSeries],
    groups: Sequence[Sequence[DicomSeries]],
    whole: Callable[[Sequence[DicomSeries]], DicomSeries],
) -> list[DicomSeries]:
    """The series, each group of them made whole at the place of the first of it."""
    joined = {id(entry): group for group in groups for entry in group}
    result, placed = [], set()
    for entry in series:
        group = joined.get(id(entry))
        if group is None:
            result.append(entry)
        elif id(group) not in placed:
            placed.add(id(group))
            result.append(whole(group))
    return result


def _as_object(group: Sequence[DicomSeries]) -> DicomSeries:
    """One object whose file has parts."""
    whole = _as_series(group)
    return replace(whole, files=(replace(whole.files[0], parts=whole.files, notes=whole.notes),))


def _grouped(series: Sequence[DicomSeries]) -> list[list[DicomSeries]]:
    """Groups of at least two, by UID."""
    groups: list[list[DicomSeries]] = []
    for group in _by(series, lambda entry: _shared(entry.files[0].header)):
        places = {_place(entry.files[0].header) for entry in group}
        if len(places) < len(group):
            groups += _by(group, lambda entry: tuple(text(entry.files[0].header, k) for k in _TELLING))
        else:
            groups.append(group)
    return [sorted(group, key=lambda entry: entry.uid) for group in groups if len(group) > 1]


def _by(series: Iterable[DicomSeries], key: Callable[[DicomSeries], Key]) -> list[list[DicomSeries]]:
    groups: dict[Key, list[DicomSeries]] = defaultdict(list)
    for entry in series:
        groups[key(entry)].append(entry)
    return list(groups.values())


def _as_series(group: Sequence[DicomSeries]) -> DicomSeries:
    files: tuple[DicomFile, ...] = tuple(file for entry in group for file in entry.files)
    note = (
        f"{len(group)} {group[0].modality or 'image'} objects of one slice each joined to one volume: they share "
        "patient, study, frame of reference, matrix, orientation and spacing"
    )
    return replace(group[0], files=files, notes=(*group[0].notes, note))


def _shared(header: Dataset) -> Key:
    spacing, directions = numbers(header, "PixelSpacing", 2), _directions(header)
    rounded = [f"{value:.3f}" for value in (*(spacing or ()), *(directions or ()))]
    return (*(text(header, k) for k in _SAME), *image_type(header)[2:4], *rounded)


def _place(header: Dataset) -> Key:
    position = numbers(_placed(header), "ImagePositionPatient", 3) or ()
    return tuple(f"{value:.3f}" for value in position)


def _directions(header: Dataset) -> tuple[float, ...] | None:
    return numbers(_placed(header), "ImageOrientationPatient", 6)


def _placed(header: Dataset) -> Dataset:
    """The item or object that says where the image lies."""
    listed = header.get("DetectorInformationSequence") or []
    return next((item for item in listed if "ImagePositionPatient" in item), header)


def _is_one_slice(header: Dataset) -> bool:
    try:
        return (number(header, "NumberOfFrames") or 1) == 1 and bool(_place(header)) and bool(_shared(header))
    except UnreadableInputError:
        return False


def _is_nm_slice(header: Dataset) -> bool:
    kind = image_type(header)[2:3]
    return kind in (("RECON TOMO",), ("RECON GATED TOMO",)) and _is_one_slice(header)
