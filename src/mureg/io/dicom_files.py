"""Finding DICOM series in files and folders, whatever else lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from mureg.errors import UnreadableInputError
from mureg.io.dicom_access import image_type, reading, text


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One object: its file and its header without pixels."""

    path: Path
    header: Dataset


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """Objects that share a series UID, in the order of their paths.

    Attributes:
        uid: series instance UID.
        modality: such as CT or NM, "" where it is not written.
        number: series number as text.
        description: series description.
        files: the objects.
    """

    uid: str
    modality: str
    number: str
    description: str
    files: tuple[DicomFile, ...]

    def __str__(self) -> str:
        title = self.description or "no description"
        count = f"{len(self.files)} file" + ("s" if len(self.files) != 1 else "")
        return f"'{title}' (number {self.number or '?'}, {self.modality or '?'}, {count}, UID ...{self.uid[-8:]})"


def require_path(path: Path) -> None:
    """Refuse a path that does not exist or an empty folder."""
    if not path.exists():
        raise UnreadableInputError(f"'{path.name}' does not exist", "a file or folder", "check the path")
    if path.is_dir() and not any(path.iterdir()):
        raise UnreadableInputError(
            f"the folder '{path.name}' is empty", "files in it", "check the path or export again"
        )


def files_below(path: Path) -> Iterator[Path]:
    """The file itself, or every regular file in a folder and its subfolders; links that lead outside are left alone."""
    if not path.is_dir():
        yield path
        return
    root = path.resolve()
    for folder, subfolders, names in os.walk(path, followlinks=False):
        subfolders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file() and (not file.is_symlink() or file.resolve().is_relative_to(root)):
                yield file


def find_series(path: Path) -> tuple[DicomSeries, ...]:
    """Every DICOM series at a path, from headers alone.

    Files that are not DICOM and DICOMDIR are passed over; a file copied twice (same SOP instance UID) counts once.

    Args:
        path: a file or folder.

    Returns:
        The series, by series number and UID; none where nothing is DICOM.

    Raises:
        UnreadableInputError: the path does not exist or is an empty folder.
    """
    require_path(path)
    grouped: dict[str, dict[str, DicomFile]] = {}
    for file in files_below(path):
        header = _header(file)
        if header is None:
            continue
        instance = text(header, "SOPInstanceUID") or str(file)
        grouped.setdefault(text(header, "SeriesInstanceUID"), {}).setdefault(instance, DicomFile(file, header))
    series = [_series(uid, tuple(found.values())) for uid, found in grouped.items()]
    return tuple(sorted(series, key=lambda s: (len(s.number), s.number, s.uid)))


def choose(candidates: Sequence[DicomSeries], wanted: str | None, what: str) -> DicomSeries:
    """The one candidate, or the one that `wanted` names by UID, end of the UID, number or description.

    Raises `UnreadableInputError` with the list of candidates where none or several remain.
    """
    matching = list(candidates) if wanted is None else _named(candidates, wanted)
    if len(matching) == 1:
        return matching[0]
    listed = ", ".join(str(s) for s in candidates)
    if wanted is not None:
        raise UnreadableInputError(
            f"'{wanted}' names {len(matching)} of these series: {listed}",
            f"exactly one {what}",
            "name it by its number, description or the end of its UID",
        )
    raise UnreadableInputError(
        f"{len(candidates)} {what} found: {listed}",
        "one, or the choice of one",
        "choose one by number, description or the end of its UID",
    )


def is_localizer(header: Dataset) -> bool:
    """Whether ImageType calls the image a localizer (scout, topogram)."""
    return "LOCALIZER" in image_type(header)


def _named(candidates: Sequence[DicomSeries], wanted: str) -> list[DicomSeries]:
    """Candidates of that number or description; where there is none, of a UID that ends so (4 characters at least)."""
    name = wanted.strip()
    direct = [s for s in candidates if name and (name == s.number or name.lower() == s.description.lower())]
    return direct or [s for s in candidates if len(name.lstrip(".")) >= 4 and s.uid.endswith(name.lstrip("."))]


def _series(uid: str, files: tuple[DicomFile, ...]) -> DicomSeries:
    first = files[0].header
    with reading(files[0].path.name):
        return DicomSeries(
            uid, text(first, "Modality"), text(first, "SeriesNumber"), text(first, "SeriesDescription"), files
        )


def _header(file: Path) -> Dataset | None:
    """The header without pixels, None for whatever is no DICOM image."""
    try:
        with reading(file.name), file.open("rb") as stream:
            start = stream.read(132)
            if start[128:132] != b"DICM" and start[:2] != b"\x08\x00":
                return None
            stream.seek(0)
            header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            header.filename = file.name
            sop_class = text(header, "SOPClassUID")
    except (UnreadableInputError, InvalidDicomError):
        return None
    return header if sop_class and sop_class != MediaStorageDirectoryStorage else None
