"""Naming other DICOM objects: which image, of which series, of which study."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset

from mureg.io.dicom.access import text


def image_items(headers: Iterable[Dataset]) -> list[Dataset]:
    """Items of ReferencedImageSequence, each instance once (PS3.3 table 10-3)."""
    by_uid: dict[str, Dataset] = {}
    for header in headers:
        item = Dataset()
        item.ReferencedSOPClassUID = text(header, "SOPClassUID")
        item.ReferencedSOPInstanceUID = text(header, "SOPInstanceUID")
        by_uid[item.ReferencedSOPInstanceUID] = item
    return list(by_uid.values())


def set_common_instance_references(dataset: Dataset, headers: Iterable[Dataset]) -> None:
    """Fill the common instance reference module (C.12.2): every object named in `dataset`, by series and by study.

    Series of the study of `dataset` itself go into ReferencedSeriesSequence, those of other studies into
    StudiesContainingOtherReferencedInstancesSequence.
    """
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for header in headers:
        of_study = studies.setdefault(text(header, "StudyInstanceUID"), {})
        of_study.setdefault(text(header, "SeriesInstanceUID"), []).append(header)
    own = studies.pop(text(dataset, "StudyInstanceUID"), {})
    if own:
        dataset.ReferencedSeriesSequence = _series_items(own)
    other_studies = []
    for study, series in studies.items():
        item = Dataset()
        item.StudyInstanceUID, item.ReferencedSeriesSequence = study, _series_items(series)
        other_studies.append(item)
    if other_studies:
        dataset.StudiesContainingOtherReferencedInstancesSequence = other_studies


def _series_items(series: dict[str, list[Dataset]]) -> list[Dataset]:
    items = []
    for uid, headers in series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, image_items(headers)
        items.append(item)
    return items
