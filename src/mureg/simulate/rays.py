"""Rays through the planes of a voxel grid, and what part of each voxel they meet there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rays:
    """Places of one view in which its rays cross the planes of the grid: plane by plane, nearest the detector first.

    Attributes:
        cells, weights: which voxels fall on a place and what part of each, place after place.
        starts: where each place begins in `cells`.
        planes: first column and number of columns of every plane that is crossed.
        columns: fine column of each place.
        nodes: the lower of the two widths of the blur between which each place lies.
        upper_share: part of the upper one, so that the variance is right.
    """

    cells: Int[Tensor, " entry"]
    weights: Float[Tensor, " entry"]
    starts: Int[Tensor, " place"]
    planes: list[tuple[int, int]]
    columns: Indices
    nodes: Indices
    upper_share: Array

    def gather(self, volume: Float[Tensor, "cell inner"]) -> Float[Tensor, "place inner"]:
        """Sum of what is projected onto each bin."""
        return torch.nn.functional.embedding_bag(
            self.cells, volume, self.starts, mode="sum", per_sample_weights=self.weights.to(volume.dtype)
        )


@dataclass(frozen=True, eq=False)
class VoxelPlaces:
    """`Rays` of every view, one after another."""

    cells: Int[Tensor, " entry"]
    weights: Float[Tensor, " entry"]
    starts: Indices
    first_of_view: Indices
    n_columns: Indices
    first_column: Indices
    columns: Indices
    nodes: Indices
    upper_share: Array

    def view(self, index: int) -> Rays:
        """The weights of one view."""
        first, last = int(self.first_of_view[index]), int(self.first_of_view[index + 1])
        entry, end = int(self.starts[first]), int(self.starts[last])
        counts = self.n_columns[index]
        plane_numbers = np.flatnonzero(counts)
        planes = np.stack([self.first_column[index], counts])[:, plane_numbers].T.tolist()
        return Rays(
            self.cells[entry:end],
            self.weights[entry:end],
            torch.from_numpy((self.starts[first:last] - entry).astype(np.int32)),
            [(first_column, count) for first_column, count in planes],
            self.columns[first:last],
            self.nodes[first:last],
            self.upper_share[first:last],
        )


def extent_of(
    support: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], main: Indices, plane: Indices
) -> tuple[Indices, Indices, Indices]:
    """First and last cross index of what is in each plane [view, plane], and the last plane with activity [view]."""
    emitting, present = support
    n_planes = plane.shape[1]
    low = np.full((2, n_planes), 1)
    high = np.full((2, n_planes), 0)
    active = np.zeros((2, n_planes), dtype=bool)
    for axis in (0, 1):
        rows = present if axis == 0 else present.T
        n, size = rows.shape
        some = rows.any(1)
        low[axis, :n] = np.where(some, rows.argmax(1), 1)
        high[axis, :n] = np.where(some, size - 1 - rows[:, ::-1].argmax(1), 0)
        active[axis, :n] = (emitting if axis == 0 else emitting.T).any(1)
    valid = (plane >= 0) & (plane < np.array(present.shape)[main][:, None])
    which = np.clip(plane, 0, n_planes - 1)
    across = main[:, None]
    deepest = np.where(active[across, which] & valid, np.arange(n_planes), -1).max(1)
    return np.where(valid, low[across, which], 1), np.where(valid, high[across, which], 0), deepest


def overlaps(
    start: Array, width: Array, plane: Indices, main: Indices, size: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], Array, Indices]:
    """Voxels under stretches of planes, and what part of each voxel.

    Args:
        start, width: of each stretch, in voxels; at most sqrt(2) wide, so that three voxels hold it.
        plane: index of its plane.
        main: 1 for a plane of constant y, 0 of constant x.
        size: number of voxels along x and y.

    Returns:
        Voxels as ``x * ny + y``, their overlaps, and where each stretch begins, with the end of the last.
    """
    nx, ny = size
    first = np.floor(start + 0.5)
    end, face = start + width, first + 0.5
    reach = np.empty((len(start), 3))
    np.subtract(np.minimum(end, face), start, out=reach[:, 0])
    np.subtract(np.minimum(end, face + 1.0), face, out=reach[:, 1])
    np.subtract(end, face + 1.0, out=reach[:, 2])
    cell = first.astype(np.int32)[:, None] + np.arange(3, dtype=np.int32)
    along_x = main == 1
    inside = (reach > 1e-6) & (cell >= 0) & (cell < np.where(along_x, nx, ny).astype(np.int32)[:, None])
    stride = np.where(along_x, ny, 1).astype(np.int32)
    index = cell * stride[:, None] + (plane * np.where(along_x, 1, ny)).astype(np.int32)[:, None]
    starts = np.concatenate([[0], np.cumsum(inside.sum(1))])
    return np.asarray(index[inside], dtype=np.int32), reach[inside], starts
