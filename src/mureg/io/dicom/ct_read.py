"""Reading a CT series: one volume, honest about where its voxels lie and which of them mean nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import UnitsError, UnreadableInputError
from mureg.geometry import Quantity, Volume
from mureg.io.dicom.access import number, reading, text
from mureg.io.dicom.ct_frames import is_ct_image, is_map_image
from mureg.io.dicom.ct_statements import agreed_hounsfield
from mureg.io.dicom.derived import choose_original, derived_notes
from mureg.io.dicom.files import DicomSeries, is_localizer, kind_of, nothing_fits, search
from mureg.io.dicom.join import joined_slices
from mureg.io.dicom.slice_stack import SliceStack, read_slices
from mureg.io.input_paths import called
from mureg.io.units import FILLER_HU, known_hounsfield, require_hounsfield
from mureg.notes import Note, Rank
from mureg.study import Ct


def read_ct_dicom(path: Path, series: str | None = None) -> Ct:
    """Read a CT series from a DICOM folder (PS3.3 A.3, C.7.6.2, C.8.2.1).

    Args:
        path: a folder, searched with its subfolders.
        series: which one, where several lie there: UID or its end, series number or description.

    Returns:
        The CT in HU. Its grid keeps the columns, rows and slices of the series as x, y, z index (slices ordered along
        the normal); padding is marked outside and holds -1000 HU.

    Raises:
        UnreadableInputError: no series, several and no choice, two patients, multi-frame or undecodable images.
        GeometryError: missing position, gap, duplicate, tilt, mixed size, spacing or orientation, no axial images.
        UnitsError: no rescale values.
    """
    chosen_series, notes = choose_ct_series(path, series)
    return read_ct_series(chosen_series, notes)


def choose_ct_series(path: Path, series: str | None = None) -> tuple[DicomSeries, tuple[str, ...]]:
    """The CT series at a path without its localizers, and a note on what was dropped."""
    with reading(called(path)):
        search_result = search(path)
        candidates, n_localizers = ct_candidates(search_result.series)
        if not candidates:
            kinds = sorted({kind_of(s) for s in search_result.series})
            only = f"only {', '.join(kinds)}" if kinds and not n_localizers else "only localizers of a CT"
            raise nothing_fits(
                path, search_result, only if search_result.series else "", "a CT series", "give the folder of the CT"
            )
        dropped = () if n_localizers == 0 else (f"{n_localizers} localizer image(s) left out of the CT",)
        chosen_series, notes = choose_original(candidates, series, "CT series")
        return chosen_series, (*dropped, *search_result.notes, *notes)


def ct_candidates(series: tuple[DicomSeries, ...]) -> tuple[list[DicomSeries], int]:
    """CT series with localizers and other objects taken out, and how many localizers there were."""
    candidates, n_localizers = [], 0
    for entry in series:
        images = [f for f in entry.files if is_ct_image(f.header)]
        axial = tuple(f for f in images if not is_localizer(f.header))
        n_localizers += len(images) - len(axial)
        if axial:
            candidates.append(replace(entry, files=axial))
    return joined_slices(candidates), n_localizers


def series_of_slices(series: tuple[DicomSeries, ...]) -> list[DicomSeries]:
    """Series that may hold the slices of an attenuation map: CT images and parametric maps, no localizers."""
    candidates = []
    for entry in series:
        images = tuple(f for f in entry.files if is_map_image(f.header) and not is_localizer(f.header))
        if images:
            candidates.append(replace(entry, files=images))
    return joined_slices(candidates)


def read_ct_series(series: DicomSeries, notes: tuple[str, ...] = ()) -> Ct:
    """Check and read one series that was found; see `read_ct_dicom`."""
    stack = read_slices(series)
    with reading("the CT series"):
        hounsfield, outside, lines = _hounsfield(stack)
        first = series.files[0].header
        kvp, odd = _kvp_and_oddities(stack.headers[0])
        notes = (*notes, *stack.notes, *derived_notes(stack.headers), *lines, *odd)
        maker, model = text(first, "Manufacturer"), text(first, "ManufacturerModelName")
    if outside.any():
        words = f"{100 * outside.mean():.1f} % of the CT voxels are padding and count as unknown"
        notes = (*notes, Note(words, Rank.RECORD))
    return Ct(Volume.from_numpy(hounsfield, stack.grid, Quantity.HU, outside), maker, model, kvp, notes)


def _kvp_and_oddities(header: Dataset) -> tuple[float | None, tuple[str, ...]]:
    """Tube voltage, None where unknown, and notes on what is odd in a header and does no harm."""
    notes = []
    try:
        kvp = number(header, "KVP")
    except UnreadableInputError:
        kvp = None
        notes.append("the tube voltage of the CT cannot be read and counts as unknown")
    if text(header, "PhotometricInterpretation") == "MONOCHROME1":
        notes.append("the CT is stored for display with white as low (MONOCHROME1); its HU are read all the same")
    return kvp, tuple(notes)


def _hounsfield(stack: SliceStack) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], tuple[str, ...]]:
    """Checked HU with a filler where nothing was measured, where that is, and what decided between two statements."""
    values = stack.values
    notes: tuple[str, ...] = ()
    if stack.mapped is not None:
        values, note = agreed_hounsfield(values, stack.mapped, stack.padding)
        notes = (note,)
    hounsfield, impossible = known_hounsfield(values)
    outside = stack.padding | impossible
    if not np.isfinite(hounsfield).all():
        raise UnitsError("CT values that are not finite", "HU", "check the rescale values and export again")
    hounsfield[outside] = FILLER_HU
    require_hounsfield(hounsfield, "CT values")
    return hounsfield, outside, notes
