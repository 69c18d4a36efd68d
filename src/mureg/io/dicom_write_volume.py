"""Writing a reconstruction or an attenuation map as an NM Image Storage object, byte for byte the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from mureg.errors import GeometryError, MuregError, UnitsError, UsageError
from mureg.files.atomic import refuse_existing, writing
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.dicom_access import items, text
from mureg.io.dicom_build import (
    code_item,
    decimal,
    decimals,
    fill_pixels,
    made_uid,
    new_dataset,
    patient_and_study,
    stamp,
)
from mureg.io.dicom_nm_build import set_patient_position
from mureg.io.dicom_template import (
    equipment_items,
    patient_and_study_of,
    read_header,
    software_version,
    source_items,
    taken_over,
)
from mureg.io.nm_energy import energy_windows, nuclide_and_lines, photopeak_of

Kind = Literal["EMISSION", "TRANSMISSION"]

_LARGEST_STORED = 65535
# quantity: label of the mapping, UCUM unit, its meaning
_UNITS = {
    Quantity.MU_PER_CM: ("mu in 1/cm", "cm-1", "per centimeter"),
    Quantity.COUNTS: ("counts", "{counts}", "counts"),
    Quantity.ACTIVITY: ("activity", "1", "no units"),
}
_WELCOME: dict[Kind, tuple[Quantity, ...]] = {
    "EMISSION": (Quantity.COUNTS, Quantity.ACTIVITY),
    "TRANSMISSION": (Quantity.MU_PER_CM,),
}
_FROM_SERIES = ("AcquisitionDate", "AcquisitionTime", "BodyPartExamined")


def write_nm_volume(
    volume: Volume,
    path: Path,
    *,
    kind: Kind,
    template: Path | None = None,
    sources: Sequence[Path] = (),
    patient_id: str = "",
    study_uid: str | None = None,
    series_uid: str | None = None,
    series_number: int = 900,
    description: str = "",
    derivation: str = "",
    derivation_codes: Sequence[tuple[str, str]] = (),
    corrections: Sequence[str] = (),
    comment: str = "",
    made_at: datetime | None = None,
    overwrite: bool = False,
    seed: str = "mureg",
) -> Path:
    """Write a volume as one NM Image Storage object of type RECON TOMO (PS3.3 A.5, C.8.4.15).

    Frame k holds the voxels (i, j, k): columns along i, rows along j. Position and orientation of frame 1 lie in
    DetectorInformationSequence; SpacingBetweenSlices is positive where the next frame lies along row x column and
    negative where it lies against it. Values are 16-bit numbers with one slope and intercept, given twice: as
    RescaleSlope and as RealWorldValueMappingSequence with the unit. Voxels about which nothing is known are written
    with their filler, and the derivation says how many they are.

    Args:
        volume: counts or activity for EMISSION, 1/cm for TRANSMISSION; on perpendicular axes of any direction.
        path: the file; it appears whole or not at all.
        kind: ImageType value 4.
        template: the object it was made of: patient, study, frame of reference, nuclide and orbit are taken from it.
        sources: files or folders with further objects it was made of, to refer to.
        patient_id: a pseudonym, needed without a template.
        study_uid: made from `seed` where there is no template either.
        series_uid: made from `seed` where left out.
        series_number: of the new series.
        description: series description; made from `kind` where left out.
        derivation: how it was made, in a sentence.
        derivation_codes: the same as codes of DICOM (DCM), value and meaning.
        corrections: terms of CorrectedImage, such as ATTN, SCAT, DECY.
        comment: image comment.
        made_at: date and time of series and content; none are written where left out.
        overwrite: replace a file that is there.
        seed: the same seed and source give the same unique identifiers.

    Returns:
        The path.

    Raises:
        UsageError: the file exists; neither template nor pseudonym.
        UnitsError: a quantity that the kind does not hold.
        GeometryError: sheared axes, or a frame of reference that is not the template's.
        UnreadableInputError: the template is no DICOM object.

    """
    if not overwrite:
        refuse_existing([path])
    if volume.quantity not in _WELCOME[kind]:
        units = " or ".join(q.unit for q in _WELCOME[kind])
        raise UnitsError(f"a volume in {volume.quantity.unit} as {kind}", units, "convert it first")
    if template is None and not patient_id:
        raise UsageError("neither a template nor a patient_id", "one of them", "name the source object")
    header = None if template is None else read_header(template)
    if header is None:
        common = patient_and_study(patient_id, study_uid or made_uid(seed, patient_id, "study"))
    else:
        common = patient_and_study_of(header)
        common.StudyInstanceUID = study_uid or common.StudyInstanceUID
    title = description or ("mureg reconstruction" if kind == "EMISSION" else "mureg attenuation map")
    series = series_uid or made_uid(seed, str(common.StudyInstanceUID), kind, title)
    nm = new_dataset(NuclearMedicineImageStorage, made_uid(seed, series, "1"), common)
    nm.Modality, nm.BodyPartExamined = "NM", "HEART"
    nm.ImageType = ["DERIVED", "PRIMARY", "RECON TOMO", kind]
    nm.SeriesInstanceUID, nm.SeriesNumber, nm.InstanceNumber = series, series_number, 1
    nm.SeriesDescription = title
    nm.Manufacturer, nm.ManufacturerModelName = "mureg", "mureg"
    nm.SoftwareVersions = software_version()
    nm.FrameOfReferenceUID = _frame_of_reference(volume.grid, header, made_uid(seed, series, "frame"))
    nm.PositionReferenceIndicator = ""
    if comment:
        nm.ImageComments = comment
    if corrections:
        nm.CorrectedImage = list(corrections)
    nm.DerivationDescription = _derivation(volume, derivation)
    if derivation_codes:
        nm.DerivationCodeSequence = [code_item(value, "DCM", meaning) for value, meaning in derivation_codes]
    if made_at is not None:
        stamp(nm, made_at)
    references = source_items([*([] if template is None else [template]), *sources])
    if references:
        nm.SourceImageSequence = references
    nm.ContributingEquipmentSequence = equipment_items(header, title)
    _set_voxels(nm, volume)
    nm.CountsAccumulated = round(float(volume.values.sum())) if volume.quantity is Quantity.COUNTS else None
    _set_geometry(nm, volume.grid, header)
    _set_camera(nm, header)
    with writing(path) as scratch:
        nm.save_as(scratch, enforce_file_format=True)
    return path


def _set_voxels(nm: Dataset, volume: Volume) -> None:
    """16-bit frames [k, j, i] and the line that brings them back to the volume's unit."""
    values = volume.numpy().astype(np.float64).transpose(2, 1, 0)
    intercept = _nine_digits(min(0.0, float(values.min())))
    # a hair more than needed, so that rounding to nine digits cannot push the largest value out of range
    slope = _nine_digits((float(values.max()) - intercept) / _LARGEST_STORED * (1 + 1e-8)) or 1.0
    stored = np.clip(np.rint((values - intercept) / slope), 0, _LARGEST_STORED).astype(np.uint16)
    fill_pixels(nm, stored, signed=False)
    nm.RescaleSlope, nm.RescaleIntercept = f"{slope:.9g}", f"{intercept:.9g}"
    label, unit, meaning = _UNITS[volume.quantity]
    mapping = Dataset()
    mapping.LUTExplanation, mapping.LUTLabel = volume.quantity.unit, label
    mapping.MeasurementUnitsCodeSequence = [code_item(unit, "UCUM", meaning)]
    mapping.add_new(0x00409216, "US", 0)  # RealWorldValueFirstValueMapped
    mapping.add_new(0x00409211, "US", _LARGEST_STORED)  # RealWorldValueLastValueMapped
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, intercept
    nm.RealWorldValueMappingSequence = [mapping]


