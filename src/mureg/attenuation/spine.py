"""Where the spine stands in a CT: followed along the spinal canal, a round hole in bone near the back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mureg.geometry import Array
from mureg.geometry.morphology import Mask

# Lengths in mm of adult vertebrae in the axial plane. They were chosen; what is lost of vertebrae and ribs with them is
# measured on one CT with organ labels (docs/concepts/attenuation.md, What it measures).
_STEP_MM = 3.6  # longest edge of the pixels of the search: small against the canal
_CANAL_MM, _RING_MM = 6.0, (8.5, 16.0)  # radius inside the canal; inner and outer radius of the bone around
_ALONG_MM = 12.0  # FWHM along z: half a thoracic vertebra, so that the gaps between arches close
_FROM_BACK_MM = (25.0, 110.0)  # depth of the canal below the skin of the back
_FROM_MIDDLE_MM = 50.0  # from the middle of the body sideways, for patients who lie off the middle
_BODY_AHEAD_MM, _BODY_HALF_DEPTH_MM = 24.0, 18.0  # middle of the vertebral body in front of the canal
_HALF_WIDTH_MM, _LUMBAR_HALF_WIDTH_MM = 20.0, 27.0  # of the vertebral body
# behind these lines, from the middle of the canal to the back, all is bone: rib heads begin farther in front
_BEHIND_MM, _RIB_HEADS_MM, _RIB_HEADS_HALF_WIDTH_MM, _RIBS_HALF_WIDTH_MM = -8.0, -17.0, 32.0, 40.0
_ZONE_HALF_WIDTH_MM, _ZONE_AHEAD_MM = 34.0, 52.0  # around the vertebral body, where the aorta may touch it


@dataclass(frozen=True, eq=False)
class Spine:
    """Parts of a CT [x, y, z] by their place relative to the spinal canal.

    Attributes:
        canal: its middle as voxel indices [z, 2].
        bone: the vertebral body, the rib heads and all that lies behind them, where no vessel of note runs.
        zone: where a bright voxel can be vertebra, rib head or vessel.
    """

    canal: npt.NDArray[np.float64]
    bone: Mask
    zone: Mask


def find_spine(
    values: Array, inside: Mask, spacing_mm: npt.NDArray[np.float64], lumbar: npt.NDArray[np.bool_]
) -> Spine:
    """Follow the spinal canal through all slices.

    Each place is rated by the brightness above 100 HU in a ring of 8.5-16 mm minus twice that within 6 mm, averaged
    over 12 mm along z; the best path from the lowest to the highest slice moves by at most one pixel of about 4 mm
    (in x, y) per slice or 3 mm (dynamic programming). Works for any patient whose axes are those of the CT.

    Args:
        values: HU [x, y, z], x to the left, y to the back.
        inside: the body.
        spacing_mm: of the voxels.
        lumbar: the slices [z] below the lungs, where vertebrae are wider.
    """
    step = max(1, int(_STEP_MM / spacing_mm[0] + 1e-6)), max(1, int(_STEP_MM / spacing_mm[1] + 1e-6))
    pixel = spacing_mm[:2] * step
    # above soft tissue, and no more for cortical bone or metal than for dense cancellous bone
    bright = ndimage.uniform_filter(np.clip(values - 100.0, 0.0, 400.0), (*step, 1))[:: step[0], :: step[1]]
    rating = _rating(bright, inside[:: step[0], :: step[1]], np.asarray((*pixel, spacing_mm[2])))
    path = _best_path(rating, max(1, round(spacing_mm[2] / 3.0)))
    # sigma of 8 mm: takes the steps of whole pixels out of the path; chosen
    canal = ndimage.gaussian_filter1d(path * np.asarray(step, dtype=np.float64), 8.0 / spacing_mm[2], axis=0)
    x = (np.arange(values.shape[0])[:, None, None] - canal[:, 0]) * spacing_mm[0]
    y = (np.arange(values.shape[1])[None, :, None] - canal[:, 1]) * spacing_mm[1]
    half_width = np.where(lumbar, _LUMBAR_HALF_WIDTH_MM, _HALF_WIDTH_MM)
    body = (x / half_width) ** 2 + ((y + _BODY_AHEAD_MM) / _BODY_HALF_DEPTH_MM) ** 2 < 1.0
    behind = y > np.where(np.abs(x) < _RIB_HEADS_HALF_WIDTH_MM, _RIB_HEADS_MM, _BEHIND_MM)
    bone = body | (behind & (np.abs(x) < _RIBS_HALF_WIDTH_MM))
    return Spine(canal, bone, (np.abs(x) < _ZONE_HALF_WIDTH_MM) & (y > -_ZONE_AHEAD_MM) | behind)


def _rating(bright: Array, inside: Mask, spacing_mm: npt.NDArray[np.float64]) -> Array:
    reach = [int(_RING_MM[1] / s) + 1 for s in spacing_mm[:2]]
    grid = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    radius = np.hypot(grid[0] * spacing_mm[0], grid[1] * spacing_mm[1])
    ring, hole = (radius > _RING_MM[0]) & (radius < _RING_MM[1]), radius < _CANAL_MM
    kernel = ring / ring.sum() - 2.0 * hole / hole.sum()
    columns = np.arange(inside.shape[1])[None, :, None]
    back = np.where(inside.any(1), inside.shape[1] - 1 - inside[:, ::-1].argmax(1), -1)[:, None, :]
    depth = (back - columns) * spacing_mm[1]
    sums = inside.sum((1, 2))
    middle = (np.arange(len(sums)) * sums).sum() / max(sums.sum(), 1)
    aside = np.abs(np.arange(inside.shape[0]) - middle)[:, None, None] * spacing_mm[0]
    search_region = inside & (depth > _FROM_BACK_MM[0]) & (depth < _FROM_BACK_MM[1]) & (aside < _FROM_MIDDLE_MM)
    rating = np.full(bright.shape, np.float32(-300.0))  # a poor rating, which the path takes only where it must
    box = ndimage.find_objects(search_region.astype(np.int8))
    if not box:
        return rating
    # only where the canal can be: each rating needs the voxels around it, and those above and below
    across, along = box[0][:2], slice(None)
    wider = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(across, reach, strict=True))
    inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(across, wider, strict=True))
    response = ndimage.convolve(bright[*wider, along], kernel[:, :, None].astype(np.float32))[*inner, along]
    response = ndimage.gaussian_filter1d(response, _ALONG_MM / 2.355 / spacing_mm[2], axis=2)
    rating[*across, along] = np.where(search_region[*across, along], response, np.float32(-300.0))
    return rating


def _best_path(rating: Array, moves: int) -> npt.NDArray[np.float64]:
    """The sequence of places [z, 2] with the highest sum, at most `moves` pixels from slice to slice."""
    size = 2 * moves + 1
    best = np.empty_like(rating)
    best[:, :, 0] = rating[:, :, 0]
    for k in range(1, rating.shape[2]):
        best[:, :, k] = rating[:, :, k] + ndimage.maximum_filter(best[:, :, k - 1], size, mode="nearest")
    path = np.empty((rating.shape[2], 2))
    place = np.unravel_index(best[:, :, -1].argmax(), rating.shape[:2])
    for k in range(rating.shape[2] - 1, -1, -1):
        if k < rating.shape[2] - 1:
            low = [max(0, int(p) - moves) for p in place]
            near = best[low[0] : int(place[0]) + moves + 1, low[1] : int(place[1]) + moves + 1, k]
            i, j = np.unravel_index(near.argmax(), near.shape)
            place = (low[0] + i, low[1] + j)
        path[k] = place
    return path
