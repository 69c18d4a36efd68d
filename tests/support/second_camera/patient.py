"""A patient to simulate, from a real CT with organ labels: what attenuates and where the tracer sits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mureg.errors import GeometryError, UsageError
from mureg.geometry import Grid, Quantity, Volume

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Point = tuple[float, float, float]

# Uptake per volume relative to left-ventricular myocardium = 1, 99mTc-sestamibi or tetrofosmin about an hour after
# injection. Each value lies inside the range used for all virtual patients (blood 0.03-0.12, lung 0.03-0.08, soft
# tissue 0.02-0.06, liver 0.25-1.5, spleen 0.4-1.1, kidney 0.8-3, gut and stomach 0-2, right-ventricular wall 0.3-0.6).
ORGAN_ACTIVITY: Mapping[str, float] = {
    "left_ventricular_wall": 1.0,
    "right_ventricular_wall": 0.35,
    "heart": 0.06,
    "blood": 0.06,
    "lung": 0.05,
    "liver": 0.5,
    "spleen": 0.6,
    "kidney": 1.2,
    "stomach": 0.1,
    "bowel": 0.3,
    "pancreas": 0.1,
    "soft_tissue": 0.04,
    "fat": 0.015,
    "air": 0.0,
}

# first matching word of a TotalSegmentator label name -> tissue
_TISSUE_OF_NAME: tuple[tuple[str, str], ...] = (
    ("lung", "lung"),
    ("trachea", "air"),
    ("liver", "liver"),
    ("spleen", "spleen"),
    ("portal_vein", "blood"),
    ("kidney_cyst", "soft_tissue"),
    ("adrenal", "soft_tissue"),
    ("kidney", "kidney"),
    ("stomach", "stomach"),
    ("small_bowel", "bowel"),
    ("duodenum", "bowel"),
    ("colon", "bowel"),
    ("pancreas", "pancreas"),
    ("heart", "heart"),
    ("aorta", "blood"),
    ("vein", "blood"),
    ("artery", "blood"),
    ("vena_cava", "blood"),
    ("brachiocephalic", "blood"),
    ("appendage", "blood"),
)
_BONES = ("vertebrae", "rib_", "sternum", "clavicula", "scapula", "humerus", "costal_cartilages")

MU_WATER_PER_CM = 0.1538
"""Of water at 140.5 keV, narrow beam (NIST XCOM)."""
MU_PER_HU = (1.658e-4, 1.039e-4)
"""Slopes below and above water, in 1/cm per HU, as measured on a CT at 120 kVp (GE Optima; table of PyTomography)."""
CONTRAST_HU, SOFT_TISSUE_HU = 60.0, 45.0
_BLOOD_HU, _AIR_HU, _FAT_HU = 215.0, -400.0, -20.0
_WALL_MAX_MM, _WALL_MIN_MM, _NECK_MM, _RV_WALL_MM = 13.0, 10.0, 3.0, 2.0


@dataclass(frozen=True)
class HeartLandmarks:
    """Two points set by hand on the CT, in mm LPS+ of its own frame.

    Attributes:
        valve_mm: middle of the mitral and aortic valve plane.
        apex_mm: tip of the left-ventricular cavity; valve to apex is the long axis, the valve plane stands across it.
    """

    valve_mm: Point
    apex_mm: Point


@dataclass(frozen=True, eq=False)
class LeftVentricle:
    """Masks [x, y, z] on the CT's grid: cavity, wall (a shell open at the base) and the right ventricle's free wall."""

    cavity: Mask
    wall: Mask
    right_wall: Mask


@dataclass(frozen=True, eq=False)
class Patient:
    """What the simulated camera looks at, all on the CT's own grid.

    Attributes:
        mu: attenuation at 140.5 keV in 1/cm, patient table included, contrast medium taken out.
        activity: per volume, relative to left-ventricular myocardium = 1.
        lv_wall, heart: labels, 1 inside.
    """

    mu: Volume
    activity: Volume
    lv_wall: Volume
    heart: Volume


def left_ventricle(ct: Volume, heart: Mask, landmarks: HeartLandmarks) -> LeftVentricle:
    """Find the left ventricle inside the heart of a contrast CT (blood above 215 HU, muscle about 100 HU).

    The cavity is the blood in front of the valve plane that holds the middle of the long axis, cut from other blood
    by an opening of 3 mm and closed over the papillary muscles. The wall is the rest of the heart within 13 mm of it,
    and at least 10 mm thick: a camera without gating sees the average over the beat, not the thin diastolic apex of
    the CT.

    Raises:
        GeometryError: no blood at the middle of the long axis.
    """
    spacing = ct.grid.spacing_mm
    valve, apex = np.asarray(landmarks.valve_mm), np.asarray(landmarks.apex_mm)
    axis = (apex - valve) / np.linalg.norm(apex - valve)
    lowest = np.maximum(np.argwhere(heart).min(0) - 12, 0)
    box = tuple(slice(a, b + 12) for a, b in zip(lowest, np.argwhere(heart).max(0) + 1, strict=True))
    inside = heart[box]
    where = np.stack(np.meshgrid(*[np.arange(n) for n in inside.shape], indexing="ij"), -1) + lowest
    beyond_valve = (ct.grid.points(where) - valve) @ axis > 0
    smooth = ndimage.gaussian_filter(ct.values[box], [1.5 / s for s in spacing])
    blood = (smooth > _BLOOD_HU) & inside

    def distance(mask: Mask) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=spacing)
        return found

    pieces, _ = ndimage.label(distance(blood & beyond_valve) > _NECK_MM)
    middle = tuple(np.round(ct.grid.indices((valve + apex) / 2) - lowest).astype(int))
    if not pieces[middle]:
        raise GeometryError(
            "no contrast-filled blood half-way between valve and apex",
            "a cavity brighter than 215 HU",
            "set the landmarks on the left ventricle, or use a contrast CT",
        )
    core = pieces == pieces[middle]
    cavity = (distance(~core) <= _NECK_MM) & blood & beyond_valve
    cavity = distance(distance(~cavity) <= 6.0) > 6.0  # closing over papillary muscles
    right_core = (pieces > 0) & ~core
    right = (distance(~right_core) <= _NECK_MM) & blood
    outer = (inside & (distance(~cavity) <= _WALL_MAX_MM) & ~right & beyond_valve) | (cavity & beyond_valve)
    outer = ndimage.binary_opening(outer, iterations=1)
    surface_depth = distance(outer | ~beyond_valve)  # the open base is no surface
    wall = outer & (~cavity | (surface_depth <= _WALL_MIN_MM))
    near_right = (distance(~right) <= _RV_WALL_MM) & (distance(right) <= _RV_WALL_MM)
    right_wall = near_right & beyond_valve & ~outer & (distance(inside) <= 5.0) & (smooth > _FAT_HU)
    whole = [np.zeros(heart.shape, dtype=np.bool_) for _ in range(3)]
    for target, part in zip(whole, (cavity & ~wall, wall, right_wall), strict=True):
        target[box] = part
    return LeftVentricle(*whole)


def body_mask(ct: Volume) -> Mask:
    """The patient without table and blankets: the largest piece above -300 HU after an 8 mm opening, holes filled."""
    ball = _ball(8.0, ct.grid)
    opened = ndimage.binary_opening(ct.values > -300.0, ball)
    pieces, n = ndimage.label(opened)
    if not n:
        raise GeometryError("a CT without any body", "tissue above -300 HU", "check the rescale values")
    body = pieces == 1 + int(np.argmax(ndimage.sum_labels(opened, pieces, range(1, n + 1))))
    filled = np.stack([ndimage.binary_fill_holes(body[:, :, k]) for k in range(body.shape[2])], axis=2)
    return np.asarray(ndimage.binary_dilation(filled, _ball(3.0, ct.grid)) & (ct.values > -950.0) | filled)


def without_contrast(ct: Volume, labels: npt.NDArray[np.int16], names: Mapping[int, str], body: Mask) -> Volume:
    """The CT as it would be without contrast medium: soft tissue of the body above 60 HU becomes 45 HU.

    Bones keep their values to 3 mm around their labels, except where that margin lies inside a labelled soft organ.
    The table (outside `body`) is left alone.
    """
    bone = np.isin(labels, [k for k, name in names.items() if name.startswith(_BONES)])
    near_bone = bone | (ndimage.binary_dilation(bone, _ball(3.0, ct.grid)) & (labels == 0))
    bright = body & ~near_bone & (ct.values > CONTRAST_HU)
    return ct.with_values(np.where(bright, np.float32(SOFT_TISSUE_HU), ct.values))


def attenuation(ct: Volume) -> Volume:
    """Attenuation at 140.5 keV in 1/cm of a CT in HU: two lines that meet at water, never below 0."""
    below, above = MU_PER_HU
    hu = ct.values
    mu = MU_WATER_PER_CM + np.where(hu < 0, below * hu, above * hu)
    return ct.with_values(np.maximum(mu, 0.0), Quantity.MU_PER_CM)


def patient_from_ct(
    ct: Volume,
    labels: Volume,
    names: Mapping[int, str],
    landmarks: HeartLandmarks,
    generator: np.random.Generator,
    texture: float = 0.06,
) -> Patient:
    """Build a patient with normal perfusion from a contrast CT and its organ labels (TotalSegmentator names).

    Args:
        ct: in HU. Beyond its field there is air and no tracer.
        labels: on the same grid.
        names: label value to name.
        landmarks: of the left ventricle.
        generator: draws the texture.
        texture: standard deviation of the smooth relative variation of uptake (about 12 mm wide).

    Raises:
        UsageError: labels on another grid, or no heart among them.
    """
    if labels.grid != ct.grid:
        raise UsageError("labels on another grid than the CT", "the same grid", "resample the labels first")
    heart_values = [k for k, name in names.items() if name == "heart"]
    if not heart_values:
        raise UsageError("no label named heart", "organ labels with a heart", "pass TotalSegmentator labels and names")
    label_array = labels.values.astype(np.int16)
    heart = label_array == heart_values[0]
    body = body_mask(ct)
    ventricle = left_ventricle(ct, heart, landmarks)
    mu = attenuation(without_contrast(ct, label_array, names, body))
    uptake = _uptake(ct.values, label_array, names, body, ventricle)
    noise = ndimage.gaussian_filter(generator.standard_normal(ct.grid.shape), [5.0 / s for s in ct.grid.spacing_mm])
    uptake *= np.clip(1.0 + texture * noise / noise.std(), 0.5, 1.5).astype(np.float32)

    def label(mask: Mask) -> Volume:
        return Volume(mask.astype(np.float32), ct.grid, Quantity.LABEL)

    activity = Volume(uptake, ct.grid, Quantity.ACTIVITY)
    return Patient(mu, activity, label(ventricle.wall), label(heart))


def on_grid(volume: Volume, grid: Grid, oversampling: int = 2) -> Volume:
    """Bring a fine volume onto a coarser grid: sampled `oversampling` times finer along each axis, and averaged.

    What lies beyond the volume is 0: air without tracer.
    """
    n = oversampling
    affine = grid.affine.copy()
    affine[:3, :3] /= n
    affine[:3, 3] = grid.points(np.full(3, (1 / n - 1) / 2))
    finer = Grid((grid.shape[0] * n, grid.shape[1] * n, grid.shape[2] * n), affine, grid.frame_of_reference)
    fine = Volume(volume.values.astype(np.float32), volume.grid, Quantity.ACTIVITY).resampled(onto=finer)
    blocks = fine.values.reshape([part for size in grid.shape for part in (size, n)])
    return Volume(blocks.mean((1, 3, 5)), grid, volume.quantity)


def _uptake(
    hu: Array, labels: npt.NDArray[np.int16], names: Mapping[int, str], body: Mask, ventricle: LeftVentricle
) -> Array:
    """Uptake per voxel from labels, and where there is none from HU; gas holds nothing but in the lungs."""
    background = np.where(hu < _FAT_HU, ORGAN_ACTIVITY["fat"], ORGAN_ACTIVITY["soft_tissue"])
    uptake = np.where(body, background, 0.0).astype(np.float32)
    lung = np.zeros(hu.shape, dtype=np.bool_)
    for value, name in names.items():
        tissue = next((tissue for word, tissue in _TISSUE_OF_NAME if word in name), "soft_tissue")
        mask = labels == value
        uptake[mask] = ORGAN_ACTIVITY[tissue]
        if tissue == "lung":
            lung |= mask
    uptake[(hu < _AIR_HU) & ~lung] = 0.0
    uptake[ventricle.right_wall] = ORGAN_ACTIVITY["right_ventricular_wall"]
    uptake[ventricle.cavity] = ORGAN_ACTIVITY["blood"]
    uptake[ventricle.wall] = ORGAN_ACTIVITY["left_ventricular_wall"]
    return uptake


def _ball(radius_mm: float, grid: Grid) -> Mask:
    reach = [int(radius_mm / s) for s in grid.spacing_mm]
    axes = np.meshgrid(*[np.arange(-r, r + 1) * s for r, s in zip(reach, grid.spacing_mm, strict=True)], indexing="ij")
    return np.asarray(sum(a**2 for a in axes) <= radius_mm**2 + 1e-6)