def _set_geometry(nm: Dataset, grid: Grid, header: Dataset | None) -> None:
    """Frames, their order, and where the first lies."""
    axes = grid.affine[:3, :3] / np.asarray(grid.spacing_mm)
    handedness = float(np.linalg.det(axes))
    if abs(abs(handedness) - 1.0) > 1e-4:
        raise GeometryError(
            "the grid of the volume is sheared", "three perpendicular axes", "resample it on an upright grid first"
        )
    nm.PixelSpacing = decimals([grid.spacing_mm[1], grid.spacing_mm[0]])
    nm.SliceThickness = decimal(grid.spacing_mm[2])
    nm.SpacingBetweenSlices = decimal(float(np.copysign(grid.spacing_mm[2], handedness)))
    nm.FrameIncrementPointer = [0x00540080]
    nm.SliceVector, nm.NumberOfSlices = list(range(1, grid.shape[2] + 1)), grid.shape[2]
    detector = Dataset()
    source = None if header is None else next(iter(items(header, "DetectorInformationSequence")), None)
    detector.CollimatorGridName = text(source, "CollimatorGridName")[:16]
    detector.CollimatorType, detector.FocalDistance = text(source, "CollimatorType") or "PARA", 0
    detector.ImagePositionPatient = decimals(grid.points((0, 0, 0)))
    detector.ImageOrientationPatient = decimals([*axes[:, 0], *axes[:, 1]])
    nm.NumberOfDetectors, nm.DetectorInformationSequence = 1, [detector]


