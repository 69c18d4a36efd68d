"""A real CT made ready to be a virtual patient: the body alone, native, with its tissues and motion weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, UInt8
from scipy import ndimage
from torch import Tensor

from mureg.attenuation.body import find_body, in_patient_order, opened
from mureg.attenuation.contrast import find_contrast
from mureg.errors import UnitsError
from mureg.geometry import Grid, Quantity, Volume
from mureg.geometry.rigid import Triple
from mureg.simulate.ct_anatomy.labels import (
    CODE,
    Array,
    Mask,
    TissueMap,
    bright_heart,
    tissues_from_labels,
    tissues_from_landmarks,
)
from mureg.simulate.ct_anatomy.landmarks import CtLandmarks
from mureg.simulate.ct_anatomy.motion import MotionWeights, body_regions, motion_weights
from mureg.simulate.measured_motion import BodyRegions, MeasuredMotion
from mureg.simulate.tissues import AIR_HU, TISSUES

LATTICE_MM = 3.3
"""Voxels of the CT are averaged to at most this for the emission: about half a voxel of a usual SPECT (6.8 mm)."""

# without contrast medium, within 6 HU of `TISSUES`; blood is darker than in vivo tables because a chest CT without
# contrast shows 35 to 50 HU
_NATIVE_HU = {"liver": 55.0, "spleen": 48.0, "kidney": 32.0, "gallbladder": 12.0}
_BLOOD_HU, _MUSCLE_HU = 45.0, 48.0

_BRIGHT_HU = 60.0
"""Above it soft tissue has taken up contrast medium: a little more than the brightest organ without; chosen."""
_EVEN_MM = 2.2
"""Standard deviation of the average over soft tissue: 5 mm FWHM; chosen."""
_SKIN_MM = 5.0
"""Radius of the disc that fits into the body: it takes off sheets, blankets and lines up to 10 mm thick; chosen."""
_BELOW_MM, _ORGANS_BELOW_MM = 60.0, 40.0
"""How far body and organs go on below the last slice; the deepest breath moves tissue by 60 mm (`Breath`). Chosen."""
_AIR_VOXELS = 4
"""Around the body, for interpolation; chosen."""


@dataclass(frozen=True, eq=False)
class CtBase:
    """One CT, prepared; every virtual patient made from it shares these arrays.

    The arrays hold the body cut out of the CT, with air around it, and go on below its last slice as that slice does.

    Attributes:
        name: of the CT.
        landmarks: set on it.
        origin_mm: place in the CT's frame that becomes the patient's origin: the middle of the chest in x and y, of
            the left ventricle in z.
        known_mm: [axis, end] faces of what was scanned; infinite where it ends in air, which is known to go on.
        grid: of `hu` and `codes`, in the CT's frame, along the patient axes.
        hu: without table, contrast medium and, in soft tissue, without noise.
        codes: tissue of every voxel (`TISSUE_NAMES`).
        lattice: grid of `mu` and `heart`.
        mu: attenuation at 140.5 keV in 1/cm.
        heart: share of the voxel inside the heart.
        motions: where breathing moves the tissue.
        regions: what decides how measured breathing moves it.
        heart_points_mm: every fourth voxel or so of the heart, [n, 3] in the CT's frame.
        back_points_mm: lowest skin of each slice, [n, 3].
        sizes: body width and depth in mm and lung volume in ml, as scanned.
    """

    name: str
    landmarks: CtLandmarks
    origin_mm: Triple
    known_mm: npt.NDArray[np.float64]
    grid: Grid
    hu: Float[Tensor, "x y z"]
    codes: UInt8[Tensor, "x y z"]
    lattice: Grid
    mu: Float[Tensor, "u v w"]
    heart: Float[Tensor, "u v w"]
    motions: MotionWeights
    regions: BodyRegions
    heart_points_mm: npt.NDArray[np.float64]
    back_points_mm: npt.NDArray[np.float64]
    sizes: Mapping[str, float]

    @cached_property
    def measured(self) -> MeasuredMotion:
        """Displacement in a breath as it was measured, over the CT's frame as scanned."""
        return MeasuredMotion.of(self.regions)

    @cached_property
    def liver_points_mm(self) -> npt.NDArray[np.float64]:
        """Middles of the liver's voxels, [n, 3] in the CT's frame."""
        points: npt.NDArray[np.float64] = self.grid.points(np.argwhere(self.codes.numpy() == CODE["liver"]))
        return points

    @classmethod
    def prepare(
        cls,
        name: str,
        ct: Volume,
        landmarks: CtLandmarks,
        labels: Volume | None = None,
        names: Mapping[int, str] | None = None,
    ) -> CtBase:
        """Clean a CT and tell its tissues apart (some seconds).

        Args:
            name: of the CT.
            ct: in HU, on a grid along the patient axes in any order and direction.
            landmarks: set on it.
            labels: organ labels on the same grid (TotalSegmentator), where there are some.
            names: label value to name.
        """
        if ct.quantity is not Quantity.HU:
            raise UnitsError(f"a volume in {ct.quantity.unit}", "HU", "pass the CT")
        ct = in_patient_order(ct)
        body = opened(find_body(ct), _SKIN_MM, np.asarray(ct.grid.spacing_mm))
        if labels is None or names is None:
            contrast = find_contrast(ct, body) | bright_heart(ct, body, landmarks)
            tissues = tissues_from_landmarks(ct, body, landmarks, contrast)
        else:
            tissues = tissues_from_labels(ct, body, landmarks, in_patient_order(labels), names)
            near_bone = ndimage.binary_dilation(tissues.mask("bone"), iterations=2)
            contrast = body & (ct.values > _BRIGHT_HU) & ~tissues.mask("bone")
            contrast &= ~(near_bone & tissues.mask("soft_tissue", "fat"))
        hu = _native(ct, body, tissues, contrast)
        return _assembled(name, ct.grid, landmarks, hu, tissues)


