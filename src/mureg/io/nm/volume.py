"""Reconstructed nuclear medicine volumes: counts, or an attenuation map from a transmission scan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import GeometryError, UnitsError, UnreadableInputError
from mureg.geometry import Grid, Quantity, Volume
from mureg.io.dicom.access import items, number, numbers, pixel_spacing_mm, text
from mureg.io.dicom.slice_line import SAME_DISTANCE
from mureg.io.nm.frames import frame_labels, summed_frames
from mureg.io.units import mu_per_cm

_INVERSE_SCALE = (0x0033, 0x1038)
"""Private tag of Siemens, see `_private_inverse_scale`."""
_PER_CM = ("cm-1", "/cm", "1/cm")

Notes = tuple[str, ...]


def nm_volume(dataset: Dataset, name: str, *, as_map: bool) -> tuple[Volume, Notes]:
    """A reconstruction: slices by SliceVector, stacked by the sign of SpacingBetweenSlices (C.8.4.15).

    Row direction, column direction and their cross product, which points away from the viewer, span the volume; a
    positive spacing stacks the slices behind the first, a negative one in front of it.
    """
    labels = frame_labels(dataset, "SliceVector")
    other_axes = [a for a in ("energy window", "detector", "rotation", "view") if a in labels and np.ptp(labels[a]) > 0]
    if other_axes:
        raise UnreadableInputError(
            f"the reconstruction holds several volumes (by {other_axes[0]})", "one volume", "export them one by one"
        )
    frames, notes = summed_frames(dataset, labels, ("slice",), name)
    numbers_found = sorted(key[0] for key in frames)
    absent = sorted(set(range(1, numbers_found[-1] + 1)) - set(numbers_found))
    if absent:
        raise UnreadableInputError(f"slice {absent[0]} is missing", "every slice", "export the complete volume")
    affine = _volume_affine(dataset)
    notes = (*notes, *_thickness_notes(dataset))
    values = np.stack([frames[(k,)].T for k in numbers_found], axis=2)
    grid = Grid((values.shape[0], values.shape[1], values.shape[2]), affine, text(dataset, "FrameOfReferenceUID"))
    if as_map:
        inverse_scale = _private_inverse_scale(dataset)
        if inverse_scale is not None:
            values = values / inverse_scale
            notes = (*notes, f"attenuation map divided by its private inverse scale {inverse_scale:g}")
        converted, note = mu_per_cm(values)
        if note and _stated_per_cm(dataset):
            raise UnitsError(
                "an attenuation map whose header says 1/cm and whose tissue says otherwise: " + note,
                "soft tissue near 0.15 1/cm",
                "check the unit of the map",
            )
        return Volume.from_numpy(converted, grid, Quantity.MU_PER_CM), (*notes, *([note] if note else []))
    if values.min() < 0:
        notes = (*notes, f"negative counts (down to {values.min():.3g}) set to 0")
    return Volume.from_numpy(np.clip(values, 0.0, None), grid, Quantity.COUNTS), notes


def _volume_affine(dataset: Dataset) -> npt.NDArray[np.float64]:
    """Voxel-to-patient matrix from position and orientation of frame 1 and the signed spacing."""
    place = next((i for i in items(dataset, "DetectorInformationSequence") if "ImagePositionPatient" in i), dataset)
    position, directions = numbers(place, "ImagePositionPatient", 3), numbers(place, "ImageOrientationPatient", 6)
    if position is None or directions is None:
        what = "ImagePositionPatient" if position is None else "ImageOrientationPatient"
        raise GeometryError(
            f"{what} of the reconstruction is missing", "where frame 1 lies", "export with full headers"
        )
    spacing_mm = number(dataset, "SpacingBetweenSlices")
    if not spacing_mm:
        raise GeometryError(
            "SpacingBetweenSlices is missing",
            "a signed distance between slices (SliceThickness does not define it)",
            "export with full headers, or convert to NIfTI where the stacking is known",
        )
    row_mm, column_mm = pixel_spacing_mm(dataset)
    row, column = np.asarray(directions[:3]), np.asarray(directions[3:])
    # cosines written with two decimals; the square of a length departs twice as much
    if abs(row @ column) > 1e-2 or np.abs([row @ row - 1, column @ column - 1]).max() > 2e-2:
        raise GeometryError(
            f"row and column directions {[round(d, 4) for d in directions]}",
            "perpendicular unit vectors",
            "export again",
        )
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 3] = row * column_mm, column * row_mm, position
    affine[:3, 2] = np.cross(row, column) * spacing_mm
    return affine


def _thickness_notes(dataset: Dataset) -> Notes:
    """Compare the distance between slices, which alone says where they lie, with their thickness.

    Slices of a reconstruction touch, and its voxels are mostly cubic. Raises `GeometryError` where the thickness is
    that of the pixels and the distance is not: then the distance is probably wrong, or slices are missing.
    """
    spacing_mm, thickness_mm = abs(number(dataset, "SpacingBetweenSlices") or 0.0), number(dataset, "SliceThickness")
    if not thickness_mm or abs(spacing_mm - thickness_mm) <= SAME_DISTANCE * spacing_mm:
        return ()
    sentence = f"SpacingBetweenSlices is {spacing_mm:.4g} mm and SliceThickness {thickness_mm:.4g} mm"
    pixel_mm = pixel_spacing_mm(dataset)[0]
    if abs(thickness_mm - pixel_mm) <= SAME_DISTANCE * pixel_mm:
        raise GeometryError(
            f"{sentence}, and the pixels of {pixel_mm:.4g} mm side with the thickness",
            "slices as thick as they lie apart",
            "export the complete volume, or correct the one that is wrong",
        )
    cubic = abs(spacing_mm - pixel_mm) <= SAME_DISTANCE * pixel_mm
    why = f"as the pixels of {pixel_mm:.4g} mm agree with it" if cubic else "which alone says where slices lie"
    return (f"{sentence}; the spacing is used, {why}",)


def _stated_per_cm(dataset: Dataset) -> bool:
    """Whether the real-world values are stated to be in 1/cm (UCUM)."""
    codes = [
        text(code, "CodeValue")
        for mapping in items(dataset, "RealWorldValueMappingSequence")
        for code in items(mapping, "MeasurementUnitsCodeSequence")
    ]
    return any(code in _PER_CM for code in codes)


def _private_inverse_scale(dataset: Dataset) -> float | None:
    """Siemens' private (0033,1038): stored values divided by it are in 1/cm."""
    element = dataset.get(_INVERSE_SCALE)
    if element is None:
        return None
    raw = element.value.decode("ascii", "ignore") if isinstance(element.value, bytes) else element.value
    try:
        scale = float(str(raw).strip("\x00 "))
    except ValueError:
        return None
    return scale if scale > 0 and np.isfinite(scale) else None
