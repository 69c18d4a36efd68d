"""Reading a CT series: one volume, honest about where its voxels lie and which of them mean nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from mureg.errors import GeometryError, UnitsError, UnreadableInputError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.bounded import require_moderate
from mureg.io.character_set import character_set_note
from mureg.io.ct_statements import agreed_hounsfield, hounsfield_line, spacing_notes
from mureg.io.derived import choose_original, derived_notes
from mureg.io.dicom_access import (
    decoded_pixels,
    number,
    numbers,
    read_dataset,
    reading,
    require_millimetres,
    text,
)
from mureg.io.dicom_files import DicomFile, DicomSeries, is_localizer, nothing_fits, search
from mureg.io.units import FILLER_HU, known_hounsfield, require_hounsfield
from mureg.notes import Note, Rank
from mureg.study import Ct

_ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_SAME_PLACE_MM = 0.01
_TILT_TOLERANCE_MM = 0.5
_AXIAL_COSINE = 0.7
_SMALLEST_PIXEL_MM = 0.15
_LEAST_STEP = 0.2  # of the slice thickness; with positions in cm it is 0.1

Array = npt.NDArray[np.float64]


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
    chosen, notes = choose_ct_series(path, series)
    return read_ct_series(chosen, notes)


def choose_ct_series(path: Path, series: str | None = None) -> tuple[DicomSeries, tuple[str, ...]]:
    """The CT series at a path without its localizers, and a note on what was dropped."""
    found = search(path)
    candidates, n_localizers = ct_candidates(found.series)
    if not candidates:
        others = sorted({s.modality or "unknown" for s in found.series})
        only = f"only {', '.join(others)}" if others and not n_localizers else "only localizers of a CT"
        raise nothing_fits(path, found, only if found.series else "", "a CT series", "give the folder of the CT")
    dropped = () if n_localizers == 0 else (f"{n_localizers} localizer image(s) left out of the CT",)
    chosen, notes = choose_original(candidates, series, "CT series")
    return chosen, (*dropped, *found.notes, *notes)


def ct_candidates(found: tuple[DicomSeries, ...]) -> tuple[list[DicomSeries], int]:
    """CT series with localizers and other objects taken out, and how many localizers there were."""
    candidates, n_localizers = [], 0
    for one in found:
        images = [f for f in one.files if text(f.header, "SOPClassUID") in (CTImageStorage, *_ENHANCED)]
        axial = tuple(f for f in images if not is_localizer(f.header))
        n_localizers += len(images) - len(axial)
        if axial:
            candidates.append(DicomSeries(one.uid, one.modality, one.number, one.description, axial))
    return candidates, n_localizers


def read_ct_series(series: DicomSeries, notes: tuple[str, ...] = ()) -> Ct:
    """Check and read one series that was found; see `read_ct_dicom`."""
    with reading("the CT series"):
        first = series.files[0].header
        _require_one_patient_and_kind(series)
        rows, columns, orientation, spacing_mm = _common_plane(series.files)
        files, affine = _stacked(series.files, orientation, spacing_mm)
        grid = Grid((columns, rows, len(files)), affine, text(first, "FrameOfReferenceUID"))
        spaced = spacing_notes([f.header for f in files], grid.spacing_mm[2])
        hounsfield, outside, lines = _hounsfield(files, grid.shape)
        kvp, odd = _kvp_and_oddities(first)
        derived = derived_notes([f.header for f in files])
        notes = (*notes, *character_set_note(first), *derived, *spaced, *lines, *odd)
        maker, model = text(first, "Manufacturer"), text(first, "ManufacturerModelName")
    if outside.any():
        words = f"{100 * outside.mean():.1f} % of the CT voxels are padding and count as unknown"
        notes = (*notes, Note(words, Rank.RECORD))
    volume = Volume.from_numpy(hounsfield, grid, Quantity.HU, outside)
    return Ct(volume, maker, model, kvp, notes)


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


def _require_one_patient_and_kind(series: DicomSeries) -> None:
    if any(text(f.header, "SOPClassUID") in _ENHANCED for f in series.files):
        raise UnreadableInputError(
            "the CT is an enhanced multi-frame object", "one file for each slice", "export it as classic CT images"
        )
    patients = {text(f.header, "PatientID") for f in series.files}
    if len(patients) > 1:
        raise UnreadableInputError(
            f"the CT series holds images of {len(patients)} patients", "one patient", "export the series again"
        )
    frames = {text(f.header, "FrameOfReferenceUID") for f in series.files}
    if len(frames) > 1:
        raise GeometryError(
            f"the CT series has {len(frames)} frames of reference", "one", "export the images of one scan"
        )
    if len(series.files) < 2:
        raise GeometryError("the CT series has 1 slice", "a volume", "give the folder that holds all its slices")


def _common_plane(files: tuple[DicomFile, ...]) -> tuple[int, int, Array, tuple[float, float]]:
    """Rows, columns, the two direction cosines [2, 3] and the pixel spacing that every slice shares."""
    sizes = {(int(f.header.get("Rows", 0)), int(f.header.get("Columns", 0))) for f in files}
    if len(sizes) > 1 or (0, 0) in sizes:
        listed = ", ".join(f"{r} x {c}" for r, c in sorted(sizes))
        raise GeometryError(f"the CT series has mixed matrix sizes ({listed})", "one size", "export one reconstruction")
    rows, columns = next(iter(sizes))
    require_moderate(rows * columns, "the CT series", f"{columns} x {rows} pixels in each slice")
    spacings = {numbers(f.header, "PixelSpacing", 2) for f in files}
    spacing = next(iter(spacings))
    if spacing is None or min(spacing) <= 0 or None in spacings:
        raise GeometryError(
            "PixelSpacing is missing or not positive in the CT series", "millimetres", "export with full headers"
        )
    require_millimetres("PixelSpacing of the CT", min(spacing), _SMALLEST_PIXEL_MM)
    require_millimetres("PixelSpacing of the CT", max(spacing), _SMALLEST_PIXEL_MM)
    if np.ptp(np.asarray([s for s in spacings if s is not None]), axis=0).max() > 1e-3 * min(spacing):
        listed = ", ".join(sorted(f"{s[0]:g} x {s[1]:g}" for s in spacings if s is not None))
        raise GeometryError(f"the CT series has mixed pixel spacing ({listed} mm)", "one", "export one reconstruction")
    cosines = [numbers(f.header, "ImageOrientationPatient", 6) for f in files]
    if any(c is None for c in cosines):
        raise GeometryError("ImageOrientationPatient is missing in the CT", "six cosines", "export with full headers")
    directions = np.asarray(cosines, dtype=np.float64).reshape(-1, 2, 3)
    if np.ptp(directions, axis=0).max() > 2e-3:
        raise GeometryError("the CT series has mixed orientations", "parallel slices", "export one reconstruction")
    row, column = (d / max(float(np.linalg.norm(d)), 1e-12) for d in directions[0])
    if abs(row @ column) > 2e-3 or np.abs(np.linalg.norm(directions[0], axis=1) - 1).max() > 1e-2:
        raise GeometryError(
            f"CT row and column directions {directions[0].round(4).tolist()}",
            "perpendicular unit vectors",
            "export again",
        )
    if abs(np.cross(row, column)[2]) < _AXIAL_COSINE:
        raise GeometryError("the CT images are coronal or sagittal", "axial slices", "export the axial reconstruction")
    return rows, columns, np.stack([row, column]), (spacing[0], spacing[1])


def _stacked(
    files: tuple[DicomFile, ...], directions: Array, spacing_mm: tuple[float, float]
) -> tuple[list[DicomFile], Array]:
    """The files in the order of their positions along the normal, and the voxel-to-patient matrix."""
    positions = [numbers(f.header, "ImagePositionPatient", 3) for f in files]
    n_missing = sum(p is None for p in positions)
    if n_missing:
        raise GeometryError(
            f"ImagePositionPatient is missing in {n_missing} of {len(files)} CT slices",
            "a position for each",
            "export with full headers",
        )
    origins = np.asarray(positions, dtype=np.float64)
    normal = np.cross(directions[0], directions[1])
    order = np.argsort(origins @ normal, kind="stable")
    origins = origins[order]
    steps = np.diff(origins @ normal)
    _require_equal_steps(steps, origins)
    _require_steps_in_mm(float(np.median(steps)), files[0].header)
    sideways = origins - origins[0]
    sideways -= np.outer(sideways @ normal, normal)
    drift_mm = float(np.linalg.norm(sideways, axis=1).max())
    if drift_mm > _TILT_TOLERANCE_MM:
        tilt_deg = np.degrees(np.arctan2(np.linalg.norm(sideways[-1]), steps.sum()))
        raise GeometryError(
            f"CT slices are sheared by a gantry tilt of {tilt_deg:.1f} degrees ({drift_mm:.1f} mm sideways)",
            "slices stacked along their normal",
            "export a reconstruction without tilt",
        )
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = directions[0] * spacing_mm[1], directions[1] * spacing_mm[0]
    affine[:3, 2] = (origins[-1] - origins[0]) / (len(files) - 1)
    affine[:3, 3] = origins[0]
    return [files[i] for i in order], affine


def _require_equal_steps(steps_mm: Array, origins: Array) -> None:
    doubled = np.flatnonzero(steps_mm < _SAME_PLACE_MM)
    if len(doubled):
        where = ", ".join(f"{v:.1f}" for v in origins[doubled[0]])
        raise GeometryError(
            f"CT series has duplicate positions at {len(doubled)} place(s), first at ({where}) mm",
            "one slice at each position",
            "export one phase or reconstruction only",
        )
    spacing_mm = float(np.median(steps_mm))
    uneven = np.flatnonzero(np.abs(steps_mm - spacing_mm) > 0.02 * spacing_mm + _SAME_PLACE_MM)
    if len(uneven):
        k = int(uneven[0])
        what = "gap" if steps_mm[k] > spacing_mm else "step"
        raise GeometryError(
            f"CT series has a {steps_mm[k]:.4g} mm {what} after slice {k + 1} (spacing {spacing_mm:.4g} mm)",
            "equally spaced slices",
            "export the complete series",
        )


def _require_steps_in_mm(step_mm: float, header: Dataset) -> None:
    thickness_mm = numbers(header, "SliceThickness", 1)
    if thickness_mm and step_mm < _LEAST_STEP * thickness_mm[0]:
        raise GeometryError(
            f"CT slices of {thickness_mm[0]:g} mm lie {step_mm:.3g} apart (positions perhaps in centimetres)",
            "positions in millimetres",
            "correct the header",
        )
    require_millimetres("the distance between CT slices", step_mm, 0.05)


def _hounsfield(
    files: list[DicomFile], shape: tuple[int, int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], tuple[str, ...]]:
    """HU and the mask of padding, both [column, row, slice], and what was decided on the way."""
    hounsfield, outside = np.empty((0, 0, 0), dtype=np.float32), np.empty((0, 0, 0), dtype=np.bool_)
    mapped: npt.NDArray[np.float32] | None = None
    for k, file in enumerate(files):
        name = f"CT slice {k + 1} ({file.path.name})"
        with reading(name):
            dataset = read_dataset(file.path)
            slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
            if slope is None or intercept is None:
                raise UnitsError(f"{name} has no rescale slope or intercept", "HU", "export with full headers")
            stored = decoded_pixels(dataset, name)
            if stored.shape != (shape[1], shape[0]):
                raise GeometryError(f"{name} has shape {stored.shape}", f"({shape[1]}, {shape[0]})", "export it again")
            if k == 0:  # only now, when one slice has proved to be as large as its header says
                hounsfield, outside = np.empty(shape, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
            hounsfield[:, :, k] = stored.T * slope + intercept
            outside[:, :, k] = _padding(dataset, stored).T
            line = hounsfield_line(dataset, (slope, intercept))
            if line is not None and mapped is None:
                mapped = hounsfield.copy()
            if mapped is not None:
                mapped[:, :, k] = hounsfield[:, :, k] if line is None else stored.T * line[0] + line[1]
    notes: tuple[str, ...] = ()
    if mapped is not None:
        hounsfield, note = agreed_hounsfield(hounsfield, mapped, outside)
        notes = (note,)
    hounsfield, impossible = known_hounsfield(hounsfield)
    outside |= impossible
    if not np.isfinite(hounsfield).all():
        raise UnitsError("CT values that are not finite", "HU", "check the rescale values and export again")
    hounsfield[outside] = FILLER_HU
    require_hounsfield(hounsfield, "CT values")
    return hounsfield, outside, notes


def _padding(dataset: Dataset, stored: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Stored values that PixelPaddingValue (to PixelPaddingRangeLimit) declares to be no measurement (C.7.5.1.1.2)."""
    value = number(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = number(dataset, "PixelPaddingRangeLimit")
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    low, high = sorted(_as_stored(v, signed) for v in (value, value if limit is None else limit))
    padding: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return padding


def _as_stored(value: float, signed: bool) -> float:
    """Undo a padding value written with the sign of the other pixel representation, as some scanners do."""
    if signed and value > 32767:
        return value - 65536
    return value + 65536 if not signed and value < 0 else value
