"""Vessels that contrast medium has made as bright as bone: found without organ labels, and set back to soft tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mureg.attenuation.body import PIECE_OF_LUNG, convex_hull, find_body, known_values, opened, repeated, shrunk
from mureg.attenuation.spine import Spine, find_spine
from mureg.geometry import Array, Volume
from mureg.geometry.morphology import Mask, ball, eroded, in_slices, within

SOFT_TISSUE_HU, BLOOD_HU = 45.0, 60.0
"""Blood and muscle without contrast medium have 30 to 60 HU: voxels found above 60 HU become 45 HU."""
METAL_HU = 2000.0
"""The densest cortical bone (docs/concepts/attenuation.md)."""

# The sizes and shares below were chosen. What they find and miss is measured on one CT with organ labels; two other CTs
# were judged by eye (docs/concepts/attenuation.md, What it measures).
_BRIGHT_HU, _BRIGHT_IN_CHEST_HU = 130.0, 90.0
"""Below cancellous bone (150 to 350 HU); lower between the lungs, where nothing but blood is bright. Blood below 90 HU
is left as it is, which costs at most 3 % of attenuation (docs/concepts/attenuation.md)."""
_WORK_MM = 3.3
"""Longest edge of the blocks that are searched: less than half of the thinnest vessel that is found."""
_SMOOTHING_MM = 1.2  # sigma, against noise
_LUNG_HU, _LUNG_ML = -500.0, 100.0
"""Half way between air and water; a smaller piece is gas in the bowel."""
_CHEST_WALL_MM = 4.0  # from the lungs' convex hull inwards: ribs and sternum stay outside
_CORE_MM, _ORGAN_CORE_MM, _EDGE_MM = 3.6, 4.6, 2.0
"""Depth inside what is bright from which it is a vessel or an organ, for cortical bone is thinner; and the reach of
voxels that contrast medium fills only in part, about half a block."""
_ORGAN_DEPTH_MM, _ORGAN_REACH_MM = 25.0, 10.0  # below the skin, deeper than most ribs; from the core of an organ
_UNEVENNESS = 0.30  # largest standard deviation over mean: marrow and cortex of a bone differ by more
_LIKE_BLOOD = (0.6, 1.6)  # of the median brightness of the blood between the lungs
_DENSE_HU, _DENSE_CORE_MM, _DENSE_REACH_MM = 1200.0, 2.0, 5.0
"""Streaks of undiluted contrast medium: brighter than cancellous bone, thicker than cortical bone."""
_LEAST_ML = 15.0  # less bright blood than this is calcium or noise, and the CT has no contrast medium

Factors = tuple[int, int, int]


@dataclass(frozen=True)
class Clipped:
    """What was taken out of a CT.

    Attributes:
        contrast_ml: contrast medium set to 45 HU, 0 where the CT has none.
        metal_ml: voxels cut to 2000 HU.
    """

    contrast_ml: float
    metal_ml: float


def without_contrast_and_metal(ct: Volume, body: Mask | None = None) -> tuple[Volume, Clipped]:
    """The CT with contrast medium at 45 HU and nothing above 2000 HU, the densest cortical bone.

    Args:
        ct: in HU, in patient order.
        body: the mask of `find_body`, where it is known already.
    """
    body = find_body(ct) if body is None else body
    contrast = find_contrast(ct, body)
    values = np.where(contrast, ct.values.dtype.type(SOFT_TISSUE_HU), ct.values)
    voxel_ml = ct.grid.voxel_volume_mm3 / 1000.0
    metal_ml = float((values > METAL_HU).sum()) * voxel_ml
    return ct.with_values(np.minimum(values, METAL_HU)), Clipped(float(contrast.sum()) * voxel_ml, metal_ml)


def find_contrast(ct: Volume, body: Mask) -> Mask:
    """Voxels that are bright from contrast medium, not from bone.

    Between the lungs (inside the convex hull of both, slice by slice, a chest wall's 4 mm away from its edge) nothing
    is bright but blood, and the spine, which is found by its canal. Around the spine, and below the chest, blood is
    what is thick, even and away from the vertebral body: vessels, kidneys, spleen. Streaks above 1200 HU that are
    thicker than cortical bone are contrast anywhere. A CT with less than 15 ml of even blood outside the spine is one
    without contrast, and keeps every voxel.

    Args:
        ct: in HU, in patient order (`mureg.attenuation.body.in_patient_order`).
        body: the mask of `find_body`.
    """
    values = known_values(ct)
    factors, coarse = shrunk(values, ct.grid, _WORK_MM)
    spacing = np.asarray(ct.grid.spacing_mm) * factors
    inside = body[tuple(slice(f // 2, None, f) for f in factors)]
    inside = np.pad(inside, [(0, n - m) for n, m in zip(coarse.shape, inside.shape, strict=True)], mode="edge")
    box = ndimage.find_objects(inside.astype(np.int8))
    if not box:
        return np.zeros(ct.grid.shape, dtype=np.bool_)
    contrast = np.zeros_like(inside)
    contrast[box[0]] = _blood_and_its_edge(coarse[box[0]], inside[box[0]], spacing)
    return np.asarray(repeated(contrast, factors, ct.grid.shape) & (values > BLOOD_HU) & body)


def _blood_and_its_edge(coarse: Array, inside: Mask, spacing: npt.NDArray[np.float64]) -> Mask:
    """Contrast medium on the working grid, with the voxels that it fills only partly."""
    smooth = ndimage.gaussian_filter(coarse, _SMOOTHING_MM / spacing)
    between = _between_lungs(coarse, inside, spacing)
    spine = find_spine(coarse, inside, spacing, np.cumsum(between.sum((0, 1))) == 0)
    contrast = _bright_blood(smooth, inside, between, spine, spacing)
    if not contrast.any():
        return contrast
    bone = (smooth > _BRIGHT_HU) & ~contrast
    edge = ndimage.binary_dilation(contrast, ball(_EDGE_MM, np.minimum(spacing, _EDGE_MM))) & ~bone
    return np.asarray(contrast | edge)


def _bright_blood(smooth: Array, inside: Mask, between: Mask, spine: Spine, spacing: npt.NDArray[np.float64]) -> Mask:
    """Contrast medium on the working grid, nothing where there is too little of it."""
    chest = between & ~spine.zone & (smooth > _BRIGHT_IN_CHEST_HU)
    if _too_little(chest, spacing):  # then its core is too small as well and is not searched
        return np.zeros_like(chest)
    pool = _even_core(smooth, chest, _CORE_MM, spacing)
    if _too_little(pool, spacing):
        return np.zeros_like(chest)
    blood_hu = float(np.median(smooth[pool]))
    like_blood = between & spine.zone & (smooth > max(_BRIGHT_IN_CHEST_HU, _LIKE_BLOOD[0] * blood_hu))
    like_blood &= (smooth < _LIKE_BLOOD[1] * blood_hu) & ~spine.bone
    vessels = _even_core(smooth, like_blood, _CORE_MM, spacing)
    vessels = within(vessels, _CORE_MM + _EDGE_MM, spacing) & like_blood
    bright = (smooth > _BRIGHT_HU) & inside
    body = np.pad(inside, ((1, 1), (1, 1), (0, 0)))
    deep = bright & eroded(body, _ORGAN_DEPTH_MM, in_slices(spacing))[1:-1, 1:-1]
    deep[:, :, between.sum((0, 1)).argmax() :] = False  # above the widest slice of the chest there are shoulders
    cores = _even_core(smooth, deep, _ORGAN_CORE_MM, spacing) & ~spine.bone & ~between
    organs = within(cores & ~spine.zone, _ORGAN_REACH_MM, spacing) & deep & ~spine.zone
    organs |= within(cores, _ORGAN_CORE_MM + _EDGE_MM, spacing)
    streaks = within(opened(smooth > _DENSE_HU, _DENSE_CORE_MM, spacing) & inside, _DENSE_REACH_MM, spacing)
    return np.asarray(chest | vessels | (bright & ((organs & ~spine.bone) | streaks)))


def _too_little(mask: Mask, spacing: npt.NDArray[np.float64]) -> bool:
    return bool(mask.sum() * spacing.prod() / 1000.0 < _LEAST_ML)


def _even_core(smooth: Array, bright: Mask, core_mm: float, spacing: npt.NDArray[np.float64]) -> Mask:
    """Deeper than `core_mm` inside what is bright, and even there."""
    return np.asarray(eroded(bright, core_mm, spacing) & _evenness(smooth, bright, spacing))


def _evenness(smooth: Array, bright: Mask, spacing: npt.NDArray[np.float64]) -> Mask:
    """Where the bright voxels in a cube of 10 mm vary by less than 30 % of their mean."""
    size = [max(3, 2 * int(5.0 / s) + 1) for s in spacing]
    values = np.where(bright, smooth, np.float32(0.0))
    weight = np.maximum(ndimage.uniform_filter(bright.astype(np.float32), size), np.float32(1e-6))
    mean = ndimage.uniform_filter(values, size) / weight
    variance = ndimage.uniform_filter(values**2, size) / weight - mean**2
    return np.asarray(bright & (variance < (_UNEVENNESS * mean) ** 2))


def _between_lungs(coarse: Array, inside: Mask, spacing: npt.NDArray[np.float64]) -> Mask:
    """Inside the convex hull of the lungs in each slice, away from the chest wall."""
    pieces, n = ndimage.label(ndimage.binary_erosion((coarse < _LUNG_HU) & inside))
    sizes_ml = np.bincount(pieces.ravel(), minlength=n + 1) * spacing.prod() / 1000.0
    sizes_ml[0] = 0.0
    between: Mask = np.zeros(inside.shape, dtype=np.bool_)
    if sizes_ml.max() < _LUNG_ML:
        return between
    lungs: Mask = (sizes_ml > max(_LUNG_ML, PIECE_OF_LUNG * sizes_ml.max()))[pieces]
    for k in range(inside.shape[2]):
        between[:, :, k] = convex_hull(lungs[:, :, k], (spacing[0], spacing[1]), _CHEST_WALL_MM)
    return np.asarray(between & ~lungs, dtype=np.bool_)