def _set_camera(nm: Dataset, header: Dataset | None) -> None:
    """Energy window, nuclide, rotation and how the patient lay, as far as the template says."""
    nm.NumberOfEnergyWindows, nm.NumberOfRotations = 1, 1
    nm.EnergyWindowInformationSequence = nm.RadiopharmaceuticalInformationSequence = []
    nm.RotationInformationSequence = []
    set_patient_position(nm, "")
    if header is None:
        return
    for keyword in _FROM_SERIES:
        if text(header, keyword):
            setattr(nm, keyword, header[keyword].value)
    nm.EnergyWindowInformationSequence = taken_over(header, "EnergyWindowInformationSequence", _photopeak(header))
    nm.RadiopharmaceuticalInformationSequence = taken_over(header, "RadiopharmaceuticalInformationSequence")
    nm.RotationInformationSequence = taken_over(header, "RotationInformationSequence")
    for keyword in ("PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence"):
        setattr(nm, keyword, taken_over(header, keyword))


def _photopeak(header: Dataset) -> int:
    """Index of the photopeak window of a template, 0 where it cannot be told."""
    nuclide, lines_kev, _ = nuclide_and_lines(header)
    try:
        windows, _ = energy_windows(header, len(items(header, "EnergyWindowInformationSequence")), lines_kev[0])
        return photopeak_of(windows, nuclide, lines_kev)
    except MuregError:
        return 0


def _frame_of_reference(grid: Grid, header: Dataset | None, made: str) -> str:
    """That of the grid and the template, which must agree where both are known."""
    of_template = "" if header is None else text(header, "FrameOfReferenceUID")
    if grid.frame_of_reference and of_template and grid.frame_of_reference != of_template:
        raise GeometryError(
            "the volume lies in another frame of reference than the template",
            "one frame of reference",
            "resample the volume on the grid of the template's image first",
        )
    return grid.frame_of_reference or of_template or made


def _derivation(volume: Volume, derivation: str) -> str:
    """The derivation, what is unknown, and what it is not for; at most 1024 characters (ST)."""
    said = derivation.strip().rstrip(".")
    unknown = f"{100 * (1 - volume.known_share):.1f} % of the voxels are unknown and hold a filler"
    parts = [said, unknown if volume.known_share < 1 else "", f"Made by {software_version()}"]
    return ". ".join(part for part in parts if part)[:1024]


def _nine_digits(value: float) -> float:
    """The value as a decimal string of 16 characters can hold it."""
    return float(f"{value:.9g}")
