"""The 17-segment polar map of a corrected SPECT (Cerqueira et al., Circulation 2002)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from mureg.errors import UsageError
from mureg.geometry import Grid, Volume
from mureg.heart.ventricle import SEGMENTS, TERRITORIES, WIDEST, LeftVentricle

N_ANGLES = 60
"""Rays around the axis: ten in each of six segments, fifteen in each of four, 3 mm apart at the middle of a wall."""
_PER_RING = 4
"""Heights in each third of the cavity: 6 mm apart in one of 70 mm, less than a voxel of a usual SPECT (6.8 mm)."""
_REACH_MM = 8.0
"""Search beyond half a wall, to either side: a little more than such a voxel; chosen."""
_STEP_MM = 1.5
"""Between samples along a ray: less than a quarter of such a voxel, between which values are linear."""
_APEX_RAYS = 8
"""Around the middle one: 45 degrees apart; chosen."""


@dataclass(frozen=True, eq=False)
class PolarMap:
    """Brightest uptake across the wall, from base to apex.

    Attributes:
        rings: [height, angle], heights from base to apex; angle k is ``360 k / N_ANGLES`` degrees from the anterior
            wall towards the lateral wall.
        apex: of the cap beyond the cavity.
        segments: mean of each of the 17 segments; entry n - 1 is segment n of the standard.
    """

    rings: Float[np.ndarray, "height angle"]
    apex: float
    segments: Float[np.ndarray, " 17"]

    @property
    def relative(self) -> Float[np.ndarray, " 17"]:
        """Segments in percent of the brightest segment."""
        return np.asarray(100.0 * self.segments / self.segments.max())

    @property
    def territories(self) -> dict[str, float]:
        """Mean relative uptake of what each coronary artery feeds, percent."""
        return {name: float(self.relative[np.array(of) - 1].mean()) for name, of in TERRITORIES.items()}


def segment_error_percent(polar: PolarMap, reference: PolarMap) -> float:
    """Mean over the 17 segments of the absolute difference of relative uptake, in percent of the maximum."""
    return float(np.abs(polar.relative - reference.relative).mean())


def short_axis_grid(ventricle: LeftVentricle, spacing_mm: float = 3.4) -> Grid:
    """The grid of short-axis slices as they are read, seen from the apex; 3.4 mm is half a voxel of a usual SPECT.

    i runs to the lateral wall (the image's right), j to the inferior wall (down), k from the base to the apex.
    """
    anterior, lateral, apex = ventricle.axes
    half = 1.5 * ventricle.radius_mm  # and 10 mm beyond base and apex: what surrounds the wall is shown; chosen
    n_across = 2 * round(half / spacing_mm) + 1
    n_along = 2 * round((ventricle.length_mm / 2 + 10.0) / spacing_mm) + 1
    affine = np.eye(4)
    affine[:3, :3] = spacing_mm * np.stack([lateral, -anterior, apex], axis=1)
    middle = np.array([n_across - 1, n_across - 1, n_along - 1]) / 2
    affine[:3, 3] = np.asarray(ventricle.centre_mm) - affine[:3, :3] @ middle
    return Grid((n_across, n_across, n_along), affine)


def short_axis(spect: Volume, ventricle: LeftVentricle, spacing_mm: float = 3.4) -> Volume:
    """The image reoriented along the ventricle with one interpolation; see `short_axis_grid`."""
    return spect.resampled(onto=short_axis_grid(ventricle, spacing_mm))


def polar_map(spect: Volume, ventricle: LeftVentricle) -> PolarMap:
    """Sample the brightest value across the wall on rays from the long axis, all around it, and along it at the apex.

    Each ray searches a short distance to either side of the expected wall, so that a hot liver beside the wall is not
    taken for it. Base, middle and apical segments are thirds of the cavity's length; the apex is the cap beyond it.

    Args:
        spect: on any grid, sampled with one trilinear interpolation.
        ventricle: in the same space, known or estimated.

    Raises:
        UsageError: an image without uptake in the wall.
    """
    cavity = ventricle.length_mm - ventricle.wall_mm
    heights = cavity * (np.arange(3 * _PER_RING) + 0.5) / (3 * _PER_RING)
    rings = np.stack([_around(spect, ventricle, float(height)) for height in heights])
    apex = _apex(spect, ventricle)
    if not (rings.max() > 0.0 or apex > 0.0):
        raise UsageError("no uptake in the left-ventricular wall", "an image of the heart", "check image and axis")
    return PolarMap(rings, apex, segment_means(rings, apex))


def segment_means(rings: Float[np.ndarray, "height angle"], apex: float) -> Float[np.ndarray, " 17"]:
    """Means over the 17 segments of rings from base to apex, the same number of them in each third.

    Segments 1 to 6 and 7 to 12 are 60 degrees wide, 13 to 16 are 90, counted from the anterior wall to the septum.
    """
    towards_septum = -360.0 * np.arange(rings.shape[1]) / rings.shape[1]
    means = []
    for third, sectors in zip(np.split(rings, 3), (6, 6, 4), strict=True):
        # the angle on an edge belongs to both of its neighbours
        place = (towards_septum * sectors / 360.0) % sectors
        for sector in range(sectors):
            off = np.abs((place - sector + sectors / 2) % sectors - sectors / 2)
            weight = np.where(np.isclose(off, 0.5), 0.5, (off < 0.5).astype(np.float64))
            means.append(float((third.mean(0) * weight).sum() / weight.sum()))
    values = np.array([*means, apex])
    assert len(values) == len(SEGMENTS)
    return values


def wall_radius_mm(ventricle: LeftVentricle, height_mm: float) -> float:
    """Distance from the axis to the middle of the wall at a height above the base plane."""
    widest = WIDEST * ventricle.length_mm
    cap = ventricle.length_mm - widest - ventricle.wall_mm / 2
    ahead = np.clip((height_mm - widest) / cap, 0.0, 1.0)
    return float((ventricle.radius_mm - ventricle.wall_mm / 2) * np.sqrt(1.0 - ahead**2))


def _around(spect: Volume, ventricle: LeftVentricle, height_mm: float) -> Float[np.ndarray, " angle"]:
    """Brightest value on every ray at one height."""
    anterior, lateral, apex = ventricle.axes
    radius, reach = wall_radius_mm(ventricle, height_mm), ventricle.wall_mm / 2 + _REACH_MM
    # not below 0.4 of the radius, so that rays do not meet in the cavity near the apex; chosen
    radii = np.arange(max(0.4 * radius, radius - reach), radius + reach, _STEP_MM)
    angles = 2.0 * np.pi * np.arange(N_ANGLES) / N_ANGLES
    direction = np.cos(angles)[:, None] * anterior + np.sin(angles)[:, None] * lateral
    on_axis = np.asarray(ventricle.centre_mm) + (height_mm - ventricle.length_mm / 2) * apex
    return np.asarray(_sampled(spect, on_axis + radii[:, None, None] * direction).max(0))


def _apex(spect: Volume, ventricle: LeftVentricle) -> float:
    """Mean of the brightest values on rays along the axis through the middle of the cap."""
    anterior, lateral, apex = ventricle.axes
    reach = ventricle.wall_mm / 2 + _REACH_MM
    tip = ventricle.length_mm / 2 - ventricle.wall_mm / 2
    along = np.arange(tip - reach, tip + reach, _STEP_MM)
    angles = 2.0 * np.pi * np.arange(_APEX_RAYS) / _APEX_RAYS
    around = np.cos(angles)[:, None] * anterior + np.sin(angles)[:, None] * lateral
    # a quarter of the radius: within the cap, whose surface is nearly across the axis there; chosen
    starts = np.concatenate([np.zeros((1, 3)), 0.25 * (ventricle.radius_mm - ventricle.wall_mm / 2) * around])
    places = np.asarray(ventricle.centre_mm) + starts + along[:, None, None] * apex
    return float(_sampled(spect, places).max(0).mean())


def _sampled(spect: Volume, places_mm: Float[np.ndarray, "*place 3"]) -> Float[np.ndarray, "*place"]:
    """Trilinear values at places; 0 outside the image."""
    indices = np.moveaxis(spect.grid.indices(places_mm), -1, 0)
    values = spect.values.astype(np.float64)
    sampled: Float[np.ndarray, "*place"] = ndimage.map_coordinates(values, indices, order=1, mode="constant")
    return sampled
