"""The emission over its attenuation map: how an image is shown, where the planes lie, what is drawn over what."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mureg.geometry import Grid, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HeartLocation
from mureg.report.pictures.canvas import draw_glow, draw_outline, draw_values
from mureg.report.pictures.colours import GREY, HEAT, in_bytes
from mureg.report.pictures.panel import Panel
from mureg.report.pictures.planes import Plane, PlaneView
from mureg.spect.collimator import FWHM_PER_SIGMA

LUNG_EDGE_PER_CM = 0.08
"""Outlines follow this level, about half of soft tissue, as the mismatch index does: the edge of lungs and body."""

_SMOOTHING_VOXELS = 0.7
"""Standard deviation of the display filter, in voxels: 11 mm FWHM at 6.8 mm; chosen by eye."""

_BALL_MM = 42.0
"""Of a large ventricle; what lies lower than its lower wall, 28 mm below its middle, does not count; chosen by eye."""

_SQUARE_MM = 32.0
"""Edge of a square of the checkerboard; chosen by eye."""


def smoothed(spect: Volume) -> Volume:
    """The emission as it is shown: after the display filter, which takes the grain of single voxels away."""
    return spect.with_values(ndimage.gaussian_filter(spect.values, _SMOOTHING_VOXELS))


def display_filter(grid: Grid) -> str:
    """The display filter in words, for images on a grid."""
    widths = [_SMOOTHING_VOXELS * FWHM_PER_SIGMA * mm for mm in grid.spacing_mm]
    alike = max(widths) - min(widths) < 0.05
    width = f"{widths[0]:.1f}" if alike else " x ".join(f"{mm:.1f}" for mm in widths)
    return f"Gaussian, FWHM {width} mm"


def brightest_in_heart(spect: Volume, heart: HeartLocation) -> float:
    """The brightest value near the left ventricle, liver and gut below it left out; 1 where all is dark."""
    middle, reach = spect.grid.indices(heart.centre_mm), _BALL_MM / np.asarray(spect.grid.spacing_mm)
    first = np.clip(np.floor(middle - reach), 0, spect.grid.shape).astype(int)
    end = np.clip(np.ceil(middle + reach) + 1, 0, spect.grid.shape).astype(int)
    indices = np.moveaxis(np.indices(end - first), 0, -1) + first
    offsets = spect.grid.points(indices) - np.asarray(heart.centre_mm)
    near = (np.linalg.norm(offsets, axis=-1) < _BALL_MM) & (offsets[..., 2] > -28.0)
    values = spect.values[tuple(map(slice, first, end))]
    brightest = float(values[near].max(initial=0.0)) or float(spect.values.max())
    return brightest if brightest > 0.0 else 1.0


def chest_centre(spect: Volume, heart: HeartLocation, view: PlaneView) -> Triple:
    """The middle of a chest window: the camera's axis from side to side and front to back, the heart's height.

    Every plane goes through the ventricle; the window itself stays on the chest.
    """
    x, y, _ = spect.grid.centre_mm
    middle = [x, y, heart.centre_mm[2]]
    middle[view.through] = heart.centre_mm[view.through]
    return middle[0], middle[1], middle[2]


def draw_fused(panel: Panel, mu: Plane, spect: Plane, bright: float, colour: str, dashed: bool = False) -> None:
    """Paint a map in grey, the emission in colour over it, and the outline of the map's lungs and body."""
    # the window of `Quantity.MU_PER_CM`
    draw_values(panel, mu, GREY, 0.0, 0.2)
    draw_glow(panel, spect, bright)
    draw_outline(panel, mu, LUNG_EDGE_PER_CM, colour, dashed=dashed)


def draw_checkerboard(panel: Panel, mu: Plane, spect: Plane, bright: float) -> None:
    """Paint squares in turn of a map in grey and of the emission in colour; the square at the top left is the map's."""
    # the window of `Quantity.MU_PER_CM`
    draw_values(panel, mu, GREY, 0.0, 0.2)
    step = abs(spect.across_mm[1] - spect.across_mm[0])
    rows, columns = (np.arange(n) * step // _SQUARE_MM for n in spect.values.shape)
    here = (rows[:, None] + columns[None, :]) % 2 == 1
    colours = HEAT(np.clip(spect.values / bright, 0.0, 1.0))
    colours[..., 3] = here & spect.known
    panel.paint(in_bytes(colours), spect.extent_mm, 2.0)
