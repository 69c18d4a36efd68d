"""Which tissue every voxel of a real CT is: from organ labels where there are some, else from landmarks and HU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from mureg.errors import UsageError
from mureg.geometry import Grid, Volume
from mureg.heart.ventricle import LeftVentricle
from mureg.simulate.ct_anatomy.landmarks import ORGANS, CtLandmarks
from mureg.simulate.ct_anatomy.shell import outer_distance_mm, wall_distance_mm

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]

TISSUE_NAMES = (
    "outside", "soft_tissue", "fat", "bone", "lung", "gas", "blood", "lv_wall", "rv_wall", "liver", "gallbladder",
    "spleen", "kidney", "stomach_wall", "stomach", "bowel",
)  # fmt: skip
"""What each code of a tissue map stands for."""
CODE = {name: code for code, name in enumerate(TISSUE_NAMES)}

# edges between tissues, against their HU in `mureg.simulate.tissues`: lung (-742) and soft tissue (43) about half-way;
# gas 200 below fat (-98); fat and soft tissue half-way; organs a little above; bone a little below spongy bone (194)
_LUNG_HU, _GAS_HU, _FAT_HU, _SOFT_HU, _BONE_HU = -400.0, -300.0, -30.0, -10.0, 150.0

_LUNG_ML = 300.0
"""Smaller pieces of low density are no lung (a lung has a litre or more); chosen."""
_RV_WALL_MM, _STOMACH_WALL_MM = 4.0, 5.0
"""Thickness of the walls; drawn torsos have 3 to 5 mm of both (`mureg.simulate.torso.settings`)."""
_CONTRAST_HU, _HEART_MIDDLE, _HEART_REACH = 130.0, 0.7, 1.15
"""As bright as bone (as in `mureg.attenuation.contrast`); inside and outside of the heart's ellipsoids; chosen."""
_BONES = ("vertebrae", "rib_", "sternum", "clavicula", "scapula", "humerus", "costal_cartilages")
# first matching word of a TotalSegmentator label name -> tissue
_TISSUE_OF_NAME = (
    ("lung", "lung"), ("trachea", "gas"), ("liver", "liver"), ("gallbladder", "gallbladder"), ("spleen", "spleen"),
    ("portal_vein", "blood"), ("kidney_cyst", "soft_tissue"), ("adrenal", "soft_tissue"), ("kidney", "kidney"),
    ("stomach", "stomach"), ("small_bowel", "bowel"), ("duodenum", "bowel"), ("colon", "bowel"), ("aorta", "blood"),
    ("vein", "blood"), ("artery", "blood"), ("vena_cava", "blood"), ("brachiocephalic", "blood"),
    ("appendage", "blood"), *((word, "bone") for word in _BONES),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TissueMap:
    """Tissues of a CT on its own grid.

    Attributes:
        codes: an entry of `TISSUE_NAMES` for every voxel.
        heart: walls and chambers.
    """

    codes: Codes
    heart: Mask

    def mask(self, *names: str) -> Mask:
        """The voxels of one or several tissues."""
        return np.isin(self.codes, [CODE[name] for name in names])


def tissues_from_labels(
    ct: Volume, body: Mask, landmarks: CtLandmarks, labels: Volume, names: Mapping[int, str]
) -> TissueMap:
    """Tissues of a CT with TotalSegmentator labels on the same grid; unlabelled voxels by their HU."""
    if labels.grid != ct.grid:
        raise UsageError("labels on another grid than the CT", "the same grid", "resample the labels first")
    values = labels.values.astype(np.int16)
    smooth = _smooth(ct)
    codes = _by_hu(smooth, body, _bone(smooth, body))
    # what is bright and unlabelled may be contrast medium: bone is what the labels and their margin say
    bone = np.isin(values, [k for k, name in names.items() if name.startswith(_BONES)])
    near_bone = ndimage.binary_dilation(bone, iterations=2)
    codes[(codes == CODE["bone"]) & ~near_bone] = CODE["soft_tissue"]
    heart: Mask = np.zeros(values.shape, dtype=np.bool_)
    for value, name in names.items():
        tissue = next((tissue for word, tissue in _TISSUE_OF_NAME if word in name), "")
        label = values == value
        if name == "heart":
            heart = label
        elif tissue and tissue not in ("lung", "gas", "bone"):
            codes[label & (smooth > _FAT_HU)] = CODE[tissue]
        elif tissue:
            codes[label] = CODE[tissue]
    return _with_heart(codes, heart & body, smooth, ct.grid, landmarks)


def tissues_from_landmarks(ct: Volume, body: Mask, landmarks: CtLandmarks, contrast: Mask) -> TissueMap:
    """Tissues of a CT without labels: ellipsoids and vessels, cut by what the HU show.

    Args:
        ct: in HU.
        body: the patient without table.
        landmarks: of this CT.
        contrast: voxels that are bright from contrast medium (none for a CT without).
    """
    smooth = _smooth(ct)
    bone = _bone(np.where(contrast, np.float32(0), smooth), body)
    codes = _by_hu(smooth, body, bone)
    lung = _lungs(smooth, body, ct.grid)
    codes[lung] = CODE["lung"]
    soft = (codes == CODE["soft_tissue"]) & (smooth > _SOFT_HU)
    nearness = {name: _nearness(getattr(landmarks, name), ct.grid) for name in ORGANS}
    names, best = _nearest(nearness)
    for code, name in enumerate(names):
        organ = (best == code) & soft
        if name == "stomach":
            organ |= (best == code) & (codes == CODE["gas"])
            organ = ndimage.binary_opening(organ, iterations=1)
        if name not in ("heart", ""):
            codes[organ] = CODE[name]
    codes[_vessels(landmarks, ct.grid) & soft] = CODE["blood"]
    # -120 HU: fat (-98) and what is denser
    heart = (best == names.index("heart")) & body & ~lung & (codes != CODE["bone"]) & (smooth > -120.0)
    return _with_heart(codes, heart, smooth, ct.grid, landmarks)


def bright_heart(ct: Volume, body: Mask, landmarks: CtLandmarks) -> Mask:
    """Contrast medium in the heart and the vessels at it: what is as bright as bone and joined to the heart's middle.

    It goes no further than 1.15 times the heart's ellipsoids, so that the spine and the sternum stay bone.
    """
    near = _nearness(landmarks.heart, ct.grid)
    bright = ndimage.binary_opening((_smooth(ct) > _CONTRAST_HU) & body & (near < _HEART_REACH**2))
    pieces, _ = ndimage.label(bright)
    inner = np.unique(pieces[near < _HEART_MIDDLE**2])
    heart_pieces = np.isin(pieces, inner[inner > 0])
    dilated = ndimage.binary_dilation(heart_pieces, iterations=2)
    return np.asarray(dilated & (ct.values > _CONTRAST_HU) & (near < _HEART_REACH**2))


def _with_heart(codes: Codes, heart: Mask, smooth: Array, grid: Grid, landmarks: CtLandmarks) -> TissueMap:
    """Write the ventricles and chambers into the map, and the stomach's wall."""
    ventricle = landmarks.ventricle
    box = _box_around(grid, ventricle.centre_mm, ventricle.length_mm)
    points = torch.from_numpy(_points(grid, box)).float()
    wall, ventricle_outside = (f(ventricle, points).numpy() for f in (wall_distance_mm, outer_distance_mm))
    inside = np.zeros_like(heart)
    inside[box] = ventricle_outside < 0
    whole = ndimage.binary_fill_holes(heart | inside) & (codes != CODE["lung"]) | inside
    chambers = whole & ((smooth > _FAT_HU) | inside)
    codes[whole & ~chambers] = CODE["fat"]
    codes[chambers] = CODE["blood"]
    rim, right = _free_walls(grid, ventricle, chambers & ~inside)
    codes[rim] = CODE["soft_tissue"]
    codes[right] = CODE["rv_wall"]
    codes[box][wall < 0] = CODE["lv_wall"]
    _stomach_wall(codes, smooth, grid)
    return TissueMap(codes, np.asarray(whole, dtype=np.bool_))


def _stomach_wall(codes: Codes, smooth: Array, grid: Grid) -> None:
    """Tell the stomach's wall, its content and its gas apart, in place."""
    boxes = ndimage.find_objects((codes == CODE["stomach"]).astype(np.int8))
    if not boxes:
        return
    box = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in boxes[0])
    box_codes, stomach = codes[box], codes[box] == CODE["stomach"]
    depth = ndimage.distance_transform_edt(stomach | (box_codes == CODE["gas"]), sampling=grid.spacing_mm)
    box_codes[stomach & (smooth[box] < _GAS_HU)] = CODE["gas"]
    box_codes[stomach & (depth <= _STOMACH_WALL_MM)] = CODE["stomach_wall"]


