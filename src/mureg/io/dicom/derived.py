"""Images made from others: what this program wrote, which is no input of it, and what a workstation derived."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset

from mureg.errors import RefusedError
from mureg.io.dicom.access import image_type, items, text
from mureg.io.dicom.files import DicomFile, DicomSeries
from mureg.io.dicom.marks import corrected_notes
from mureg.io.dicom.series_choice import choose
from mureg.notes import Note, Rank

OWN = "mureg"
"""Manufacturer and model of every object that is written as a result (`mureg.io.dicom.template.equipment_items`)."""

Notes = tuple[str, ...]


def written_here(header: Dataset) -> bool:
    """Whether this program wrote the object as a result: by model, software, or equipment that contributed to it.

    The manufacturer alone proves nothing: studies that were simulated as a hospital would have them name it too.
    """
    if text(header, "Manufacturer").lower() == OWN and text(header, "ManufacturerModelName").lower() == OWN:
        return True
    if text(header, "SoftwareVersions").lower().startswith(f"{OWN} "):
        return True
    equipment = items(header, "ContributingEquipmentSequence")
    return any(
        text(item, "Manufacturer").lower() == OWN and text(item, "ManufacturerModelName").lower() == OWN
        for item in equipment
    )


def without_own(series: Sequence[DicomSeries]) -> tuple[list[DicomSeries], int]:
    """The series that this program did not write, and how many it did."""
    foreign = [entry for entry in series if not any(written_here(file.header) for file in entry.files)]
    return foreign, len(series) - len(foreign)


def choose_original(
    candidates: Sequence[DicomSeries],
    name: str | None,
    what: str,
    narrowed: Callable[[list[DicomSeries]], list[DicomSeries]] = lambda series: series,
) -> tuple[DicomSeries, Notes]:
    """`choose` among what this program did not write; what it wrote only where that is named or alone.

    Args:
        candidates: to choose from.
        name: the choice, None for the only one.
        what: they are, for the sentences.
        narrowed: leaves out those that never compete with another, where none is named.

    Returns:
        The series, and a note on how many were left out.
    """
    if name is not None:
        return choose(candidates, name, what), ()
    foreign, n_own = without_own(candidates)
    if not foreign:
        return choose(narrowed(list(candidates)), None, what), ()
    left_out = f"{n_own} {what} that {OWN} wrote {'was' if n_own == 1 else 'were'} left out"
    return choose(narrowed(foreign), None, what), (left_out,) if n_own else ()


def own_notes(header: Dataset, what: str) -> Notes:
    """A sentence on an object that this program wrote, none for others."""
    if not written_here(header):
        return ()
    title = text(header, "SeriesDescription")
    return (f"{what} '{title}' was written by {OWN}: it is a result of an earlier registration",)


def require_original(file: DicomFile | None, what: str, *, allowed: bool) -> Notes:
    """Refuse an object that this program wrote as an input of a registration; a sentence on it where it is allowed.

    Args:
        file: the object, None for NIfTI, which proves nothing.
        what: it is given as, for the sentence.
        allowed: whether it was asked for.
    """
    notes = () if file is None else own_notes(file.header, f"the {what}")
    if notes and not allowed:
        raise RefusedError(
            notes[0],
            "the images of the scanner: a moved series that is registered again appears aligned",
            "choose the original series, or give --allow-derived if this one is meant",
        )
    return tuple(Note(sentence, Rank.CHANGES_ANSWER) for sentence in notes)


def spect_notes(file: DicomFile | None, *, allow_corrected: bool, allow_derived: bool) -> Notes:
    """Refuse a SPECT that this program wrote or that is corrected already; sentences on it where that was allowed."""
    if file is None:
        return ()
    own = require_original(file, "SPECT", allowed=allow_derived)
    return (*own, *corrected_notes(file.header, allowed=allow_corrected))


def derived_notes(headers: Sequence[Dataset]) -> Notes:
    """A note on a CT that its header calls DERIVED, unless this program wrote it."""
    derived = [
        header for header in headers if (image_type(header) or ("",))[0] == "DERIVED" and not written_here(header)
    ]
    if not derived:
        return ()
    how = text(derived[0], "DerivationDescription")
    quote = f" ('{how[:80]}')" if how else ""
    return (
        f"the CT is called DERIVED (ImageType){quote}: ordinary reformats are, but so are moved, filtered or synthetic "
        "images; make sure that it is the scan of this study",
    )
