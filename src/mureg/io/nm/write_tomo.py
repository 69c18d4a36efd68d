"""Writing projections as an NM Image Storage object, byte for byte the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from mureg.errors import GeometryError, UnitsError
from mureg.files.atomic import refuse_existing, writing
from mureg.io.dicom.build import decimal, decimals, fill_pixels, made_uid, new_dataset, patient_and_study
from mureg.io.dicom.template import source_items
from mureg.io.nm.build import energy_window, radiopharmaceutical, set_patient_position
from mureg.io.nm.pose import ROUNDED_DEG, away_from_axis, viewers_right
from mureg.spect.acquisition import Acquisition

Array = npt.NDArray[np.float64]


def write_nm_tomo(
    acquisition: Acquisition,
    path: Path | str,
    *,
    patient_id: str,
    study_uid: str | None = None,
    series_uid: str | None = None,
    description: str = "TOMO",
    comment: str = "",
    manufacturer: str = "mureg",
    model: str = "",
    feet_first: bool = False,
    n_detectors: int = 1,
    sources: Sequence[Path | str] = (),
    overwrite: bool = False,
    seed: str = "mureg",
) -> Path:
    """Write projections as one NM Image Storage object of type TOMO (PS3.3 A.5, C.8.4).

    Position and orientation of frame 1 are written as the standard defines them: the patient coordinates of the first
    pixel's centre on the detector plane. How the patient lay changes the codes only, for every position is in patient
    coordinates. Without `view_weights` the object says that its counts are corrected for decay (DECY), so that a reader
    does not expect later views to count less; with them the counts are as measured, and the weights themselves, which
    follow from the durations, are not written.

    Args:
        acquisition: whole counts of at most 65535, views of known radius, equally spaced for each detector.
        path: the file; it appears whole or not at all.
        patient_id: a pseudonym, also used as the patient's name.
        study_uid: made from `seed` where left out.
        series_uid: made from `seed` where left out.
        description: series description.
        comment: image comment, the place for an attribution.
        manufacturer: maker of the camera.
        model: of the camera.
        feet_first: whether the patient entered the gantry feet first, where `patient_position` does not say.
        n_detectors: the views are those of so many detectors that counted at the same time, one after the other.
        sources: files or folders with the objects that these projections were made of.
        overwrite: replace a file that is there.
        seed: the same seed and patient give the same unique identifiers.

    Returns:
        The path.

    Raises:
        GeometryError: views not equally spaced, radius unknown, centre-of-rotation offsets that vary.
        UnitsError: counts that are not whole or too large.
        UsageError: the file exists.

    """
    path = Path(path)
    if not overwrite:
        refuse_existing([path])
    counts = _stored_counts(acquisition)
    if acquisition.radii_mm is None:
        raise GeometryError("no detector radius", "the radius of each view", "give the acquisition its radii_mm")
    n_windows, n_views = counts.shape[:2]
    angles = _by_detector(acquisition.angles_deg, n_detectors)
    step_deg = _angular_step(angles)
    common = patient_and_study(patient_id, study_uid or made_uid(seed, patient_id, "study"))
    series = series_uid or made_uid(seed, patient_id, "nm series", description)
    nm = new_dataset(NuclearMedicineImageStorage, made_uid(seed, patient_id, series, "1"), common)
    nm.Modality, nm.BodyPartExamined = "NM", "HEART"
    nm.ImageType = ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    nm.SeriesInstanceUID, nm.SeriesNumber, nm.InstanceNumber = series, 1, 1
    nm.SeriesDescription = description
    nm.Manufacturer, nm.ManufacturerModelName = manufacturer, model
    nm.FrameOfReferenceUID = acquisition.frame_of_reference or made_uid(seed, patient_id, "frame")
    nm.PositionReferenceIndicator = ""
    if comment:
        nm.ImageComments = comment
    if sources:
        nm.SourceImageSequence = source_items(map(Path, sources))
    if acquisition.view_weights is None:
        nm.CorrectedImage = "DECY"
    nm.CountsAccumulated = int(counts.sum())
    nm.PixelSpacing = decimals(acquisition.pixel_mm)
    fill_pixels(nm, counts.reshape(-1, *counts.shape[2:]), signed=False)
    nm.FrameIncrementPointer = [0x00540010, 0x00540020, 0x00540050, 0x00540090]
    nm.EnergyWindowVector = np.repeat(np.arange(1, n_windows + 1), n_views).tolist()
    nm.DetectorVector = np.tile(np.repeat(np.arange(1, n_detectors + 1), angles.shape[1]), n_windows).tolist()
    nm.RotationVector = [1] * (n_windows * n_views)
    nm.AngularViewVector = np.tile(np.arange(1, angles.shape[1] + 1), n_windows * n_detectors).tolist()
    nm.NumberOfEnergyWindows, nm.NumberOfDetectors, nm.NumberOfRotations = n_windows, n_detectors, 1
    nm.EnergyWindowInformationSequence = [energy_window(w.lower_kev, w.upper_kev, w.name) for w in acquisition.windows]
    nm.RadiopharmaceuticalInformationSequence = [radiopharmaceutical(acquisition.nuclide)]
    nm.DetectorInformationSequence = [_detector(acquisition, d, n_detectors) for d in range(n_detectors)]
    nm.RotationInformationSequence = [_rotation(acquisition, angles, step_deg)]
    nm.TypeOfDetectorMotion = "STEP AND SHOOT"
    set_patient_position(nm, acquisition.patient_position or ("FFS" if feet_first else "HFS"))
    with writing(path) as scratch:
        nm.save_as(scratch, enforce_file_format=True)
    return path


def _stored_counts(acquisition: Acquisition) -> npt.NDArray[np.uint16]:
    counts = acquisition.counts
    whole = np.rint(counts)
    # rounding of single precision; 16 bits hold 65535
    if np.abs(counts - whole).max() > 1e-3 or whole.max() > 65535:
        raise UnitsError(
            f"counts that are not whole or exceed 65535 (largest {float(counts.max()):.6g})",
            "what a camera counts",
            "draw Poisson counts before writing",
        )
    stored: npt.NDArray[np.uint16] = whole.astype(np.uint16)
    return stored


def _by_detector(per_view: Array, n_detectors: int) -> Array:
    """Values [view] as [detector, view], or a refusal where they cannot be shared out."""
    if n_detectors < 1 or len(per_view) % n_detectors:
        raise GeometryError(
            f"{len(per_view)} views of {n_detectors} detectors",
            "as many views for each detector",
            "give another n_detectors",
        )
    return np.asarray(per_view, dtype=np.float64).reshape(n_detectors, -1)


def _angular_step(angles_deg: Array) -> float:
    """The signed step between views of [detector, view], or a refusal where it varies."""
    if angles_deg.shape[1] == 1:
        return 0.0
    steps = (np.diff(angles_deg, axis=1) + 180.0) % 360.0 - 180.0
    if np.ptp(steps) > ROUNDED_DEG or abs(steps[0, 0]) < ROUNDED_DEG:
        raise GeometryError(
            f"angular steps from {steps.min():.3f} to {steps.max():.3f} degrees",
            "equally spaced views in the order of the rotation",
            "write each detector's views as an acquisition of its own, or state n_detectors",
        )
    return float(steps.mean())


def _detector(acquisition: Acquisition, detector: int, n_detectors: int) -> Dataset:
    """Where frame 1 lies: the centre of its first pixel, and the directions along a row and down a column."""
    rows, columns = acquisition.counts.shape[2:]
    row_mm, column_mm = acquisition.pixel_mm
    start_deg = float(_by_detector(acquisition.angles_deg, n_detectors)[detector, 0])
    assert acquisition.radii_mm is not None
    radii = _by_detector(acquisition.radii_mm, n_detectors)[detector]
    offset_mm = _offset_mm(acquisition, detector, n_detectors)
    along_row, down_column = viewers_right(start_deg), np.array([0.0, 0.0, -1.0])
    on_detector = np.asarray(acquisition.centre_mm) + float(radii[0]) * away_from_axis(start_deg)
    middle = on_detector - offset_mm * along_row
    corner = middle - (columns - 1) / 2 * column_mm * along_row - (rows - 1) / 2 * row_mm * down_column
    item = Dataset()
    item.CollimatorGridName, item.CollimatorType = acquisition.collimator[:16], "PARA"  # SH: 16 characters (PS3.5 6.2)
    item.FocalDistance, item.GantryDetectorTilt = 0, "0"
    if offset_mm:
        item.CenterOfRotationOffset = decimal(offset_mm)
    if n_detectors > 1:
        item.StartAngle, item.RadialPosition = decimal(start_deg), _radial(radii)
    item.ImagePositionPatient = decimals(corner)
    item.ImageOrientationPatient = decimals([*along_row, *down_column])
    return item


def _rotation(acquisition: Acquisition, angles_deg: Array, step_deg: float) -> Dataset:
    assert acquisition.radii_mm is not None
    n_detectors, n_views = angles_deg.shape
    item = Dataset()
    item.StartAngle = decimal(float(angles_deg[0, 0]))
    item.RotationDirection = "CC" if step_deg >= 0 else "CW"
    item.AngularStep, item.ScanArc = decimal(abs(step_deg)), decimal(abs(step_deg) * n_views)
    if n_detectors == 1:
        item.RadialPosition = _radial(np.asarray(acquisition.radii_mm, dtype=np.float64))
    if acquisition.seconds_per_view > 0:
        item.ActualFrameDuration = round(acquisition.seconds_per_view * 1000)
    item.NumberOfFramesInRotation = n_views
    return item


def _radial(radii_mm: Array) -> str | list[str] | None:
    return decimal(float(radii_mm[0])) if np.ptp(radii_mm) == 0 else decimals(radii_mm)


def _offset_mm(acquisition: Acquisition, detector: int, n_detectors: int) -> float:
    """The centre-of-rotation offset of a detector, or a refusal where it varies from view to view."""
    if acquisition.column_offsets_mm is None:
        return 0.0
    offsets = _by_detector(acquisition.column_offsets_mm, n_detectors)[detector]
    # mm, rounding
    if np.ptp(offsets) > 1e-6:
        raise GeometryError(
            f"centre-of-rotation offsets from {offsets.min():g} to {offsets.max():g} mm",
            "one for each detector",
            "shift the frames of the views first",
        )
    return float(offsets[0])
