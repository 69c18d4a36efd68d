"""Projections of a rotating camera as an `Acquisition`, whatever its heads, rotations and gates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import items, number, pixel_spacing_mm, text
from mureg.io.dicom.pixels import PIXELS, decoded_pixels
from mureg.io.nm.collimator import collimator_name, require_no_zoom_offset, require_parallel
from mureg.io.nm.energy import energy_windows, nuclide_and_lines, photopeak_of
from mureg.io.nm.frames import Frames, frame_labels, frames_by_gate
from mureg.io.nm.orbit import angles_deg, column_offset_mm, detector_item, radii_mm, rotation_item
from mureg.io.nm.pose import PatientPose, axis_of_rotation, detector_pose, implied_angle_deg, viewers_right
from mureg.io.nm.rotations import windows_not_rotations
from mureg.io.nm.sides import agreed_side, stated_angle_deg
from mureg.io.nm.time import seconds_per_view, view_weights
from mureg.io.nm.views import Pass, counted_views, passes_of, repeated_angles
from mureg.notes import Note, Rank
from mureg.spect.acquisition import Acquisition

_STATIONARY = ("530C", "570C", "STARGUIDE", "D-SPECT", "DSPECT")
_AXES = ("energy window", "detector", "rotation", "view")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DetectorOrbit:
    """Where and when the views of all passes were taken, pass after pass.

    Attributes:
        angles_deg, offsets_mm: [view], as in `Acquisition`.
        radii_mm, weights: [view], None where unknown or all alike.
        poses: of each detector.
        centre_mm: axis of rotation and middle of the rows.
        notes: every guess.
    """

    angles_deg: Array
    offsets_mm: Array
    radii_mm: Array | None
    weights: Array | None
    poses: dict[int, PatientPose]
    centre_mm: tuple[float, float, float]
    notes: tuple[str, ...]


def summed_projections(dataset: Dataset, name: str) -> Acquisition:
    """Read projections, gates summed; see `mureg.io.nm.choose.read_nm` for what is refused."""
    acquisitions = _projections(dataset, name)
    if len(acquisitions) == 1:
        return acquisitions[0]
    counts = np.sum([acquisition.counts for acquisition in acquisitions], axis=0)
    return replace(
        acquisitions[0],
        counts=counts,
        notes=(Note(f"{len(acquisitions)} gates summed", Rank.RECORD), *acquisitions[0].notes),
    )


def gated_projections(dataset: Dataset, name: str) -> tuple[Acquisition, ...]:
    """Read each gate of a gated study as an acquisition of its own, R-R intervals outermost.

    The gates share the time of a view, so the seconds stated are those of all gates together.
    Raises `UnreadableInputError` where the study is not gated.
    """
    acquisitions = _projections(dataset, name)
    if len(acquisitions) == 1:
        raise UnreadableInputError(f"{name} is not gated", "GATED TOMO with several gates", "read it as projections")
    n = len(acquisitions)
    return tuple(
        replace(acquisition, notes=(f"gate {k} of {n}; the gates share the time of each view", *acquisition.notes))
        for k, acquisition in enumerate(acquisitions, start=1)
    )


def patient_position(dataset: Dataset) -> str:
    """HFS, FFS, HFP or FFP from the code sequences, else PatientPosition, "" where unknown."""
    entering = " ".join(text(c, "CodeMeaning").lower() for c in items(dataset, "PatientGantryRelationshipCodeSequence"))
    lying = " ".join(
        text(m, "CodeMeaning").lower()
        for c in items(dataset, "PatientOrientationCodeSequence")
        for m in items(c, "PatientOrientationModifierCodeSequence")
    )
    first = "HF" if "head" in entering else "FF" if "feet" in entering else ""
    second = "S" if "supine" in lying else "P" if "prone" in lying else ""
    return first + second if first and second else text(dataset, "PatientPosition")


def _projections(dataset: Dataset, name: str) -> tuple[Acquisition, ...]:
    """One acquisition for each gate, one where the study is not gated; all on the same orbit."""
    _require_rotating_parallel(dataset)
    labels, label_notes = windows_not_rotations(dataset, frame_labels(dataset, "AngularViewVector"))
    by_gate = frames_by_gate(dataset, labels, _AXES, name)
    keys = set(next(iter(by_gate.values())))
    n_windows = max(key[0] for key in keys)
    passes, view_notes = passes_of(dataset, keys, n_windows)
    nuclide, lines_kev, nuclide_notes = nuclide_and_lines(dataset)
    windows, window_notes = energy_windows(dataset, n_windows, lines_kev[0])
    shape, pixel_mm = (int(dataset.Rows), int(dataset.Columns)), pixel_spacing_mm(dataset)
    orbit = _orbit(dataset, passes, shape, pixel_mm, nuclide)
    gates = [_stacked(frames, passes, orbit.poses, n_windows) for frames in by_gate.values()]
    sums = np.sum([counts.sum((0, 2, 3), dtype=np.float64) for counts in gates], axis=0)
    used, empty_notes = counted_views(
        passes, np.split(sums, np.cumsum([len(one_pass.views) for one_pass in passes])[:-1])
    )
    use = np.concatenate(used)
    notes = (*label_notes, *nuclide_notes, *window_notes, *view_notes, *empty_notes, *orbit.notes)
    weights = None if orbit.weights is None else orbit.weights[use]
    first = Acquisition(
        counts=gates[0].compress(use, 1),
        windows=windows,
        photopeak=photopeak_of(windows, nuclide, lines_kev),
        angles_deg=orbit.angles_deg[use],
        pixel_mm=pixel_mm,
        centre_mm=orbit.centre_mm,
        radii_mm=None if orbit.radii_mm is None else orbit.radii_mm[use],
        view_weights=None if weights is None else weights / weights[0],
        column_offsets_mm=orbit.offsets_mm[use] if orbit.offsets_mm.any() else None,
        seconds_per_view=seconds_per_view(dataset, passes[0]),
        collimator=collimator_name(dataset),
        manufacturer=text(dataset, "Manufacturer"),
        nuclide=nuclide,
        patient_position=patient_position(dataset),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        notes=tuple(dict.fromkeys(notes)),
    )
    return (first, *(replace(first, counts=counts.compress(use, 1)) for counts in gates[1:]))


def _orbit(
    dataset: Dataset, passes: list[Pass], shape: tuple[int, int], pixel_mm: tuple[float, float], nuclide: str
) -> DetectorOrbit:
    """Where and when every view was taken, and which way the frames of each detector lie."""
    n_detectors = len({one_pass.detector for one_pass in passes})
    implied = {one_pass.detector: implied_angle_deg(detector_item(dataset, one_pass.detector)) for one_pass in passes}
    implied_angles = {detector: angle for detector, angle in implied.items() if angle is not None}
    angles, radii, offsets, notes = [], [], [], []
    poses: dict[int, PatientPose] = {}
    offset_of: dict[int, float] = {}
    shift_of: dict[int, float] = {}
    first_frames = []
    for one_pass in passes:
        angle, angle_notes = angles_deg(dataset, one_pass, implied_angles)
        radius, radius_notes = radii_mm(dataset, one_pass, n_detectors)
        if one_pass.detector not in poses:
            item = detector_item(dataset, one_pass.detector)
            stated_deg = stated_angle_deg(one_pass, angle, implied_angles.get(one_pass.detector))
            start_mm = None if radius is None else float(radius[0])
            agreed = agreed_side(
                dataset, item, one_pass.detector, stated_deg, shape=shape, pixel_mm=pixel_mm, radius_mm=start_mm
            )
            item, shift_of[one_pass.detector] = agreed.item, agreed.angle_deg - stated_deg
            start_deg = float(angle[0]) + shift_of[one_pass.detector]
            pose, pose_notes = detector_pose(item, start_deg, shape, pixel_mm)
            stored_mm, offset_notes = column_offset_mm(dataset, one_pass.detector)
            offset_mm = -stored_mm if pose.flip_columns else stored_mm
            poses[one_pass.detector], offset_of[one_pass.detector] = pose, offset_mm
            middle_mm = None if pose.middle_mm is None else pose.middle_mm + offset_mm * viewers_right(start_deg)
            first_frames.append((replace(pose, middle_mm=middle_mm), start_deg, start_mm))
            notes += [*agreed.notes, *pose_notes, *offset_notes]
        angles.append(angle + shift_of[one_pass.detector])
        radii.append(radius)
        offsets.append(np.full(len(one_pass.views), offset_of[one_pass.detector]))
        notes += [*angle_notes, *radius_notes]
    centre_mm, centre_notes = axis_of_rotation(dataset, first_frames, shape[1], pixel_mm[1])
    weights, time_notes = view_weights(dataset, passes, nuclide)
    known_radii = [radius for radius in radii if radius is not None]
    return DetectorOrbit(
        np.concatenate(angles),
        np.concatenate(offsets),
        np.concatenate(known_radii) if len(known_radii) == len(radii) else None,
        weights,
        poses,
        centre_mm,
        (*notes, *repeated_angles(np.concatenate(angles)), *time_notes, *centre_notes),
    )


def _stacked(
    frames: Frames, passes: list[Pass], poses: dict[int, PatientPose], n_windows: int
) -> npt.NDArray[np.float32]:
    """Counts [window, view, row, column] in the viewer's sense, pass after pass."""
    stacked = []
    for one_pass in passes:
        pose = poses[one_pass.detector]
        views = np.stack(
            [
                [frames[w, one_pass.detector, one_pass.rotation, v] for v in one_pass.views]
                for w in range(1, n_windows + 1)
            ]
        )
        stacked.append(views[:, :, :: -1 if pose.flip_rows else 1, :: -1 if pose.flip_columns else 1])
    return np.ascontiguousarray(np.concatenate(stacked, axis=1), dtype=np.float32)


def _require_rotating_parallel(dataset: Dataset) -> None:
    model = text(dataset, "ManufacturerModelName").upper().replace(" ", "")
    n_detectors = number(dataset, "NumberOfDetectors") or 1
    # rotating cameras have one to four heads (docs/how-to/acquisitions.md)
    if any(word in model for word in _STATIONARY) or n_detectors > 4:
        raise UnreadableInputError(
            f"projections of a camera without a rotating flat detector ({model or f'{n_detectors:g} detectors'})",
            "its reconstructed volume, the only form that is read from cameras such as the NM 530c and StarGuide",
            "export the reconstructed volume",
        )
    require_parallel(dataset)
    require_no_zoom_offset(dataset)
    if not any(kind in dataset for kind in PIXELS):
        decoded_pixels(dataset, "the NM object")
    rotation_item(dataset, 1)
