"""The model of one acquisition: from activity to expected counts, and its exact transpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.errors import GeometryError, UnitsError
from mureg.geometry import Grid, Quantity, Volume
from mureg.spect import stages
from mureg.spect.acquisition import Acquisition

_VIEWS_AT_ONCE = 6


@dataclass(frozen=True, eq=False)
class ViewBlock:
    """The model of a few views, ready to be applied many times.

    Works in the layout of `mureg.spect.stages`: activity [x, y, z], projections [view, column, z].
    """

    rotation: stages.SparseMatrix
    rotation_transposed: stages.SparseMatrix
    attenuation: Float[Tensor, "view depth column z"] | None
    volume_shape: tuple[int, int, int]
    frame_shape: tuple[int, int, int]

    def project(self, activity: Float[Tensor, "x y z"]) -> Float[Tensor, "view column z"]:
        """Expected counts: rotate, attenuate, add up along the depth."""
        frames = (self.rotation @ activity.reshape(-1, activity.shape[-1])).view(*self.frame_shape, -1)
        return (frames if self.attenuation is None else frames.mul_(self.attenuation)).sum(1)

    def backproject(self, projections: Float[Tensor, "view column z"]) -> Float[Tensor, "x y z"]:
        """The transpose of `project`, step by step in reverse order."""
        if self.attenuation is None:
            frames = projections[:, None].expand(-1, self.frame_shape[1], -1, -1).contiguous()
        else:
            frames = projections[:, None] * self.attenuation
        return (self.rotation_transposed @ frames.view(-1, frames.shape[-1])).view(self.volume_shape)


@dataclass(frozen=True, eq=False)
class SystemModel:
    """How activity on a grid becomes the counts of an acquisition.

    Attributes:
        acquisition: gives angles, pixel size, axis of rotation and rows; its counts are not used.
        grid: of the activity, along the patient axes, spacing and slices equal to the detector's pixels and rows.
        mu: attenuation map in 1/cm on the same grid, or None for no attenuation.

    Activity is in counts per voxel and view: a voxel of 1 adds 1 count to a view when nothing attenuates.
    Raises `GeometryError` where grid, map and detector do not fit, `UnitsError` where mu is not in 1/cm.
    """

    acquisition: Acquisition
    grid: Grid
    mu: Volume | None = None

    def __post_init__(self) -> None:
        rows = self.acquisition.counts.shape[2]
        row_mm, column_mm = self.acquisition.pixel_mm
        expected = (column_mm, column_mm, row_mm)
        if not self.grid.along_patient_axes or not np.allclose(self.grid.spacing_mm, expected, rtol=1e-4):
            raise GeometryError(
                f"a reconstruction grid with spacing {np.round(self.grid.spacing_mm, 3).tolist()} mm",
                f"spacing {np.round(expected, 3).tolist()} mm along the patient axes, as the detector's pixels",
                "use acquisition.grid()",
            )
        middle_offset = abs(self.grid.centre_mm[2] - self.acquisition.centre_mm[2])
        if self.grid.shape[2] != rows or middle_offset > 1e-3 * row_mm:
            raise GeometryError(
                f"{self.grid.shape[2]} slices, {middle_offset:.3f} mm off the middle of the detector rows",
                f"the {rows} slices that the detector rows see",
                "use acquisition.grid()",
            )
        if self.mu is not None and self.mu.quantity is not Quantity.MU_PER_CM:
            raise UnitsError(f"an attenuation map in {self.mu.quantity.unit}", "1/cm", "convert it first")
        if self.mu is not None and self.mu.grid != self.grid:
            raise GeometryError(
                "an attenuation map on another grid than the activity",
                "the same grid",
                "use mu.resampled(onto=grid)",
            )

    def block(self, views: list[int], like: Tensor) -> ViewBlock:
        """Prepare some views, in the precision and on the device of `like`."""
        columns, depths = self.acquisition.counts.shape[3], max(self.grid.shape[:2])
        axis_mm = self.acquisition.centre_mm[:2]
        rotation = scipy.sparse.vstack(
            [
                stages.rotation_matrix(self.grid, axis_mm, columns, depths, self.acquisition.angles_deg[view])
                for view in views
            ],
            format="csr",
        )
        forward = stages.SparseMatrix.from_scipy(rotation, like)
        frame_shape = (len(views), depths, columns)
        factors = None
        if self.mu is not None:
            mu = self.mu.values.to(device=like.device, dtype=like.dtype)
            frames = (forward @ mu.reshape(-1, mu.shape[-1])).view(*frame_shape, -1)
            factors = stages.attenuation_factors(frames, self.grid.spacing_mm[0] / 10.0)
        return ViewBlock(
            forward,
            stages.SparseMatrix.from_scipy(rotation.T.tocsr(), like),
            factors,
            self.grid.shape,
            frame_shape,
        )

    def project(self, activity: Float[Tensor, "x y z"]) -> Float[Tensor, "view row column"]:
        """Expected counts of every view."""
        parts = [self.block(views, activity).project(activity) for views in self._chunks()]
        return detector_order(torch.cat(parts))

    def backproject(self, projections: Float[Tensor, "view row column"]) -> Float[Tensor, "x y z"]:
        """The exact transpose of `project`."""
        inner = inner_order(projections)
        parts = [self.block(views, inner).backproject(inner[views]) for views in self._chunks()]
        return torch.stack(parts).sum(0)

    def _chunks(self) -> list[list[int]]:
        n_views = self.acquisition.n_views
        return [list(range(k, min(k + _VIEWS_AT_ONCE, n_views))) for k in range(0, n_views, _VIEWS_AT_ONCE)]


def detector_order(projections: Float[Tensor, "view column z"]) -> Float[Tensor, "view row column"]:
    """From the inner layout to the detector's: row 0 nearest the head."""
    return projections.transpose(1, 2).flip(1)


def inner_order(projections: Float[Tensor, "view row column"]) -> Float[Tensor, "view column z"]:
    """From the detector's layout to the inner one: z innermost, running to the head."""
    return projections.flip(1).transpose(1, 2).contiguous()
