"""Reading nuclear medicine objects: projections as an `Acquisition`, reconstructions and maps as a `Volume`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from mureg.errors import UnreadableInputError
from mureg.geometry import Volume
from mureg.io.dicom.access import image_type, read_dataset, reading, text
from mureg.io.dicom.character_set import character_set_note
from mureg.io.dicom.derived import choose_original
from mureg.io.dicom.files import DicomFile, DicomSeries, kind_of, nothing_fits, search
from mureg.io.dicom.join import joined_objects
from mureg.io.dicom.marks import pixel_notes, type_notes
from mureg.io.dicom.pixels import decoded_pixels
from mureg.io.dicom.real_world import settle_real_world
from mureg.io.input_paths import called
from mureg.io.nm.join import joined_projections
from mureg.io.nm.joined_views import read_joined_views
from mureg.io.nm.projections import gated_projections, summed_projections
from mureg.io.nm.slices import read_nm_object
from mureg.io.nm.volume import nm_volume
from mureg.io.units import emission_notes
from mureg.spect.acquisition import Acquisition

PROJECTIONS = ("TOMO", "GATED TOMO")
VOLUMES = ("RECON TOMO", "RECON GATED TOMO")

Notes = tuple[str, ...]


def read_nm(path: Path, series: str | None = None) -> Acquisition | Volume:
    """Read one NM object (PS3.3 A.5, C.8.4).

    Args:
        path: a file, or a folder that is searched with its subfolders.
        series: which one, where several lie there: UID or its end, series number or description.

    Returns:
        Projections as an `Acquisition` in its convention; a reconstruction as a `Volume` of counts; a reconstructed
        transmission map as a `Volume` in 1/cm. Gates are summed.

    Raises:
        UnreadableInputError: none or several, not tomographic, frames missing or out of order, stationary camera.
        GeometryError: start angle, direction, spacing or orientation missing or contradictory.
        UnitsError: a transmission map in no known unit.
    """
    return load_nm(choose_nm(path, series, (*PROJECTIONS, *VOLUMES)))[0]


def nm_kind(header: Dataset) -> str:
    """ImageType value 3: TOMO, RECON TOMO and so on, "" where it is missing."""
    values = image_type(header)
    return values[2] if len(values) > 2 else ""


def is_transmission(header: Dataset) -> bool:
    """Whether ImageType value 4 calls the object a transmission map."""
    values = image_type(header)
    return len(values) > 3 and "TRANSMISSION" in values[3]


def nm_objects(series: tuple[DicomSeries, ...]) -> list[DicomSeries]:
    """Every NM object as a candidate of its own, named by its series or, where that holds several, by itself."""
    objects = []
    for entry in series:
        files = [f for f in entry.files if text(f.header, "SOPClassUID") == NuclearMedicineImageStorage]
        for file in files:
            uid = entry.uid if len(files) == 1 else text(file.header, "SOPInstanceUID")
            title = text(file.header, "SeriesDescription")
            objects.append(DicomSeries(uid, "NM", entry.number, title, (file,)))
    projections = [entry for entry in objects if nm_kind(entry.files[0].header) in PROJECTIONS]
    return joined_projections(joined_objects(objects), projections)


def choose_nm(path: Path, series: str | None, kinds: tuple[str, ...], *, maps: bool | None = None) -> DicomFile:
    """The NM object of one of the `kinds` at a path.

    Args:
        path: file or folder.
        series: the choice among several.
        kinds: ImageType values 3 that are welcome.
        maps: only transmission maps (True) or none of them (False).
    """
    with reading(called(path)):
        search_result = search(path)
        objects = nm_objects(search_result.series)
        fitting = [o for o in objects if nm_kind(o.files[0].header) in kinds]
        if maps is not None:
            fitting = [o for o in fitting if is_transmission(o.files[0].header) == maps]
        if not fitting:
            kinds_seen = {nm_kind(o.files[0].header) or "objects of unknown type" for o in objects}
            kind_list = ", ".join(sorted(kinds_seen or {kind_of(s) for s in search_result.series}))
            maps_seen = maps is False and any(is_transmission(o.files[0].header) for o in objects)
            raise nothing_fits(
                path,
                search_result,
                f"only {kind_list}{' (transmission)' if maps_seen else ''}" if kind_list else "",
                f"a nuclear medicine object of type {' or '.join(kinds)}"
                + (", or an attenuation map as CT images" if kinds == VOLUMES else ""),
                "give the attenuation map" if kinds == VOLUMES else "give the file of the tomographic study",
            )
        nm_object, notes = choose_original(fitting, series, "NM objects", projections_first)
        file = nm_object.files[0]
        return replace(file, notes=(*file.notes, *notes))


def projections_first(objects: list[DicomSeries]) -> list[DicomSeries]:
    """One set of projections among reconstructions of its own patient, study and frame of reference, with a note.

    Reconstructions of something else stay beside it, so that nothing is chosen by guess.
    """
    projections = [o for o in objects if nm_kind(o.files[0].header) in PROJECTIONS]
    if len(projections) != 1 or len(objects) == 1:
        return objects
    first = projections[0]
    own = _same_scan(first.files[0].header)
    other_objects = [o for o in objects if o is not first and _same_scan(o.files[0].header) != own]
    n = len(objects) - 1 - len(other_objects)
    if not n:
        return objects
    note = f"the projections are used, not the {n} reconstruction{'s' * (n > 1)} beside them"
    file = replace(first.files[0], notes=(*first.files[0].notes, note))
    return [replace(first, files=(file,)), *other_objects]


def _same_scan(header: Dataset) -> tuple[str, ...]:
    return tuple(text(header, k) for k in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"))


def choose_spect(path: Path, series: str | None = None) -> DicomFile:
    """The emission study at a path: projections or a reconstruction, no transmission map."""
    return choose_nm(path, series, (*PROJECTIONS, *VOLUMES), maps=False)


def choose_map(path: Path, series: str | None = None) -> DicomFile:
    """The attenuation map at a path; one whose ImageType says TRANSMISSION goes before other reconstructions."""
    try:
        return choose_nm(path, series, VOLUMES, maps=True)
    except UnreadableInputError:
        return choose_nm(path, series, VOLUMES)


def load_nm(file: DicomFile) -> tuple[Acquisition | Volume, Notes]:
    """Read one object that was found, with every guess in a sentence; see `read_nm`."""
    name = file.path.name
    with reading(name):
        if nm_kind(file.header) in PROJECTIONS:
            dataset, read_notes = _projections(file)
            marks = (*file.notes, *read_notes, *_marks(dataset, name, as_map=False))
            acquisition = summed_projections(dataset, name)
            acquisition = replace(acquisition, notes=(*marks, *acquisition.notes))
            return acquisition, acquisition.notes
        dataset, read_notes = read_nm_object(file, as_map=is_transmission(file.header))
        kind = nm_kind(dataset)
        if kind in VOLUMES:
            return _volume(dataset, (*file.notes, *read_notes), name, as_map=is_transmission(dataset))
    raise UnreadableInputError(
        f"{name} is of type {kind or 'unknown'}", " or ".join((*PROJECTIONS, *VOLUMES)), "give the tomographic study"
    )


def load_gates(file: DicomFile) -> tuple[Acquisition, ...]:
    """Read each gate of gated projections that were found as an acquisition of its own, R-R intervals outermost."""
    with reading(file.path.name):
        dataset, read_notes = _projections(file)
        marks = (*file.notes, *read_notes, *_marks(dataset, file.path.name, as_map=False))
        gates = gated_projections(dataset, file.path.name)
        return tuple(replace(gate, notes=(*marks, *gate.notes)) for gate in gates)


def _projections(file: DicomFile) -> tuple[Dataset, Notes]:
    return read_joined_views(file) if file.parts else (read_dataset(file.path), ())


def load_nm_map(file: DicomFile) -> tuple[Volume, Notes]:
    """Read a reconstructed NM object as an attenuation map in 1/cm, whatever its ImageType calls it."""
    with reading(file.path.name):
        dataset, read_notes = read_nm_object(file, as_map=True)
        return _volume(dataset, (*file.notes, *read_notes), file.path.name, as_map=True)


def _volume(dataset: Dataset, before: Notes, name: str, *, as_map: bool) -> tuple[Volume, Notes]:
    marks = _marks(dataset, name, as_map=as_map)
    volume, notes = nm_volume(dataset, name, as_map=as_map)
    return volume, (*before, *marks, *(() if as_map else emission_notes(volume.values)), *notes)


def _marks(dataset: Dataset, name: str, *, as_map: bool) -> Notes:
    """What the object says of itself that has to be known, two lines to real values brought to one."""
    kinds = type_notes(dataset, as_map=as_map)
    settled = settle_real_world(dataset, name, as_map=as_map)
    return (*character_set_note(dataset), *kinds, *settled, *pixel_notes(decoded_pixels(dataset, name)))
