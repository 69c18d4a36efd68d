"""How breathing moves the tissue of a real CT: along z, by weights that a camera or a scan never sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from mureg.attenuation.body import convex_hull
from mureg.geometry import Grid
from mureg.simulate.anatomy import Breath
from mureg.simulate.ct_anatomy.labels import Mask, TissueMap
from mureg.simulate.ct_anatomy.landmarks import CtLandmarks
from mureg.simulate.measured_motion import BodyRegions

# drawn breathing of a real CT: all lengths and shares are chosen, none is measured (for a measured breath see
# `mureg.simulate.measured_motion`)
_WORK_MM = 6.5  # voxels of the weights, at most: about those of a usual SPECT
_WALL_MM, _SLIDING_MM = 18.0, 12.0  # of the abdominal wall, which stays; over which tissue within it comes to move
_BACK_SHARE = 0.18  # of the depth of the body: muscles of the back, which stay
_HEART_FREE_MM, _HEART_SLIDING_MM = 10.0, 12.0  # around the heart tissue moves with it, also at the chest wall
_HEART_RIGID_MM, _HEART_FADES_MM = 6.0, 50.0  # as one piece with the heart; over which its motion fades
_BLUR_MM = (5.0, 5.0, 14.0)  # standard deviation along x, y, z: no folds, and no edges that a camera would see


@dataclass(frozen=True, eq=False)
class MotionWeights:
    """Weights 0 to 1 of the two motions along z, on a coarse grid in the CT's frame.

    Attributes:
        weights: [motion, x, y, z]: how far tissue follows the diaphragm, and how far it follows the heart.
        grid: where they lie.
    """

    weights: Float[Tensor, "motion x y z"]
    grid: Grid

    def at(self, points_mm: Float[Tensor, "*point 3"]) -> Float[Tensor, "motion ..."]:
        """The weights at points of the CT's frame; beyond the grid as at its edge."""
        inverse = torch.from_numpy(np.linalg.inv(self.grid.affine)).to(points_mm)
        return sampled(self.weights, points_mm @ inverse[:3, :3].T + inverse[:3, 3])


def sampled(values: Float[Tensor, "channel x y z"], indices: Float[Tensor, "*point 3"]) -> Float[Tensor, "channel ..."]:
    """Trilinear values at fractional voxel indices; beyond the lattice as at its edge."""
    sizes = torch.tensor(values.shape[1:]).to(indices)
    places = ((2 * indices + 1) / sizes - 1).flip(-1).reshape(1, 1, 1, -1, 3)
    samples = torch.nn.functional.grid_sample(
        values[None].to(indices), places, mode="bilinear", padding_mode="border", align_corners=False
    )
    result: Tensor = samples[0, :, 0, 0].reshape(-1, *indices.shape[:-1])
    return result


def rises_mm(breath: Breath, landmarks: CtLandmarks) -> tuple[float, float]:
    """How far the diaphragm and the heart stand above where the CT shows them."""
    scanned = landmarks.as_scanned_mm
    diaphragm = scanned - breath.diaphragm_mm + breath.upward_mm
    heart = scanned * landmarks.as_scanned_share - breath.diaphragm_mm * breath.heart_share + breath.upward_mm
    return diaphragm, heart


def body_regions(grid: Grid, tissues: TissueMap, landmarks: CtLandmarks) -> BodyRegions:
    """Lung, heart and what breathing can move, as scanned, on a coarse grid."""
    steps = [max(1, int(_WORK_MM / s)) for s in grid.spacing_mm]
    pick = tuple(slice(step // 2, None, step) for step in steps)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.points([step // 2 for step in steps])
    affine[:3, :3] *= steps
    lung, bone, heart = (tissues.mask("lung")[pick], tissues.mask("bone")[pick], tissues.heart[pick])
    nx, ny, nz = lung.shape
    coarse = Grid((nx, ny, nz), affine)
    z_mm = coarse.affine[2, 3] + coarse.affine[2, 2] * np.arange(nz)
    abdominal = z_mm < landmarks.dome_z_mm
    inside = _movable(lung, bone, tissues.codes[pick] > 0, abdominal, coarse.spacing_mm)
    return BodyRegions(coarse, lung, inside, heart, landmarks.dome_z_mm)


def motion_weights(regions: BodyRegions) -> MotionWeights:
    """Full below the domes and linear up to the top of the lungs; none in the chest wall, the spine and the skin.

    The heart and a centimetre around it move as one piece; over the next 5 cm the two motions go over into each other.
    """
    coarse, spacing, lung = regions.grid, regions.grid.spacing_mm, regions.lung
    z_mm = coarse.affine[2, 3] + coarse.affine[2, 2] * np.arange(coarse.shape[2])
    padded = np.pad(regions.movable, ((1, 1), (1, 1), (0, 0)))
    depth = ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1]
    from_heart = ndimage.distance_transform_edt(~regions.heart, sampling=spacing)
    free = np.clip(depth / _SLIDING_MM, 0.0, 1.0)
    free = np.maximum(free, np.clip(1.0 - (from_heart - _HEART_FREE_MM) / _HEART_SLIDING_MM, 0.0, 1.0))
    top = float(z_mm[np.flatnonzero(lung.any((0, 1)))[-1]]) if lung.any() else float(z_mm[-1])
    low = np.clip((top - z_mm) / (top - regions.dome_z_mm), 0.0, 1.0)
    with_heart = np.clip(1.0 - (from_heart - _HEART_RIGID_MM) / _HEART_FADES_MM, 0.0, 1.0)
    with_heart = with_heart**2 * (3.0 - 2.0 * with_heart)
    parts = [free * low * (1.0 - with_heart), free * with_heart]
    smooth = [ndimage.gaussian_filter(part, np.asarray(_BLUR_MM) / spacing, mode="nearest") for part in parts]
    return MotionWeights(torch.from_numpy(np.stack(smooth).astype(np.float32)), coarse)


def _movable(
    lung: Mask, bone: Mask, body: Mask, abdominal: npt.NDArray[np.bool_], spacing: tuple[float, float, float]
) -> Mask:
    """Inside the lungs' convex hull, and below the domes inside the abdominal wall and in front of the back muscles."""
    inside = np.zeros_like(lung)
    for k in range(lung.shape[2]):
        if lung[:, :, k].any():
            inside[:, :, k] = convex_hull(lung[:, :, k], (spacing[0], spacing[1]))
        rows = np.flatnonzero(body[:, :, k].any(0))
        if abdominal[k] and rows.size:
            flat = np.pad(body[:, :, k], 1)
            deep = ndimage.distance_transform_edt(flat, sampling=spacing[:2])[1:-1, 1:-1] > _WALL_MM
            deep[:, int(rows[-1] - _BACK_SHARE * rows.size) :] = False
            inside[:, :, k] |= deep
    return np.asarray(inside & ~bone)
