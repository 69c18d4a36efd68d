"""Reading a CT series: one volume, honest about where its voxels lie and which of them mean nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import GeometryError, UnitsError, UnreadableInputError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.bounded import require_moderate
from mureg.io.ct_frames import is_ct_image, is_map_image, slices_of, stored_slices
from mureg.io.dicom_access import number, numbers, reading, require_millimetres, text
from mureg.io.dicom_files import DicomFile, DicomSeries, choose, is_localizer, nothing_fits, search
from mureg.io.dicom_join import joined_slices
from mureg.io.slice_line import fitted_line, require_steps_in_mm
from mureg.io.units import FILLER_HU, known_hounsfield, require_hounsfield
from mureg.study import Ct

_AXIAL_COSINE = 0.7
_SMALLEST_PIXEL_MM = 0.15

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
    return choose(candidates, series, "CT series"), (*dropped, *found.notes)


def ct_candidates(found: tuple[DicomSeries, ...]) -> tuple[list[DicomSeries], int]:
    """CT series with localizers and other objects taken out, and how many localizers there were."""
    candidates, n_localizers = [], 0
    for one in found:
        images = [f for f in one.files if is_ct_image(f.header)]
        axial = tuple(f for f in images if not is_localizer(f.header))
        n_localizers += len(images) - len(axial)
        if axial:
            candidates.append(replace(one, files=axial))
    return joined_slices(candidates), n_localizers


def series_of_slices(found: tuple[DicomSeries, ...]) -> list[DicomSeries]:
    """Series that may hold the slices of an attenuation map: CT images and parametric maps, no localizers."""
    candidates = []
    for one in found:
        images = tuple(f for f in one.files if is_map_image(f.header) and not is_localizer(f.header))
        if images:
            candidates.append(replace(one, files=images))
    return joined_slices(candidates)


@dataclass(frozen=True, eq=False)
class SliceStack:
    """The slices of a series as one volume, in whatever unit they are.

    Attributes:
        values: after rescaling, float32 [column, row, slice].
        padding: where the header declares that nothing was measured.
        grid: of the voxels.
        header: of the first slice.
        notes: every guess.
    """

    values: npt.NDArray[np.float32]
    padding: npt.NDArray[np.bool_]
    grid: Grid
    header: Dataset
    notes: tuple[str, ...]


def read_slices(series: DicomSeries, what: str = "CT", *, rescaled: bool = True) -> SliceStack:
    """Check and stack the slices of one series.

    Args:
        series: that was found.
        what: CT or attenuation map, for the sentences.
        rescaled: whether each slice must say how stored values become real ones.

    Raises as `read_ct_dicom`.
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
        first = slices[0].header
        grid = Grid((columns, rows, len(files)), affine, text(first, "FrameOfReferenceUID"))
        values, padding = _rescaled(files, grid.shape, what, rescaled=rescaled)
        return SliceStack(values, padding, grid, first, (*series.notes, *notes))


def read_ct_series(series: DicomSeries, notes: tuple[str, ...] = ()) -> Ct:
    """Check and read one series that was found; see `read_ct_dicom`."""
    stack = read_slices(series)
    with reading("the CT series"):
        hounsfield, outside = _hounsfield(stack.values, stack.padding)
        kvp, odd = _kvp_and_oddities(stack.header)
        notes = (*notes, *stack.notes, *odd)
        maker, model = text(stack.header, "Manufacturer"), text(stack.header, "ManufacturerModelName")
    if outside.any():
        notes = (*notes, f"{100 * outside.mean():.1f} % of the CT voxels are padding and count as unknown")
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


def _rescaled(
    files: list[DicomFile], shape: tuple[int, int, int], what: str, *, rescaled: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Real values and the mask of padding, both [column, row, slice]."""
    values, outside = np.empty((0, 0, 0), dtype=np.float32), np.empty((0, 0, 0), dtype=np.bool_)
    names = [f"{what} slice {k} ({file.path.name})" for k, file in enumerate(files, start=1)]
    with reading(f"the {what} series"):
        for k, (dataset, stored) in enumerate(stored_slices(files, names)):
            slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
            if rescaled and (slope is None or intercept is None):
                raise UnitsError(f"{names[k]} has no rescale slope or intercept", "HU", "export with full headers")
            if stored.shape != (shape[1], shape[0]):
                raise GeometryError(
                    f"{names[k]} has shape {stored.shape}", f"({shape[1]}, {shape[0]})", "export it again"
                )
            if k == 0:  # only now, when one slice has proved to be as large as its header says
                values, outside = np.empty(shape, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
            values[:, :, k] = stored.T * (1.0 if slope is None else slope) + (intercept or 0.0)
            outside[:, :, k] = _padding(dataset, stored).T
    return values, outside


def _hounsfield(
    values: npt.NDArray[np.float32], padding: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Checked HU with a filler where nothing was measured, and where that is."""
    hounsfield, impossible = known_hounsfield(values)
    outside = padding | impossible
    if not np.isfinite(hounsfield).all():
        raise UnitsError("CT values that are not finite", "HU", "check the rescale values and export again")
    hounsfield[outside] = FILLER_HU
    require_hounsfield(hounsfield, "CT values")
    return hounsfield, outside


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
