"""How much of the myocardium lies over lung: the myocardium-to-mediastinum mismatch index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mureg.geometry import Volume
from mureg.heart.axis import off_wall_mm
from mureg.heart.ventricle import LeftVentricle

_UPTAKE = 0.5
"""Share of the brightest twentieth that myocardium holds at least (docs/concepts/decision.md)."""
_BESIDE_MM = 4.0
"""Distance beyond half a wall that still counts as myocardium (docs/concepts/decision.md)."""
_LUNG_BELOW_PER_CM = 0.08
"""Lower values of the map are lung or air (docs/concepts/decision.md)."""
_FEWEST_VOXELS = 20
"""Chosen: with fewer voxels of myocardium a single one is more than 5 %, and the limit of the index is 3 %."""


def myocardium(spect: Volume, ventricle: LeftVentricle) -> npt.NDArray[np.bool_]:
    """Voxels [x, y, z] of the left-ventricular wall as the SPECT shows it.

    Those within half a wall and 4 mm of the middle of the fitted wall that hold at least half of what the brightest
    twentieth of them holds.
    """
    places = spect.grid.points(np.indices(spect.grid.shape).transpose(1, 2, 3, 0))
    near_mm = np.abs(off_wall_mm(ventricle, places.reshape(-1, 3))).reshape(spect.grid.shape)
    along_mm = (places - np.asarray(ventricle.centre_mm)) @ np.asarray(ventricle.apex_direction)
    candidates: npt.NDArray[np.bool_] = near_mm <= ventricle.wall_mm / 2 + _BESIDE_MM
    candidates &= along_mm >= -ventricle.length_mm / 2
    values = spect.values
    if not candidates.any():
        return candidates
    level = _UPTAKE * float(np.quantile(values[candidates], 0.95))
    bright: npt.NDArray[np.bool_] = candidates & (values >= level) & (values > 0)
    return bright


def mismatch_percent(wall: npt.NDArray[np.bool_], mu: Volume) -> float | None:
    """Share of the myocardium that lies outside the mediastinum of a map, in percent.

    After the quality-control index of Chen et al., J Nucl Cardiol 2006;13:43-9, whose threshold is 3 %. Here outside
    the mediastinum means over lung or air: below 0.08 1/cm, half way between lung and tissue.

    Args:
        wall: voxels of the myocardium on the grid of the map, see `myocardium`.
        mu: 1/cm; voxels outside what the CT covers are left out.

    Returns:
        None where the map covers too little of the myocardium to tell.
    """
    known_wall = wall if mu.outside is None else wall & ~mu.outside
    # half of the myocardium: docs/concepts/decision.md
    if known_wall.sum() < _FEWEST_VOXELS or known_wall.sum() < 0.5 * wall.sum():
        return None
    return float(100.0 * (mu.values[known_wall] < _LUNG_BELOW_PER_CM).mean())
