"""Several studies of one orbit at once: to a rotation in the plane they are simply more slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.errors import GeometryError
from mureg.spect.system import SystemModel, ViewBlock, detector_order


def block_of_many(systems: Sequence[SystemModel], views: list[int], like: Tensor) -> ViewBlock:
    """One block for several studies, their slices one after another along z, each with its own attenuation.

    The studies must be alike (`require_alike`); rotation and blur are made once.
    """
    first = systems[0].block(views, like)
    if len(systems) == 1 or first.attenuation is None:
        return first
    plain = first.rotation if systems[0].acquisition.view_weights is None else None
    others = [system.attenuation(views, like, plain) for system in systems[1:]]
    factors = [first.attenuation, *(factor for factor in others if factor is not None)]
    return replace(first, attenuation=torch.cat(factors, dim=-1))


def project_many(
    systems: Sequence[SystemModel], activities: Sequence[Float[Tensor, "x y z"]]
) -> list[Float[Tensor, "view row column"]]:
    """Expected counts of several studies; the same as one by one, to rounding.

    Raises:
        GeometryError: the studies differ in orbit, pixels or grid.
    """
    require_alike(systems)
    together = torch.cat(list(activities), dim=-1)
    parts = [block_of_many(systems, views, together).project(together) for views in systems[0].view_chunks()]
    n_slices = systems[0].grid.shape[2]
    return [detector_order(part) for part in torch.split(torch.cat(parts), n_slices, dim=-1)]


def require_alike(systems: Sequence[SystemModel]) -> None:
    """Refuse studies that cannot share one rotation and one blur."""
    first = systems[0]
    for system in systems[1:]:
        a, b = first.acquisition, system.acquisition
        alike = (
            system.grid.shape == first.grid.shape
            and np.allclose(system.grid.affine - first.grid.affine, _offset(system, first), atol=1e-6)
            and np.array_equal(a.angles_deg, b.angles_deg)
            and a.pixel_mm == b.pixel_mm
            and system.collimator == first.collimator
            and (system.collimator is None or np.array_equal(a.radii_mm, b.radii_mm))  # type: ignore[arg-type]
            and _same(a.view_weights, b.view_weights)
            and _same(a.column_offsets_mm, b.column_offsets_mm)
            and (system.mu is None) == (first.mu is None)
            and (system.scatter is None) == (first.scatter is None)
        )
        if not alike:
            raise GeometryError(
                "studies of different orbits, grids or models in one batch",
                "the same angles, pixels and grid",
                "reconstruct them one by one",
            )


def _offset(system: SystemModel, first: SystemModel) -> npt.NDArray[np.float64]:
    """The part of the difference of two grids that a shift of the axis of rotation explains."""
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = np.subtract(system.acquisition.centre_mm, first.acquisition.centre_mm)
    return matrix


def _same(a: npt.NDArray[np.float64] | None, b: npt.NDArray[np.float64] | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))