def _native(ct: Volume, body: Mask, tissues: TissueMap, contrast: Mask) -> Array:
    """HU of the body alone in air, as they would be without contrast medium, table and noise."""
    hu = ct.values.astype(np.float32)
    for name, typical in _NATIVE_HU.items():
        organ = tissues.mask(name)
        if organ.any():
            # by less than 10 HU an organ is left as it is; no voxel stays more than 30 HU brighter. Both chosen
            excess = float(np.median(hu[organ])) - typical
            hu[organ] = np.minimum(hu[organ] - (excess if excess > 10.0 else 0.0), typical + 30.0)
    organs = tissues.mask(*_NATIVE_HU)
    hu[contrast & ~organs] = _BLOOD_HU
    hu = _evened(hu, tissues, ct.grid)
    for names, typical in ((("blood",), _BLOOD_HU), (("lv_wall", "rv_wall"), _MUSCLE_HU)):
        tissue = tissues.mask(*names)
        hu[tissue & (hu > _BRIGHT_HU)] = typical
    # 2000 HU: more than the densest bone, less than metal (as in `mureg.attenuation.contrast`)
    return np.where(body, np.clip(hu, AIR_HU, 2000.0), np.float32(AIR_HU))


def _evened(hu: Array, tissues: TissueMap, grid: Grid) -> Array:
    """Soft tissue and fat averaged over their own kind, about 5 mm wide."""
    soft = tissues.mask("soft_tissue", "blood", "lv_wall", "rv_wall", "stomach_wall", "stomach", "bowel")
    sigma = [_EVEN_MM / s for s in grid.spacing_mm]
    result = hu.copy()
    for mask in (soft, tissues.mask("fat"), tissues.mask("liver"), tissues.mask("spleen", "kidney")):
        weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma, truncate=2.5)
        mean = ndimage.gaussian_filter(np.where(mask, hu, np.float32(0)), sigma, truncate=2.5)
        # an edge voxel that is partly lung or bone (150 HU off its kind; chosen) keeps what it has
        typical = mask & (np.abs(hu - mean / np.maximum(weight, 1e-3)) < 150.0)
        result[typical] = (mean / np.maximum(weight, 1e-3))[typical]
    return result


