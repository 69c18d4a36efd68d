"""Ordered-subsets expectation maximisation (Hudson and Larkin, IEEE Trans Med Imaging 1994)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mureg.errors import UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import Acquisition, SystemModel
from mureg.spect.system import inner_order


@dataclass(frozen=True)
class Osem:
    """OSEM with whatever the system models.

    Attributes:
        iterations: passes over all views.
        subsets: groups into which the views are dealt, every n-th view into one.
    """

    iterations: Annotated[int, Field(ge=1, le=1000)] = 12
    subsets: Annotated[int, Field(ge=1, le=512)] = 10
    kind: Literal["osem"] = "osem"

    def reconstruct(
        self, acquisition: Acquisition, system: SystemModel, progress: Callable[[int], None] | None = None
    ) -> Volume:
        """Estimate the activity from the photopeak counts, starting from a uniform cylinder.

        Args:
            acquisition: the measured counts; its device and precision are used throughout.
            system: the model of the same acquisition.
            progress: called after each iteration with the number done.

        Returns:
            Activity in counts per voxel and view on `system.grid`, at least 0 and finite; 0 outside the cylinder that
            every view sees.

        Raises:
            UsageError: more subsets than views.
        """
        if self.subsets > acquisition.n_views:
            raise UsageError(
                f"{self.subsets} subsets for {acquisition.n_views} views",
                f"at most {acquisition.n_views} subsets",
                "ask for fewer subsets",
            )
        counts = inner_order(acquisition.photopeak_counts)
        subsets = [list(range(k, acquisition.n_views, self.subsets)) for k in range(self.subsets)]
        blocks = [system.block(views, counts) for views in subsets]
        measured = [counts[views].contiguous() for views in subsets]
        activity = _field_of_view(system.grid, acquisition).to(counts.device).to(counts.dtype)
        # any uniform start will do: the first update sets the scale
        floor = max(float(counts.mean()), 1e-20) * 1e-6
        weights = [_inverse(block.backproject(torch.ones_like(y))) for block, y in zip(blocks, measured, strict=True)]
        for iteration in range(self.iterations):
            for block, y, weight in zip(blocks, measured, weights, strict=True):
                expected = block.project(activity).clamp_min_(floor)
                activity.mul_(block.backproject(torch.div(y, expected, out=expected))).mul_(weight)
            if progress is not None:
                progress(iteration + 1)
        return Volume(activity, system.grid, Quantity.ACTIVITY)


def _inverse(sensitivity: Tensor) -> Tensor:
    """1 / sensitivity, and 0 where a voxel is hardly seen by the subset."""
    seen = sensitivity > 1e-6 * sensitivity.max()
    return torch.where(seen, 1.0 / sensitivity.clamp_min(1e-30), 0.0)


def _field_of_view(grid: Grid, acquisition: Acquisition) -> Bool[Tensor, "x y z"]:
    """Voxels inside the cylinder around the axis of rotation that every view sees."""
    nx, ny, nz = grid.shape
    spacing = grid.spacing_mm[0]
    x = grid.affine[0, 3] + np.arange(nx) * spacing - acquisition.centre_mm[0]
    y = grid.affine[1, 3] + np.arange(ny) * spacing - acquisition.centre_mm[1]
    inside = np.hypot(x[:, None], y[None, :]) <= acquisition.counts.shape[3] * spacing / 2
    return torch.from_numpy(inside)[:, :, None].expand(nx, ny, nz).contiguous()
