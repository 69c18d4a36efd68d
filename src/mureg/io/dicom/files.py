"""Finding DICOM series in files and folders, whatever else lies there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, MediaStorageDirectoryStorage, NuclearMedicineImageStorage

from mureg.errors import UnreadableInputError, shortened
from mureg.io.dicom.access import image_type, read_header, reading, text
from mureg.io.dicom.archives import files_of_index
from mureg.io.input_paths import called, files_below, require_path

_LONGEST_TITLE, _FEW = 64, 20
"""Characters of a description (LO, PS3.5 6.2); files that are opened to find a patient, so that a large folder of other
files costs no time (a round value)."""
_USUAL = {"CT": CTImageStorage, "NM": NuclearMedicineImageStorage}


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
        return tuple(part.path for part in self.objects)

    @property
    def objects(self) -> tuple[DicomFile, ...]:
        """The objects that make it: itself, or its parts."""
        return self.parts or (self,)


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
    return search_files(_files_at(path), path)


def search_files(files: Iterable[Path], path: Path | None = None) -> Search:
    """The same for files that are known; a damaged one that is the `path` itself raises `UnreadableInputError`."""
    grouped: dict[str, dict[tuple[str, ...], DicomFile]] = {}
    damaged, directory = [], False
    for file in files:
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
    series = [_series(uid, tuple(files_by_uid.values())) for uid, files_by_uid in grouped.items()]
    return Search(tuple(sorted(series, key=lambda s: (len(s.number), s.number, s.uid))), tuple(damaged), directory)


def _files_at(path: Path) -> Iterator[Path]:
    """Every file below the path; of a DICOMDIR itself the files that it lists."""
    yield from files_below(path)
    header = _header(path) if path.is_file() else None
    if header is not None and text(header, "SOPClassUID") == MediaStorageDirectoryStorage:
        with reading(path.name):
            listed = files_of_index(path, header)
        yield from listed


def nothing_fits(path: Path, search_result: Search, kinds: str, expected: str, remedy: str) -> UnreadableInputError:
    """The refusal where no series is of the kind asked for: what lies there instead.

    Args:
        path: that was searched.
        search_result: what was found.
        kinds: the kinds of series that are there, "" for none.
        expected, remedy: for the sentence.
    """
    name = called(path)
    if kinds:
        return UnreadableInputError(f"'{name}' holds {kinds}", expected, remedy)
    if search_result.damaged:
        only = f"'{name}' holds {len(search_result.damaged)} damaged DICOM file(s) and nothing else of use"
        return UnreadableInputError(only, expected, "export them again")
    if search_result.directory:
        only = f"'{name}' holds a DICOMDIR, an index, and none of the images it lists"
        return UnreadableInputError(only, expected, "copy the images beside it")
    if path.is_dir():
        return UnreadableInputError(
            f"'{name}' holds no DICOM files", expected, f"{remedy}, or name a NIfTI file itself"
        )
    return UnreadableInputError(f"'{name}' is neither a DICOM nor a NIfTI file", expected, remedy)


def kind_of(series: DicomSeries) -> str:
    """Modality of a series; beside it the kind of its objects where that is not the usual one of CT or NM."""
    modality = series.modality or "unknown"
    sop_class = UID(text(series.files[0].header, "SOPClassUID"), validation_mode=config.IGNORE)
    if modality not in (*_USUAL, "OT") or sop_class in (_USUAL.get(modality), ""):
        return modality
    return f"objects of the kind {shortened(sop_class.name, _LONGEST_TITLE)} ({modality})"


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
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
)


def _header(file: Path) -> Dataset | None:
    """The header without pixels, None for whatever is no DICOM object; raises where it is one and damaged."""
    with reading(file.name):
        with file.open("rb") as stream:
            start = stream.read(132)
        marked = start[128:132] == b"DICM"  # the prefix behind 128 bytes of preamble (PS3.10 7.1)
        if not marked and start[:2] not in (b"\x08\x00", b"\x00\x08"):
            return None
        try:
            header = read_header(file)
            for keyword in _FOUND_BY:  # damage shows here, where it can still be reported
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