def _assembled(name: str, grid: Grid, landmarks: CtLandmarks, hu: Array, tissues: TissueMap) -> CtBase:
    """Cut out the body, continue it below, and derive everything else."""
    body = tissues.codes > 0
    body_box, whole = _body_box(body), grid
    low = whole.affine[:3, 3] - np.asarray(whole.spacing_mm) / 2
    region_mm = np.stack([low, low + np.asarray(whole.extent_mm)], axis=1)
    for axis, mask in enumerate((body, body.swapaxes(0, 1))):
        for end, face in enumerate((mask[:2], mask[-2:])):
            if not face.any():
                region_mm[axis, end] = (2 * end - 1) * np.inf
    below = int(np.ceil(_BELOW_MM / grid.spacing_mm[2]))
    pads = ((_AIR_VOXELS, _AIR_VOXELS), (_AIR_VOXELS, _AIR_VOXELS), (below, 0))
    flat = (pads[0], pads[1], (0, 0))
    start = [body_box[0].start - _AIR_VOXELS, body_box[1].start - _AIR_VOXELS, -below]

    def continued(values: npt.NDArray[np.generic], around: float) -> npt.NDArray[np.generic]:
        inner = np.pad(values[body_box], flat, constant_values=around)
        return np.pad(inner, ((0, 0), (0, 0), pads[2]), mode="edge")

    codes = continued(tissues.codes, CODE["outside"])
    ended = int(np.ceil((_BELOW_MM - _ORGANS_BELOW_MM) / grid.spacing_mm[2]))
    organs = [CODE[n] for n in ("liver", "gallbladder", "spleen", "kidney", "stomach", "stomach_wall")]
    codes[:, :, :ended][np.isin(codes[:, :, :ended], organs)] = CODE["soft_tissue"]
    values = torch.from_numpy(np.ascontiguousarray(continued(hu, AIR_HU), dtype=np.float32))
    affine = grid.affine.copy()
    affine[:3, 3] = grid.points(start)
    own = Grid((codes.shape[0], codes.shape[1], codes.shape[2]), affine)
    mu = Volume(mu_from_hu(values).numpy(), own, Quantity.MU_PER_CM).coarsened(LATTICE_MM)
    heart = Volume.from_numpy(continued(tissues.heart, 0.0), own, Quantity.ACTIVITY).coarsened(LATTICE_MM)
    origin, sizes = _middle_and_sizes(grid, landmarks, tissues, body)
    places = np.argwhere(tissues.heart)
    regions = body_regions(grid, tissues, landmarks)
    return CtBase(
        name=name,
        landmarks=landmarks,
        origin_mm=origin,
        known_mm=region_mm,
        grid=own,
        hu=values,
        codes=torch.from_numpy(np.ascontiguousarray(codes)).to(torch.uint8),
        lattice=mu.grid,
        mu=torch.from_numpy(mu.values),
        heart=torch.from_numpy(heart.values),
        motions=motion_weights(regions),
        regions=regions,
        # many times the 256 that a case draws of them
        heart_points_mm=grid.points(places[:: max(1, len(places) // 20000)]),
        back_points_mm=_lowest_skin(grid, body),
        sizes=sizes,
    )


def _body_box(body: Mask) -> tuple[slice, slice, slice]:
    """All slices, and in x and y what holds the body."""
    x, y = (np.flatnonzero(body.any(axis)) for axis in ((1, 2), (0, 2)))
    return slice(int(x[0]), int(x[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1), slice(0, body.shape[2])


def _middle_and_sizes(
    grid: Grid, landmarks: CtLandmarks, tissues: TissueMap, body: Mask
) -> tuple[Triple, Mapping[str, float]]:
    """Middle of the chest at the left ventricle, and sizes there."""
    z = landmarks.ventricle.centre_mm[2]
    k = int(np.clip(round(float(grid.indices((0.0, 0.0, z))[2])), 0, grid.shape[2] - 1))
    edges = [(int(i[0]), int(i[-1])) for i in (np.flatnonzero(body[:, :, k].any(axis)) for axis in (1, 0))]
    x, y, _ = grid.points([(edges[0][0] + edges[0][1]) / 2, (edges[1][0] + edges[1][1]) / 2, k])
    sizes = {
        "body_width_mm": (edges[0][1] - edges[0][0] + 1) * grid.spacing_mm[0],
        "body_depth_mm": (edges[1][1] - edges[1][0] + 1) * grid.spacing_mm[1],
        "lung_ml": float(tissues.mask("lung").sum()) * grid.voxel_volume_mm3 / 1000.0,
    }
    return (float(x), float(y), z), sizes


def _lowest_skin(grid: Grid, body: Mask) -> npt.NDArray[np.float64]:
    """The body's voxel furthest to the back in every slice."""
    slices = np.flatnonzero(body.any((0, 1)))
    last = [int(np.flatnonzero(body[:, :, k].any(0))[-1]) for k in slices]
    middle = [float(np.flatnonzero(body[:, j, k]).mean()) for j, k in zip(last, slices, strict=True)]
    points: npt.NDArray[np.float64] = grid.points(np.stack([middle, np.asarray(last) + 0.5, slices], axis=1))
    return points


@cache
def _lines() -> tuple[float, float, float]:
    """Slope below and above soft tissue, and mu of soft tissue where they meet."""
    soft = TISSUES["soft_tissue"]
    light = [TISSUES[name] for name in ("lung", "fat", "breast", "soft_tissue", "blood")]
    dense = [TISSUES[name] for name in ("cartilage", "spongy_bone", "cortical_bone")]
    x, y = np.array([t.hu - AIR_HU for t in light]), np.array([t.mu_per_cm for t in light])
    below = float(x @ y / (x @ x))
    meet = below * (soft.hu - AIR_HU)
    x, y = np.array([t.hu - soft.hu for t in dense]), np.array([t.mu_per_cm - meet for t in dense])
    return below, float(x @ y / (x @ x)), meet


def mu_from_hu(hu: Float[Tensor, "x y z"]) -> Float[Tensor, "x y z"]:
    """Attenuation at 140.5 keV in 1/cm: two lines fitted to `TISSUES`, which meet at soft tissue.

    It is the patient's own attenuation, so not the table a hospital converts with (`mureg.attenuation.hu_to_mu`).
    """
    below, above, meet = _lines()
    excess = hu - TISSUES["soft_tissue"].hu
    return torch.where(excess < 0, meet + below * excess, meet + above * excess).clamp_min(0.0)
