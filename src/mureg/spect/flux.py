"""What shines on every voxel from every direction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor


def incoming_flux(
    activity: Float[Tensor, "x y z"],
    mu_per_cm: Float[Tensor, "x y z"],
    spacing_cm: npt.ArrayLike,
    directions: npt.NDArray[np.float64],
) -> Float[Tensor, "direction x y z"]:
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
    flux = activity.new_empty(len(directions), *activity.shape)
    steepest = np.abs(directions).argmax(1)
    for axis in range(3):
        for sign in (1, -1):
            chosen = np.flatnonzero((steepest == axis) & (np.sign(directions[:, axis]) == sign))
            if len(chosen):
                swept = _swept(activity, mu_per_cm, spacing, directions[chosen], axis)
                flux[torch.from_numpy(chosen).to(flux.device)] = swept
    return flux


def _swept(
    activity: Float[Tensor, "x y z"],
    mu_per_cm: Float[Tensor, "x y z"],
    spacing: npt.NDArray[np.float64],
    directions: npt.NDArray[np.float64],
    axis: int,
) -> Float[Tensor, "direction x y z"]:
    """The flux for directions that all cross the planes of one axis, from the same side."""
    b, c = (k for k in range(3) if k != axis)
    sources, mu = activity.movedim(axis, 0), mu_per_cm.movedim(axis, 0)
    step = spacing[axis] / np.abs(directions[:, axis])
    along_b = _between(directions[:, b] * step / spacing[b], sources.shape[1], activity)
    along_c = _between(directions[:, c] * step / spacing[c], sources.shape[2], activity).mT
    half = torch.from_numpy(step / 2).to(activity)[:, None, None]
    flux = activity.new_empty(len(directions), *sources.shape)
    planes = range(len(sources))
    before: Tensor | None = None
    for plane in reversed(planes) if directions[0, axis] > 0 else planes:
        weakened, own = torch.exp(-mu[plane] * half), sources[plane] * half
        here = own if before is None else own + weakened * (along_b @ before @ along_c)
        flux[:, plane] = here
        before = weakened * (here + own)
    return flux.movedim(1, axis + 1)


def _between(shifts: npt.NDArray[np.float64], size: int, like: Tensor) -> Float[Tensor, "direction size size"]:
    """Linear weights that give, for each voxel of a line, the place shifted by so many voxels; 0 beyond it."""
    here = np.arange(size)
    weights = np.clip(1.0 - np.abs(here[:, None] + shifts[:, None, None] - here), 0.0, None)
    return torch.from_numpy(weights).to(like)
