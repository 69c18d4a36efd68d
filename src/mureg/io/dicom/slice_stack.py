"""Stacking the slices of one series: where its voxels lie, and their real values by what the headers say of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import GeometryError, UnitsError, UnreadableInputError
from mureg.geometry import Grid
from mureg.io.bounded import require_moderate
from mureg.io.dicom.access import number, numbers, reading, text
from mureg.io.dicom.character_set import character_set_note
from mureg.io.dicom.ct_frames import slices_of, stored_slices
from mureg.io.dicom.ct_statements import spacing_notes
from mureg.io.dicom.files import DicomFile, DicomSeries
from mureg.io.dicom.real_world import HOUNSFIELD, Line, differ, mapping_line, rescale_line
from mureg.io.dicom.slice_line import fitted_line, require_steps_in_mm
from mureg.io.refusals import SMALLEST_CT_MM, require_millimetres

_AXIAL_COSINE = 0.7
"""Of the angle between normal and long axis: below 45 degrees the plane is nearer to axial than to the others."""

Array = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SliceStack:
    """The slices of a series as one volume, in whatever unit they are.

    Attributes:
        values: by the rescale values, float32 [column, row, slice]; where there are none, by the real-world mapping.
        mapped: by the real-world mapping (of a CT one into HU), where that differs from the rescale values, else None.
        padding: where the header declares that nothing was measured.
        grid: of the voxels.
        headers: of the slices, in their order.
        notes: every guess.
    """

    values: Values
    mapped: Values | None
    padding: Mask
    grid: Grid
    headers: tuple[Dataset, ...]
    notes: tuple[str, ...]


def read_slices(series: DicomSeries, what: str = "CT", *, is_map: bool = False) -> SliceStack:
    """Check and stack the slices of one series.

    Args:
        series: that was found.
        what: CT or attenuation map, for the sentences.
        is_map: an attenuation map, which need not say how stored values become real ones; a CT must.

    Raises as `mureg.io.dicom.ct_read.read_ct_dicom`.
    """
    with reading(f"the {what} series"):
        _require_one_patient(series, what)
        slices = slices_of(series.files)
        if len(slices) < 2:
            raise GeometryError(
                f"the {what} series has 1 slice", "a volume", "give the folder that holds all its slices"
            )
        rows, columns, orientation, spacing_mm = _common_plane(slices)
        files, affine, notes = _stacked(slices, orientation, spacing_mm)
        headers = tuple(file.header for file in files)
        grid = Grid((columns, rows, len(files)), affine, text(slices[0].header, "FrameOfReferenceUID"))
        spaced = spacing_notes(headers, grid.spacing_mm[2], what)
        values, mapped, padding = _real_values(files, grid.shape, what, is_map=is_map)
        notes = (*series.notes, *character_set_note(series.files[0].header), *notes, *spaced)
        return SliceStack(values, mapped, padding, grid, headers, notes)


def _require_one_patient(series: DicomSeries, what: str) -> None:
    patients = {text(f.header, "PatientID") for f in series.files}
    if len(patients) > 1:
        raise UnreadableInputError(
            f"the {what} series holds images of {len(patients)} patients", "one patient", "export the series again"
        )
    frames = {text(f.header, "FrameOfReferenceUID") for f in series.files}
    if len(frames) > 1:
        raise GeometryError(
            f"the {what} series has {len(frames)} frames of reference", "one", "export the images of one scan"
        )


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
    require_millimetres("PixelSpacing of the CT", min(spacing), SMALLEST_CT_MM)
    require_millimetres("PixelSpacing of the CT", max(spacing), SMALLEST_CT_MM)
    # rounding of decimal strings: a thousandth makes half a pixel over 512
    if np.ptp(np.asarray([s for s in spacings if s is not None]), axis=0).max() > 1e-3 * min(spacing):
        listed = ", ".join(sorted(f"{s[0]:g} x {s[1]:g}" for s in spacings if s is not None))
        raise GeometryError(f"the CT series has mixed pixel spacing ({listed} mm)", "one", "export one reconstruction")
    cosines = [numbers(f.header, "ImageOrientationPatient", 6) for f in files]
    if any(c is None for c in cosines):
        raise GeometryError("ImageOrientationPatient is missing in the CT", "six cosines", "export with full headers")
    directions = np.asarray(cosines, dtype=np.float64).reshape(-1, 2, 3)
    # cosines written with three decimals: 0.002 is 0.1 degrees
    if np.ptp(directions, axis=0).max() > 2e-3:
        raise GeometryError("the CT series has mixed orientations", "parallel slices", "export one reconstruction")
    row, column = (d / max(float(np.linalg.norm(d)), 1e-12) for d in directions[0])
    # 0.1 degrees as above; lengths by cosines of two decimals
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
) -> tuple[list[DicomFile], Array, tuple[str, ...]]:
    """The files in the order of their positions along the normal, the voxel-to-patient matrix, and notes."""
    positions = [numbers(f.header, "ImagePositionPatient", 3) for f in files]
    n_missing = sum(p is None for p in positions)
    if n_missing:
        raise GeometryError(
            f"ImagePositionPatient is missing in {n_missing} of {len(files)} CT slices",
            "a position for each",
            "export with full headers",
        )
    normal = np.cross(directions[0], directions[1])
    line = fitted_line(np.asarray(positions, dtype=np.float64), normal)
    note = require_steps_in_mm(float(line.step_mm @ normal), len(files), files[0].header)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = directions[0] * spacing_mm[1], directions[1] * spacing_mm[0]
    affine[:3, 2], affine[:3, 3] = line.step_mm, line.first_mm
    return [files[i] for i in line.order], affine, (note,) if note else ()


def _real_values(
    files: list[DicomFile], shape: tuple[int, int, int], what: str, *, is_map: bool
) -> tuple[Values, Values | None, Mask]:
    """Values by rescale and, where that differs, by real-world mapping, and the padding, all [column, row, slice]."""
    values, outside = np.empty((0, 0, 0), dtype=np.float32), np.empty((0, 0, 0), dtype=np.bool_)
    mapped: Values | None = None
    names = [f"{what} slice {k} ({file.path.name})" for k, file in enumerate(files, start=1)]
    with reading(f"the {what} series"):
        for k, (dataset, stored) in enumerate(stored_slices(files, names)):
            line, mapping_line = _lines(dataset, names[k], is_map=is_map)
            if stored.shape != (shape[1], shape[0]):
                raise GeometryError(
                    f"{names[k]} has shape {stored.shape}", f"({shape[1]}, {shape[0]})", "export it again"
                )
            if k == 0:  # only now, when one slice has proved to be as large as its header says
                values, outside = np.empty(shape, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
            values[:, :, k] = stored.T * line[0] + line[1]
            outside[:, :, k] = _padding(dataset, stored).T
            if mapping_line is not None and mapped is None:
                mapped = values.copy()
            if mapped is not None:
                mapped[:, :, k] = (
                    values[:, :, k] if mapping_line is None else stored.T * mapping_line[0] + mapping_line[1]
                )
    return values, mapped, outside


def _lines(dataset: Dataset, name: str, *, is_map: bool) -> tuple[Line, Line | None]:
    """Slope and intercept of the rescale values, and of a real-world mapping that differs from them."""
    rescale = rescale_line(dataset)
    if not is_map and (rescale is None or number(dataset, "RescaleIntercept") is None):
        raise UnitsError(f"{name} has no rescale slope or intercept", "HU", "export with full headers")
    mapping = mapping_line(dataset, None if is_map else HOUNSFIELD)
    if rescale is None:
        return ((1.0, 0.0) if mapping is None else mapping[0]), None
    return rescale, mapping[0] if mapping is not None and differ(rescale, mapping[0]) else None


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
    if signed and value > 32767:  # 16 bits: 65536 values
        return value - 65536
    return value + 65536 if not signed and value < 0 else value