def _free_walls(grid: Grid, ventricle: LeftVentricle, beside: Mask) -> tuple[Mask, Mask]:
    """What of the heart beside the left ventricle is no blood: a rim along its free wall, and the right one's wall."""
    box = _box_around(grid, ventricle.centre_mm, 2.5 * ventricle.length_mm)  # holds every heart
    depth = ndimage.distance_transform_edt(beside[box], sampling=grid.spacing_mm)
    points = torch.from_numpy(_points(grid, box)).float()
    anterior, lateral, apical = np.moveaxis(ventricle.coordinates(points.numpy()), -1, 0)
    # from 5 mm behind the base on; the rim lies within 10 mm of the wall, up to half a radius beyond the axis. Chosen
    ahead = apical > -ventricle.length_mm / 2 - 5.0
    free = (lateral > -0.5 * ventricle.radius_mm) & (outer_distance_mm(ventricle, points).numpy() < 10.0)
    free |= lateral > 0
    below_outflow = anterior < ventricle.radius_mm
    rim, right = np.zeros_like(beside), np.zeros_like(beside)
    rim[box] = beside[box] & ahead & free
    right[box] = beside[box] & ahead & ~free & below_outflow & (depth <= max(_RV_WALL_MM, *grid.spacing_mm[:2]))
    return rim, right


