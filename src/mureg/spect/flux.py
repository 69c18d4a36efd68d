"""What shines on every voxel from every direction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from mureg.geometry import Array
from mureg.jobs.threads import in_threads


def incoming_flux(
    activity: Float[Array, "x y z"],
    mu_per_cm: Float[Array, "x y z"],
    spacing_cm: npt.ArrayLike,
    directions: npt.NDArray[np.float64],
) -> Float[Array, "direction x y z"]:
    """The integral of ``activity exp(-integral of mu) ds`` from each voxel along each direction.

    Swept plane by plane from the far side, so that the rays of all voxels cost one step each: what reaches a voxel is
    what reached the plane before, taken between its voxels by linear weights, weakened over the step, and what the step
    itself adds (short characteristics, Kunasz and Auer, J Quant Spectrosc Radiat Transf 1988, to first order).

    Args:
        activity: per cm^3.
        mu_per_cm: attenuation on the same lattice; there is nothing beyond it.
        spacing_cm: of the lattice, along x, y and z.
        directions: unit vectors [direction, 3] towards where the light comes from.

    Returns:
        For directions spread evenly over the sphere, photons per cm^2 are this over their number.
    """
    spacing = np.asarray(spacing_cm, dtype=np.float64)
    flux = np.empty((len(directions), *activity.shape), dtype=activity.dtype)
    steepest = np.abs(directions).argmax(1)
    groups = [
        (axis, np.flatnonzero((steepest == axis) & (np.sign(directions[:, axis]) == sign)))
        for axis in range(3)
        for sign in (1, -1)
    ]

    def sweep(group: tuple[int, npt.NDArray[np.intp]]) -> None:
        axis, indices = group
        flux[indices] = _swept(activity, mu_per_cm, spacing, directions[indices], axis)

    in_threads(sweep, [group for group in groups if len(group[1])])
    return flux


def _swept(
    activity: Float[Array, "x y z"],
    mu_per_cm: Float[Array, "x y z"],
    spacing: npt.NDArray[np.float64],
    directions: npt.NDArray[np.float64],
    axis: int,
) -> Float[Array, "direction x y z"]:
    """The flux for directions that all cross the planes of one axis, from the same side."""
    b, c = (k for k in range(3) if k != axis)
    dtype = activity.dtype
    sources, mu = (np.ascontiguousarray(np.moveaxis(values, axis, 0)) for values in (activity, mu_per_cm))
    step = spacing[axis] / np.abs(directions[:, axis])
    along_b = _between(directions[:, b] * step / spacing[b], sources.shape[1]).astype(dtype)
    along_c = np.ascontiguousarray(
        _between(directions[:, c] * step / spacing[c], sources.shape[2]).transpose(0, 2, 1), dtype=dtype
    )
    half = (step / 2).astype(dtype)[:, None, None]
    flux = np.empty((len(directions), *sources.shape), dtype=dtype)
    planes = range(len(sources))
    before: Array | None = None
    for plane in reversed(planes) if directions[0, axis] > 0 else planes:
        weakened, own = np.exp(-mu[plane] * half), sources[plane] * half
        plane_flux = own if before is None else own + weakened * (along_b @ before @ along_c)
        flux[:, plane] = plane_flux
        before = weakened * (plane_flux + own)
    return np.moveaxis(flux, 1, axis + 1)


def _between(shifts: npt.NDArray[np.float64], size: int) -> Float[np.ndarray, "direction size size"]:
    """Linear weights that give, for each voxel of a line, the place shifted by so many voxels; 0 beyond it."""
    index = np.arange(size)
    return np.asarray(np.clip(1.0 - np.abs(index[:, None] + shifts[:, None, None] - index), 0.0, None))
