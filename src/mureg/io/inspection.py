"""Full description of a path: series, geometry, units, windows, angles and every guess, or why it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.errors import MuregError
from mureg.geometry import Grid, Volume
from mureg.io.dicom.access import number, reading
from mureg.io.dicom.archives import unpacked
from mureg.io.dicom.ct_frames import is_map_image
from mureg.io.dicom.ct_read import ct_candidates, read_ct_series
from mureg.io.dicom.derived import own_notes
from mureg.io.dicom.files import DicomSeries, is_localizer, kind_of, nothing_fits, search
from mureg.io.dicom.marks import corrected_notes
from mureg.io.input_paths import called, files_below, require_path
from mureg.io.maps import MapObjects, load_map
from mureg.io.nifti import Expected, is_nifti, read_nifti_with_notes
from mureg.io.nm.choose import is_transmission, load_nm, nm_kind, nm_objects
from mureg.spect.acquisition import Acquisition
from mureg.study import Ct


@dataclass(frozen=True, eq=False)
class InspectedImage:
    """One series, object or file.

    Attributes:
        kind: "projections", "reconstructed SPECT", "attenuation map", "CT" or what else it calls itself.
        name: series description or file name.
        uid: series or instance UID, "" for NIfTI.
        files: number of files.
        facts: what is in it, by name, in words and numbers that JSON can hold.
        notes: every guess made while reading.
        refusal: why it cannot be used, "" where it can.
        loaded: the object itself, for a picture; None where refused.
    """

    kind: str
    name: str
    uid: str
    files: int
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refusal: str = ""
    loaded: Acquisition | Volume | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything but the loaded object, ready for JSON."""
        shallow = {name: getattr(self, name) for name in ("kind", "name", "uid", "files", "facts", "refusal")}
        return {**shallow, "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class Inspection:
    """Everything found at a path, by its last name."""

    path: str
    found: tuple[InspectedImage, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, without the loaded objects."""
        return {"path": self.path, "found": [image.as_dict() for image in self.found]}


def inspect(path: Path | str) -> Inspection:
    """Describe every series and image at a path; a bad one is listed with its refusal, not raised.

    Raises `UnreadableInputError` only where the path does not exist or holds neither DICOM nor NIfTI.
    """
    with unpacked(Path(path)) as place:
        return _inspected(place)


def _inspected(path: Path) -> Inspection:
    require_path(path)
    niftis = [file for file in files_below(path) if is_nifti(file)]
    listed = search(path)
    series = listed.series
    with reading(called(path)):
        ct_series, n_localizers = ct_candidates(series)
        objects = nm_objects(series)
    map_paths = {path for entry in (*ct_series, *objects) for f in entry.files for path in f.paths}
    images = [_ct(entry, n_localizers if len(ct_series) == 1 else 0) for entry in ct_series]
    images += [_nm(entry) for entry in objects]
    other_series = [entry for entry in series if not any(f.path in map_paths for f in entry.files)]
    images += [
        (_map_as_ct(entry) if is_map_image(entry.files[0].header) else None) or _other(entry) for entry in other_series
    ]
    images += [_nifti(file) for file in niftis]
    images += [_damaged(name) for name in listed.damaged if series or niftis]
    if not images:
        raise nothing_fits(path, listed, "", "a SPECT, CT or map, DICOM or NIfTI", "check the path")
    return Inspection(called(path), tuple(images))


def grid_facts(grid: Grid) -> dict[str, Any]:
    """Matrix, spacing, extent, centre and orientation of a grid, in words and rounded numbers."""
    return {
        "matrix": list(grid.shape),
        "spacing_mm": _rounded(grid.spacing_mm),
        "extent_mm": _rounded(grid.extent_mm),
        "centre_mm": _rounded(grid.centre_mm),
        "orientation": orientation_in_words(grid),
    }


def orientation_in_words(grid: Grid) -> str:
    """Where the indices run, such as "i to left, j to back, k to head", with the angle where they run obliquely."""
    words = (("right", "left"), ("front", "back"), ("feet", "head"))
    parts = []
    for name, column in zip("ijk", (grid.affine[:3, :3] / np.asarray(grid.spacing_mm)).T, strict=True):
        axis = int(np.abs(column).argmax())
        off_deg = float(np.degrees(np.arccos(min(1.0, abs(column[axis])))))
        parts.append(
            f"{name} to {words[axis][int(column[axis] > 0)]}" + (f" (off by {off_deg:.0f} deg)" if off_deg > 1 else "")
        )
    return ", ".join(parts)


def acquisition_facts(acquisition: Acquisition) -> dict[str, Any]:
    """Geometry, energy windows, orbit and counts of projections."""
    angles = acquisition.angles_deg
    steps = np.diff(angles)
    rows, columns = acquisition.counts.shape[2:]
    return {
        "views": acquisition.n_views,
        "matrix": [columns, rows],
        "pixel_mm": _rounded(acquisition.pixel_mm[::-1]),
        "centre_mm": _rounded(acquisition.centre_mm),
        "orientation": "rows from head to feet, columns to the right of a viewer at the detector",
        "nuclide": acquisition.nuclide,
        "energy_windows": [
            {"kev": [w.lower_kev, w.upper_kev], "name": w.name, "photopeak": k == acquisition.photopeak}
            for k, w in enumerate(acquisition.windows)
        ],
        "angles_deg": {
            "first": round(float(angles[0]), 3),
            "last": round(float(angles[-1]), 3),
            "step": round(float(np.median(np.abs(steps))), 3) if len(steps) else 0.0,
            "arc": round(acquisition.arc_deg, 1),
            "direction": "counter-clockwise (CC)" if len(steps) and np.median(steps) > 0 else "clockwise (CW)",
        },
        "radius_mm": _range(acquisition.radii_mm),
        "seconds_per_view": acquisition.seconds_per_view,
        "view_weights": _range(acquisition.view_weights),
        "centre_of_rotation_offset_mm": _range(acquisition.column_offsets_mm),
        "counts": round(float(acquisition.photopeak_counts.sum())),
        "counts_by_window": [round(float(window.sum())) for window in acquisition.counts],
        "collimator": acquisition.collimator,
        "patient_position": acquisition.patient_position,
    }


def volume_facts(volume: Volume) -> dict[str, Any]:
    """Grid, unit and range of a volume."""
    return {
        **grid_facts(volume.grid),
        "unit": volume.quantity.unit,
        "range": [float(f"{float(v):.5g}") for v in (volume.values.min(), volume.values.max())],
        "known_share": round(volume.known_share, 4),
    }


def _ct(series: DicomSeries, n_localizers: int) -> InspectedImage:
    dropped = () if n_localizers == 0 else (f"{n_localizers} localizer image(s) left out of the CT",)
    base = ("CT", series.description, series.uid, len(series.files))
    try:
        with reading("the CT series"):
            own = own_notes(series.files[0].header, "the CT")
        ct: Ct = read_ct_series(series, (*dropped, *own)).with_scale_checked()
    except MuregError as refusal:
        return _map_as_ct(series) or InspectedImage(*base, notes=dropped, refusal=str(refusal))
    scanner = {"kvp": ct.kvp, "manufacturer": ct.manufacturer, "model": ct.model}
    return InspectedImage(
        *base, {"slices": ct.volume.grid.shape[2], **volume_facts(ct.volume), **scanner}, ct.notes, loaded=ct.volume
    )


def _map_as_ct(series: DicomSeries) -> InspectedImage | None:
    """An attenuation map that is stored as CT images, None where the values are none."""
    try:
        volume, notes = load_map(MapObjects(series.files, series))
    except MuregError:
        return None
    facts = {"slices": volume.grid.shape[2], **volume_facts(volume)}
    return InspectedImage(
        "attenuation map", series.description, series.uid, len(series.files), facts, notes, loaded=volume
    )


def _nm(nm_object: DicomSeries) -> InspectedImage:
    header = nm_object.files[0].header
    kind = nm_kind(header)
    name, n_files = nm_object.description or nm_object.files[0].path.name, len(nm_object.files[0].paths)
    word = "attenuation map" if is_transmission(header) else "reconstructed SPECT" if "RECON" in kind else "projections"
    if "TOMO" not in kind:
        word = f"nuclear medicine object of type {kind or 'unknown'}"
    frames: dict[str, Any] = {"type": kind}
    try:
        with reading(name):
            frames = {"frames": int(number(header, "NumberOfFrames") or 0), "type": kind}
            marks = (*own_notes(header, "the object"), *corrected_notes(header, allowed=True))
        loaded, notes = load_nm(nm_object.files[0])
        notes = (*marks, *notes)
    except MuregError as refusal:
        return InspectedImage(word, name, nm_object.uid, n_files, frames, refusal=str(refusal))
    if isinstance(loaded, Acquisition):
        return InspectedImage(
            word, name, nm_object.uid, n_files, {**frames, **acquisition_facts(loaded)}, notes, loaded=loaded
        )
    return InspectedImage(word, name, nm_object.uid, n_files, {**frames, **volume_facts(loaded)}, notes, loaded=loaded)


def _other(series: DicomSeries) -> InspectedImage:
    localizers = all(is_localizer(f.header) for f in series.files)
    kind = "CT localizer" if localizers else _objects(series)
    return InspectedImage(kind, series.description, series.uid, len(series.files), refusal=f"{kind} are not used")


def _objects(series: DicomSeries) -> str:
    kind = kind_of(series)
    return kind if " " in kind else f"{kind} objects"


def _damaged(name: str) -> InspectedImage:
    refusal = "a damaged DICOM object; expected a header that can be read; export it again."
    return InspectedImage("damaged DICOM file", name, "", 1, refusal=refusal)


def _nifti(file: Path) -> InspectedImage:
    """A NIfTI file by the first meaning its values allow: CT, attenuation map, SPECT."""
    refusal = ""
    kinds: tuple[tuple[Expected, str], ...] = (("ct", "CT"), ("mu", "attenuation map"), ("spect", "SPECT volume"))
    for expected, kind in kinds:
        try:
            volume, notes = read_nifti_with_notes(file, expected)
            if expected == "ct":
                notes = Ct(volume, notes=notes).with_scale_checked().notes
        except MuregError as error:
            refusal = str(error)
            continue
        guess = f"taken for a {kind} by its values"
        return InspectedImage(kind, file.name, "", 1, volume_facts(volume), (*notes, guess), loaded=volume)
    return InspectedImage("NIfTI image", file.name, "", 1, refusal=refusal)


def _range(values: npt.NDArray[np.float64] | None) -> list[float] | None:
    """The smallest and the largest value, None where there are none."""
    return None if values is None else [round(float(v), 4) + 0.0 for v in (values.min(), values.max())]


def _rounded(values: tuple[float, ...]) -> list[float]:
    return [round(float(v), 3) + 0.0 for v in values]