def _smooth(ct: Volume) -> Array:
    """The CT with less noise (3.3 mm FWHM; chosen), to tell tissues apart."""
    smooth: Array = ndimage.gaussian_filter(ct.values, [1.4 / s for s in ct.grid.spacing_mm], truncate=2.5)
    return smooth


def _by_hu(smooth: Array, body: Mask, bone: Mask) -> Codes:
    codes = np.full(smooth.shape, CODE["soft_tissue"], dtype=np.uint8)
    codes[smooth < _FAT_HU] = CODE["fat"]
    codes[smooth < _GAS_HU] = CODE["gas"]
    codes[bone] = CODE["bone"]
    codes[~body] = CODE["outside"]
    return codes


def _bone(smooth: Array, body: Mask) -> Mask:
    """Bright pieces of some size, and the marrow that they enclose within a slice."""
    pieces, n = ndimage.label((smooth > _BONE_HU) & body)
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)
    # pieces of up to 60 voxels are taken for noise or calcium; below -100 HU (fat) nothing is bone. Chosen
    bone = (sizes > 60)[pieces] & (pieces > 0)
    for k in range(bone.shape[2]):
        bone[:, :, k] = ndimage.binary_fill_holes(ndimage.binary_closing(bone[:, :, k], iterations=2))
    return np.asarray(bone & body & (smooth > -100.0))


def _lungs(smooth: Array, body: Mask, grid: Grid) -> Mask:
    """Large pieces of low density, with the vessels in them."""
    pieces, n = ndimage.label((smooth < _LUNG_HU) & body)
    sizes_ml = np.bincount(pieces.ravel(), minlength=n + 1) * grid.voxel_volume_mm3 / 1000.0
    sizes_ml[0] = 0.0
    return np.asarray((sizes_ml > min(_LUNG_ML, sizes_ml.max() / 2))[pieces])


def _nearness(ellipsoids: tuple[tuple[float, ...], ...], grid: Grid) -> Array:
    """Smallest relative distance to the middle of one of these ellipsoids, squared: 1 on its surface."""
    best = np.full(grid.shape, 9.0, dtype=np.float32)  # three semi-axes away: far outside
    for *centre, a, b, c in ellipsoids:
        x, y, z = _axes_mm(grid)
        near = ((x - centre[0]) / a) ** 2 + ((y - centre[1]) / b) ** 2 + ((z - centre[2]) / c) ** 2
        np.minimum(best, near.astype(np.float32), out=best)
    return best


def _nearest(nearness: Mapping[str, Array]) -> tuple[tuple[str, ...], Codes]:
    """Names, the last one empty, and for every voxel which of them it falls to (inside of it, and nearest)."""
    shape = next(iter(nearness.values())).shape
    best, least = np.full(shape, len(nearness), dtype=np.uint8), np.ones(shape, dtype=np.float32)
    for code, near in enumerate(nearness.values()):
        nearer = near < least
        best[nearer] = code
        least[nearer] = near[nearer]
    return (*nearness, ""), best


def _vessels(landmarks: CtLandmarks, grid: Grid) -> Mask:
    inside = np.zeros(grid.shape, dtype=np.bool_)
    for line in landmarks.vessels:
        for start, end in pairwise(line):
            # a ball every 3 mm: vessels are wider
            steps = max(2, int(np.linalg.norm(np.subtract(end, start)[:3]) / 3.0))
            for share in np.linspace(0.0, 1.0, steps):
                *centre, radius = (1 - share) * np.asarray(start) + share * np.asarray(end)
                box = _box_around(grid, centre, radius)
                inside[box] |= ((_points(grid, box) - centre) ** 2).sum(-1) <= radius**2
    return inside


def _axes_mm(grid: Grid) -> list[npt.NDArray[np.float64]]:
    """Positions along each patient axis, shaped to broadcast; for a grid along the patient axes."""
    ends = [grid.affine[k, 3] + grid.affine[k, k] * np.arange(n) for k, n in enumerate(grid.shape)]
    return list(np.meshgrid(*ends, indexing="ij", sparse=True))


def _points(grid: Grid, box: tuple[slice, ...]) -> npt.NDArray[np.float64]:
    places = [axis.ravel()[part] for axis, part in zip(_axes_mm(grid), box, strict=True)]
    return np.stack(np.meshgrid(*places, indexing="ij"), -1)


def _box_around(grid: Grid, centre_mm: npt.ArrayLike, reach_mm: float) -> tuple[slice, ...]:
    low = np.floor(grid.indices(np.asarray(centre_mm) - reach_mm)).astype(int)
    high = np.ceil(grid.indices(np.asarray(centre_mm) + reach_mm)).astype(int) + 1
    low, high = np.clip(low, 0, grid.shape), np.clip(high, 0, grid.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
