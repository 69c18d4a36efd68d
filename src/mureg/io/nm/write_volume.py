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
from mureg.io.dicom.access import items, text
from mureg.io.dicom.build import (
    code_item,
    decimal,
    decimals,
    made_uid,
    new_dataset,
    patient_and_study,
    stamp,
)
from mureg.io.dicom.template import (
    equipment_items,
    patient_and_study_of,
    read_header,
    software_version,
    source_items,
    taken_over,
)
from mureg.io.nm.build import set_patient_position
from mureg.io.nm.energy import energy_windows, nuclide_and_lines, photopeak_of
from mureg.io.nm.stored import StoredUnit, set_voxels

Kind = Literal["EMISSION", "TRANSMISSION"]

_WELCOME: dict[Kind, tuple[Quantity, ...]] = {
    "EMISSION": (Quantity.COUNTS, Quantity.ACTIVITY),
    "TRANSMISSION": (Quantity.MU_PER_CM,),
}
_FROM_SERIES = ("AcquisitionDate", "AcquisitionTime", "BodyPartExamined")


def write_nm_volume(
    volume: Volume,
    path: Path | str,
    *,
    kind: Kind,
    template: Path | str | None = None,
    sources: Sequence[Path | str] = (),
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
    stored_unit: StoredUnit | None = None,
) -> Path:
    """Write a volume as one NM Image Storage object of type RECON TOMO (PS3.3 A.5, C.8.4.15).

    Frame k holds the voxels (i, j, k): columns along i, rows along j. Position and orientation of frame 1 lie in
    DetectorInformationSequence; SpacingBetweenSlices is positive where the next frame lies along row x column and
    negative where it lies against it. Values are 16-bit whole numbers in a round unit (see `nm_stored`): maps in
    1e-5/cm, images in a power of ten. No rescale values are written; RealWorldValueMappingSequence and the derivation
    state the unit. Voxels about which nothing is known are written with their filler, and the derivation says how many
    they are.

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
        stored_unit: of the stored values; that of a map, or the one that fits this volume, where left out.

    Returns:
        The path.

    Raises:
        UsageError: the file exists; neither template nor pseudonym.
        UnitsError: a quantity that the kind does not hold.
        GeometryError: sheared axes, or a frame of reference that is not the template's.
        UnreadableInputError: the template is no DICOM object.

    """
    path = Path(path)
    template = None if template is None else Path(template)
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
    if derivation_codes:
        nm.DerivationCodeSequence = [code_item(value, "DCM", meaning) for value, meaning in derivation_codes]
    if made_at is not None:
        stamp(nm, made_at)
    references = source_items([*([] if template is None else [template]), *map(Path, sources)])
    if references:
        nm.SourceImageSequence = references
    nm.ContributingEquipmentSequence = equipment_items(header, title)
    stored = set_voxels(nm, volume, stored_unit or StoredUnit.holding(volume))
    nm.DerivationDescription = _derivation(volume, derivation, stored)
    nm.CountsAccumulated = round(float(volume.values.sum())) if volume.quantity is Quantity.COUNTS else None
    _set_geometry(nm, volume.grid, header)
    _set_camera(nm, header)
    with writing(path) as scratch:
        nm.save_as(scratch, enforce_file_format=True)
    return path


def _set_geometry(nm: Dataset, grid: Grid, header: Dataset | None) -> None:
    """Frames, their order, and where the first lies."""
    axes = grid.affine[:3, :3] / np.asarray(grid.spacing_mm)
    handedness = float(np.linalg.det(axes))
    # rounding of decimal strings
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
    """Index of the photopeak window of a template, 0 where the header does not say."""
    nuclide, lines_kev, _ = nuclide_and_lines(header)
    try:
        windows, _ = energy_windows(header, len(items(header, "EnergyWindowInformationSequence")), lines_kev[0])
        return photopeak_of(windows, nuclide, lines_kev)
    except MuregError:
        return 0


def _frame_of_reference(grid: Grid, header: Dataset | None, new_uid: str) -> str:
    """That of the grid and the template, which must agree where both are known."""
    of_template = "" if header is None else text(header, "FrameOfReferenceUID")
    if grid.frame_of_reference and of_template and grid.frame_of_reference != of_template:
        raise GeometryError(
            "the volume lies in another frame of reference than the template",
            "one frame of reference",
            "resample the volume on the grid of the template's image first",
        )
    return grid.frame_of_reference or of_template or new_uid


def _derivation(volume: Volume, derivation: str, stored: Sequence[str]) -> str:
    """The derivation, the meaning of stored values, what is unknown and the program; at most 1024 characters (ST)."""
    unknown = f"{100 * (1 - volume.known_share):.1f} % of the voxels are unknown and hold a filler"
    end = [*(sentence[0].upper() + sentence[1:] for sentence in stored), unknown if volume.known_share < 1 else ""]
    last = ". ".join(part for part in (*end, f"Made by {software_version()}") if part)
    # two characters for what joins them
    first = derivation.strip().rstrip(".")[: 1022 - len(last)]
    return f"{first}. {last}" if first else last
