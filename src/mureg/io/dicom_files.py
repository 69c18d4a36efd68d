"""Finding DICOM series in files and folders, whatever else lies there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from mureg.errors import UnreadableInputError, shortened
from mureg.io.archives import files_of_index
from mureg.io.dicom_access import cannot_be_read, image_type, read_header, reading, text

_LONGEST_TITLE, _MOST_LISTED, _FEW = 64, 6, 20


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One object: its file and its header without pixels.

    Attributes:
        path: of the file.
        header: of the object; of a frame with the frame's own values in it.
        frame: which frame of the object, from 0; None for all of it.
        parts: the slices of a volume whose slices are objects of their own, in any order; none otherwise.
        notes: what was decided when it was chosen.
    """

    path: Path
    header: Dataset
    frame: int | None = None
    parts: tuple[DicomFile, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file the object is read from."""
        return tuple(part.path for part in self.parts) or (self.path,)


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """Objects that share a series UID, in the order of their paths.

    Attributes:
        uid: series instance UID.
        modality: such as CT or NM, "" where it is not written.
        number: series number as text.
        description: series description.
        files: the objects.
        notes: what was decided when they were put together.
    """

    uid: str
    modality: str
    number: str
    description: str
    files: tuple[DicomFile, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        title = shortened(self.description, _LONGEST_TITLE) or "no description"
        n_files = sum(len(file.paths) for file in self.files)
        count = f"{n_files} file" + ("s" if n_files != 1 else "")
        return f"'{title}' (number {self.number or '?'}, {self.modality or '?'}, {count}, UID ...{self.uid[-8:]})"


@dataclass(frozen=True, eq=False)
class Search:
    """What lies at a path.

    Attributes:
        series: every DICOM series, by series number and UID.
        damaged: names of files that are DICOM by their first bytes and have no header that can be read.
        directory: whether there is a DICOMDIR.
    """

    series: tuple[DicomSeries, ...]
    damaged: tuple[str, ...] = ()
    directory: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on the damaged files, none where there are none."""
        if not self.damaged:
            return ()
        names = ", ".join(self.damaged[:3]) + (" and more" if len(self.damaged) > 3 else "")
        return (f"{len(self.damaged)} damaged DICOM file(s) left out ({names})",)


def called(path: Path) -> str:
    """The last name of a path, also of "." and the like."""
    return path.name or path.resolve().name or str(path)


def require_path(path: Path) -> None:
    """Refuse a path that does not exist, cannot be opened, is neither file nor folder, or is an empty folder."""
    name = called(path)
    try:
        mode = path.stat().st_mode
        empty = stat.S_ISDIR(mode) and not any(path.iterdir())
    except (FileNotFoundError, NotADirectoryError) as problem:
        what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise UnreadableInputError(f"'{name}' {what}", "a file or folder", "check the path") from problem
    except OSError as problem:
        raise cannot_be_read(f"'{name[:80]}'", problem, "a file or folder that may be read") from problem
    if empty:
        raise UnreadableInputError(f"the folder '{name}' is empty", "files in it", "check the path or export again")
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise UnreadableInputError(f"'{name}' is a pipe or device", "a file or folder", "check the path")


def files_below(path: Path) -> Iterator[Path]:
    """The file itself, or every regular file in a folder and its subfolders; links that lead outside are left alone.

    Raises `UnreadableInputError` where a folder cannot be listed.
    """
    if not path.is_dir():
        yield path
        return
    root = path.resolve()
    for folder, subfolders, names in os.walk(path, followlinks=False, onerror=_cannot_list):
        subfolders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file() and (not file.is_symlink() or file.resolve().is_relative_to(root)):
                yield file


def find_series(path: Path) -> tuple[DicomSeries, ...]:
    """Every DICOM series at a path; `search` without what it says besides."""
    return search(path).series


def search(path: Path) -> Search:
    """Every DICOM series at a path, from headers alone.

    Files that are not DICOM are passed over; a file copied twice counts once (same SOP instance UID, position and
    instance number: a careless de-identification gives one UID to all slices).

    Args:
        path: a file or folder.

    Raises:
        UnreadableInputError: the path does not exist, is an empty folder or is itself a damaged object.
    """
    require_path(path)
    grouped: dict[str, dict[tuple[str, ...], DicomFile]] = {}
    damaged, directory = [], False
    for file in _files_at(path):
        try:
            header = _header(file)
        except UnreadableInputError:
            if file == path:
                raise
            damaged.append(file.name)
            continue
        if header is None:
            continue
        if text(header, "SOPClassUID") == MediaStorageDirectoryStorage:
            directory = True
            continue
        same = tuple(text(header, k) for k in ("SOPInstanceUID", "ImagePositionPatient", "InstanceNumber"))
        key = same if same[0] else (str(file),)
        grouped.setdefault(text(header, "SeriesInstanceUID"), {}).setdefault(key, DicomFile(file, header))
    series = [_series(uid, tuple(found.values())) for uid, found in grouped.items()]
    return Search(tuple(sorted(series, key=lambda s: (len(s.number), s.number, s.uid))), tuple(damaged), directory)


def _files_at(path: Path) -> Iterator[Path]:
    """Every file below the path; of a DICOMDIR itself the files that it lists."""
    yield from files_below(path)
    header = _header(path) if path.is_file() else None
    if header is not None and text(header, "SOPClassUID") == MediaStorageDirectoryStorage:
        with reading(path.name):
            listed = files_of_index(path, header)
        yield from listed


def nothing_fits(path: Path, found: Search, seen: str, expected: str, remedy: str) -> UnreadableInputError:
    """The refusal where no series is of the kind asked for: what lies there instead.

    Args:
        path: that was searched.
        found: what was found.
        seen: the kinds of series that are there, "" for none.
        expected, remedy: for the sentence.
    """
    name = called(path)
    if seen:
        return UnreadableInputError(f"'{name}' holds {seen}", expected, remedy)
    if found.damaged:
        only = f"'{name}' holds {len(found.damaged)} damaged DICOM file(s) and nothing else of use"
        return UnreadableInputError(only, expected, "export them again")
    if found.directory:
        only = f"'{name}' holds a DICOMDIR, an index, and none of the images it lists"
        return UnreadableInputError(only, expected, "copy the images beside it")
    if path.is_dir():
        return UnreadableInputError(
            f"'{name}' holds no DICOM files", expected, f"{remedy}, or name a NIfTI file itself"
        )
    return UnreadableInputError(f"'{name}' is neither a DICOM nor a NIfTI file", expected, remedy)


def choose(candidates: Sequence[DicomSeries], wanted: str | None, what: str) -> DicomSeries:
    """The one candidate, or the one that `wanted` names by UID, end of the UID, number or description.

    Raises `UnreadableInputError` with the list of candidates where none or several remain.
    """
    matching = list(candidates) if wanted is None else named(candidates, wanted)
    if len(matching) == 1:
        return matching[0]
    listed = ", ".join(str(s) for s in candidates[:_MOST_LISTED])
    listed += f" and {len(candidates) - _MOST_LISTED} more" if len(candidates) > _MOST_LISTED else ""
    if wanted is not None:
        raise UnreadableInputError(
            f"'{wanted}' names {len(matching)} of these series: {listed}",
            f"exactly one {what}",
            "name it by its number, description or the end of its UID",
        )
    patients = len({text(s.files[0].header, "PatientID") for s in candidates})
    of = f" of {patients} patients" if patients > 1 else ""
    raise UnreadableInputError(
        f"{len(candidates)} {what}{of} found: {listed}",
        "one, or the choice of one",
        "choose one by number, description or the end of its UID",
    )


def patient_of(file: DicomFile) -> str:
    """The patient's identifier as written, to compare and never to print."""
    return text(file.header, "PatientID")


def patient_at(path: Path) -> str:
    """The patient's identifier in the first DICOM object at a path, to compare and never to print; "" where none is."""
    for file in islice(files_below(path), _FEW):
        try:
            header = _header(file)
        except UnreadableInputError:
            continue
        if header is not None and text(header, "PatientID"):
            return text(header, "PatientID")
    return ""


def is_localizer(header: Dataset) -> bool:
    """Whether ImageType calls the image a localizer (scout, topogram)."""
    return "LOCALIZER" in image_type(header)


def named(candidates: Sequence[DicomSeries], wanted: str) -> list[DicomSeries]:
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


_FOUND_BY = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "ImageType",
    "ImagePositionPatient",
    "InstanceNumber",
    "PatientID",
)


def _header(file: Path) -> Dataset | None:
    """The header without pixels, None for whatever is no DICOM object; raises where it is one and damaged."""
    with reading(file.name):
        with file.open("rb") as stream:
            start = stream.read(132)
        marked = start[128:132] == b"DICM"
        if not marked and start[:2] not in (b"\x08\x00", b"\x00\x08"):
            return None
        try:
            header = read_header(file)
            for keyword in _FOUND_BY:  # damage shows here, where it can still be said
                header.get(keyword)
        except Exception:
            if marked:
                raise
            return None
        meta = getattr(header, "file_meta", None)
        if "SOPClassUID" not in header and text(meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            header.SOPClassUID = MediaStorageDirectoryStorage  # a DICOMDIR says it in its file meta information alone
        if "SOPClassUID" not in header:
            if marked:
                raise UnreadableInputError(
                    f"'{file.name}' is DICOM that ends or breaks before it says what it is (no SOPClassUID)",
                    "a whole object",
                    "export it again",
                )
            return None
        header.filename = file.name
    return header


def _cannot_list(problem: OSError) -> None:
    name = Path(problem.filename or "").name
    raise cannot_be_read(f"the folder '{name}'", problem, "folders that may be listed") from problem
