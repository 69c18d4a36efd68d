"""Writing a CT series as DICOM, byte for byte the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.uid import CTImageStorage

from mureg.errors import GeometryError, UsageError
from mureg.io.dicom.build import decimal, decimals, fill_pixels, made_uid, new_dataset, patient_and_study
from mureg.study import Ct

PADDING_HU = -2000
"""Written where nothing is known about the CT; below every value a scanner measures."""

_INTERCEPT_HU = -1024
"""As scanners write it: the lowest HU of 12 bits becomes 0."""


def write_ct_series(
    ct: Ct,
    folder: Path | str,
    *,
    patient_id: str,
    study_uid: str | None = None,
    series_uid: str | None = None,
    frame_of_reference: str | None = None,
    kvp: float | None = None,
    description: str = "CT",
    comment: str = "",
    seed: str = "mureg",
) -> tuple[Path, ...]:
    """Write a CT as one CT Image Storage file per slice, explicit VR little endian.

    Args:
        ct: in HU, rounded to whole numbers; voxels marked outside become padding (`PADDING_HU`).
        folder: made here; it appears whole or not at all.
        patient_id: a pseudonym, also used as the patient's name.
        study_uid: made from `seed` where left out.
        series_uid: made from `seed` where left out.
        frame_of_reference: that of the grid, or made from `seed`, where left out.
        kvp: tube voltage; that of `ct` where left out.
        description: series description.
        comment: image comment on each slice, the place for an attribution.
        seed: the same seed and patient give the same unique identifiers.

    Returns:
        The files, first slice first.

    Raises:
        UsageError: the folder holds something already.
        GeometryError: the slices are not perpendicular to their stacking direction.

    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder.name} is not empty", "a new or empty folder", "choose another folder for the series")
    rows_columns_slices = _stored_ct_values(ct)
    grid = ct.volume.grid
    axes = grid.affine[:3, :3] / np.asarray(grid.spacing_mm)
    # the volume of the unit cell: rounding of decimal strings
    if abs(abs(float(np.linalg.det(axes))) - 1.0) > 1e-4:
        raise GeometryError(
            "the CT grid is sheared", "three perpendicular axes", "resample it on an upright grid first"
        )
    frame = frame_of_reference or grid.frame_of_reference or made_uid(seed, patient_id, "frame")
    common = patient_and_study(patient_id, study_uid or made_uid(seed, patient_id, "study"))
    series = series_uid or made_uid(seed, patient_id, "ct series")
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True)
    names = []
    for k in range(grid.shape[2]):
        slice_set = new_dataset(CTImageStorage, made_uid(seed, patient_id, series, str(k)), common)
        slice_set.Modality = "CT"
        slice_set.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        slice_set.SeriesInstanceUID, slice_set.SeriesNumber, slice_set.SeriesDescription = (
            series,
            1,
            description,
        )
        slice_set.Manufacturer, slice_set.ManufacturerModelName = ct.manufacturer, ct.model
        slice_set.PatientPosition = "HFS"
        slice_set.FrameOfReferenceUID, slice_set.PositionReferenceIndicator = frame, ""
        slice_set.KVP = decimal(kvp if kvp is not None else ct.kvp)
        slice_set.AcquisitionNumber, slice_set.InstanceNumber = 1, k + 1
        slice_set.ImagePositionPatient = decimals(grid.points((0, 0, k)))
        slice_set.ImageOrientationPatient = decimals([*axes[:, 0], *axes[:, 1]])
        slice_set.PixelSpacing = decimals([grid.spacing_mm[1], grid.spacing_mm[0]])
        slice_set.SliceThickness = decimal(grid.spacing_mm[2])
        if comment:
            slice_set.ImageComments = comment
        slice_set.RescaleIntercept, slice_set.RescaleSlope, slice_set.RescaleType = (
            str(_INTERCEPT_HU),
            "1",
            "HU",
        )
        slice_set.WindowCenter, slice_set.WindowWidth = "40", "400"
        fill_pixels(slice_set, rows_columns_slices[:, :, k], signed=True)
        slice_set.PixelPaddingValue = PADDING_HU - _INTERCEPT_HU
        name = f"ct_{k + 1:04d}.dcm"
        slice_set.save_as(partial / name, enforce_file_format=True)
        names.append(name)
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)
    return tuple(folder / name for name in names)


def _stored_ct_values(ct: Ct) -> npt.NDArray[np.int16]:
    """Stored values [row, column, slice]; HU minus the intercept, padding where nothing is known."""
    # 30000 with the intercept taken off fits into 16 bits with a sign
    hounsfield = np.clip(np.rint(ct.volume.values), PADDING_HU + 1, 30000)
    if ct.volume.outside is not None:
        hounsfield = np.where(ct.volume.outside, PADDING_HU, hounsfield)
    stored: npt.NDArray[np.int16] = (hounsfield - _INTERCEPT_HU).transpose(1, 0, 2).astype(np.int16)
    return stored
