"""Small DICOM objects for tests, written with plain pydicom from the standard (PS3.3), not with `mureg.io`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
NM_IMAGE = "1.2.840.10008.5.1.4.1.1.20"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
TC_WINDOWS = ((126.5, 154.5),)


def uid(*parts: object) -> str:
    """The same UID for the same parts."""
    return str(generate_uid(entropy_srcs=[str(p) for p in parts]))


def blank(sop_class: str, name: str) -> Dataset:
    """An object with file meta information and the patient and study everything here shares."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = uid(name)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid(name)
    ds.PatientName, ds.PatientID = "Secret^Name", "T1"
    ds.StudyInstanceUID = uid("study")
    ds.FrameOfReferenceUID = uid("frame")
    return ds


def set_pixels(ds: Dataset, stored: npt.NDArray[Any], *, signed: bool = False) -> None:
    """16-bit pixels [row, column] or [frame, row, column]."""
    if stored.ndim == 3:
        ds.NumberOfFrames = len(stored)
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, int(signed)
    ds.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    ds["PixelData"].VR = "OW"


def item(**elements: Any) -> Dataset:
    """A sequence item."""
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def coded(value: str, meaning: str, scheme: str = "SRT") -> Dataset:
    """An item of a code sequence."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def change(path: Path, **elements: Any) -> None:
    """Set elements of a file (None deletes them) and write it back."""
    import pydicom

    ds = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    ds.save_as(path)


def write_ct(
    folder: Path,
    hounsfield: npt.NDArray[Any],
    *,
    origin: Sequence[float] = (-10.0, -20.0, -30.0),
    spacing: Sequence[float] = (1.5, 2.0, 2.5),
    orientation: Sequence[float] = AXIAL,
    step: Sequence[float] | None = None,
    series: str = "ct",
    number: int = 3,
    description: str = "chest",
    order: Iterable[int] | None = None,
    position: str = "HFS",
) -> list[Path]:
    """A CT series of HU [slice, row, column]; spacing is (column, row, slice) in mm, `step` from slice to slice.

    `order` shuffles file names and instance numbers; the returned files are in the order of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    along = np.cross(row, column) * spacing[2] if step is None else np.asarray(step)
    names = list(order) if order is not None else list(range(len(hounsfield)))
    files = []
    for k, (name, plane) in enumerate(zip(names, hounsfield, strict=True)):
        ds = blank(CT_IMAGE, f"{series} {k}")
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SeriesInstanceUID, ds.SeriesNumber, ds.SeriesDescription = uid(series), number, description
        ds.InstanceNumber = name + 1
        ds.Manufacturer, ds.ManufacturerModelName, ds.KVP = "GE MEDICAL SYSTEMS", "Optima CT540", "120"
        ds.PatientPosition = position
        ds.ImagePositionPatient = [f"{v:.6g}" for v in np.asarray(origin) + k * along]
        ds.ImageOrientationPatient = [f"{v:.9g}" for v in orientation]
        ds.PixelSpacing = [spacing[1], spacing[0]]
        ds.SliceThickness = spacing[2]
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        set_pixels(ds, plane + 1024, signed=True)
        files.append(folder / f"{name:03d}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


def chest_like(shape: tuple[int, int, int] = (6, 8, 10)) -> npt.NDArray[np.int16]:
    """HU [slice, row, column]: air, a block of tissue, one voxel of 700 HU at slice 1, row 2, column 3."""
    values = np.full(shape, -1000, dtype=np.int16)
    values[:, 1:-1, 1:-1] = 40
    values[1, 2, 3] = 700
    return values


def view_directions(angle_deg: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """From the axis to the detector, and to the right of a viewer there with his head up (LPS).

    0 degrees is the patient's back (+y), 90 the left (+x), 180 the front; a viewer in front has the patient's left at
    his right hand.
    """
    t = math.radians(angle_deg)
    return np.array([math.sin(t), math.cos(t), 0.0]), np.array([-math.cos(t), math.sin(t), 0.0])


def project_point(
    point: Sequence[float],
    angles_deg: Iterable[float],
    *,
    axis: Sequence[float] = (0.0, 0.0, 0.0),
    shape: tuple[int, int] = (16, 12),
    pixel: float = 5.0,
    counts: int = 100,
) -> npt.NDArray[np.uint16]:
    """Frames [view, row, column] with all counts in the pixel nearest to where a point is seen, viewer's sense."""
    frames = []
    for angle in angles_deg:
        _, right = view_directions(angle)
        offset = np.asarray(point) - np.asarray(axis)
        frame = np.zeros(shape, dtype=np.uint16)
        frame[round((shape[0] - 1) / 2 - offset[2] / pixel), round((shape[1] - 1) / 2 + offset @ right / pixel)] = (
            counts
        )
        frames.append(frame)
    return np.stack(frames)


def detector(
    angle_deg: float | None,
    *,
    axis: Sequence[float] = (0.0, 0.0, 0.0),
    radius: float = 200.0,
    shape: tuple[int, int] = (16, 12),
    pixel: float = 5.0,
    mirrored: bool = False,
    feet_up: bool = False,
    turned_deg: float = 0.0,
    **elements: Any,
) -> Dataset:
    """A detector item; position and orientation of frame 1 as the standard defines them, none for angle None."""
    ds = item(CollimatorGridName="LEHR", CollimatorType="PARA", **elements)
    if angle_deg is not None:
        away, _ = view_directions(angle_deg)
        _, row = view_directions(angle_deg + turned_deg)
        row = -row if mirrored else row
        column = np.array([0.0, 0.0, 1.0 if feet_up else -1.0])
        middle = np.asarray(axis) + radius * away
        corner = middle - (shape[1] - 1) / 2 * pixel * row - (shape[0] - 1) / 2 * pixel * column
        ds.ImagePositionPatient = [f"{v:.6f}" for v in corner]
        ds.ImageOrientationPatient = [f"{v:.8f}" for v in (*row, *column)]
    return ds


def write_nm(
    path: Path,
    frames: npt.NDArray[Any],
    vectors: dict[str, Sequence[int]],
    *,
    kind: str = "TOMO",
    source: str = "EMISSION",
    windows: Sequence[Sequence[float]] = TC_WINDOWS,
    nuclide: str = "^99m^Technetium",
    detectors: Sequence[Dataset] = (),
    rotations: Sequence[Dataset] = (),
    pixel: float = 5.0,
    feet_first: bool = False,
    prone: bool = False,
    **elements: Any,
) -> Path:
    """An NM object; `vectors` by keyword in the order of FrameIncrementPointer."""
    from pydicom.datadict import tag_for_keyword

    ds = blank(NM_IMAGE, path.name)
    ds.Modality, ds.ImageType = "NM", ["ORIGINAL", "PRIMARY", kind, source]
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.SeriesDescription = uid("nm", path.name), 7, path.stem
    ds.PixelSpacing = [pixel, pixel]
    set_pixels(ds, frames)
    ds.FrameIncrementPointer = [tag_for_keyword(k) for k in vectors]
    for keyword, vector in vectors.items():
        setattr(ds, keyword, list(vector))
    ds.NumberOfEnergyWindows = len(windows)
    ds.EnergyWindowInformationSequence = [
        item(EnergyWindowRangeSequence=[item(EnergyWindowLowerLimit=low, EnergyWindowUpperLimit=high)])
        for low, high in windows
    ]
    codes = [item(CodeValue="X", CodingSchemeDesignator="T", CodeMeaning=nuclide)] if nuclide else []
    ds.RadiopharmaceuticalInformationSequence = [item(RadionuclideCodeSequence=codes)]
    ds.NumberOfDetectors, ds.DetectorInformationSequence = max(1, len(detectors)), list(detectors)
    ds.NumberOfRotations, ds.RotationInformationSequence = max(1, len(rotations)), list(rotations)
    entering, gantry = ("F-10480", "feet-first") if feet_first else ("F-10470", "headfirst")
    lying, modifier = ("F-10310", "prone") if prone else ("F-10340", "supine")
    recumbent = coded("F-10450", "recumbent")
    recumbent.PatientOrientationModifierCodeSequence = [coded(lying, modifier)]
    ds.PatientOrientationCodeSequence = [recumbent]
    ds.PatientGantryRelationshipCodeSequence = [coded(entering, gantry)]
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=True)
    return path


def rotation(start_deg: float | None, step_deg: float, n_views: int, *, sense: str = "CC", **elements: Any) -> Dataset:
    """A rotation item with a radius of 200 mm unless said otherwise."""
    ds = item(
        RotationDirection=sense, AngularStep=step_deg, NumberOfFramesInRotation=n_views, ActualFrameDuration=20000
    )
    ds.RadialPosition = 200.0
    if start_deg is not None:
        ds.StartAngle = start_deg
    for keyword, value in elements.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def tomo_vectors(n_views: int, *, windows: int = 1, detectors: int = 1) -> dict[str, list[int]]:
    """Vectors of a plain acquisition: windows outermost, then detectors, then views."""
    order = [(w, d, v) for w in range(windows) for d in range(detectors) for v in range(n_views)]
    return {
        "EnergyWindowVector": [w + 1 for w, _, _ in order],
        "DetectorVector": [d + 1 for _, d, _ in order],
        "RotationVector": [1] * len(order),
        "AngularViewVector": [v + 1 for _, _, v in order],
    }
