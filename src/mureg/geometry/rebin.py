"""From one lattice to another by the volume that voxels share: sums and means are kept exactly."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mureg.errors import GeometryError
from mureg.geometry import Grid
from mureg.geometry.interpolation import Array


def rebinned(values: Float[Array, "x y z"], grid: Grid, onto: Grid) -> Float[Array, "u v w"]:
    """The mean over each voxel of `onto`; what lies beyond `grid` counts as 0. Both run along the patient axes."""
    if not (grid.along_patient_axes and onto.along_patient_axes):
        raise GeometryError("a rotated grid", "grids along the patient axes", "use Volume.resampled")
    u, v, w = (_shared(grid, onto, axis).astype(values.dtype) for axis in range(3))
    along_z = values @ w.T
    along_y = v @ along_z
    return np.asarray((u @ along_y.reshape(len(along_y), -1)).reshape(len(u), len(v), len(w)))


def _shared(grid: Grid, onto: Grid, axis: int) -> Float[Array, "new old"]:
    """Share of each new voxel's length that each old voxel covers."""
    old, new = (g.affine[axis, 3] + (np.arange(g.shape[axis] + 1) - 0.5) * g.spacing_mm[axis] for g in (grid, onto))
    low = np.maximum(new[:-1, None], old[None, :-1])
    high = np.minimum(new[1:, None], old[None, 1:])
    return np.asarray(np.clip(high - low, 0.0, None) / onto.spacing_mm[axis])
