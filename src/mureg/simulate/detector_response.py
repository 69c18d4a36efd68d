"""Resolution and binning of a camera: from fine columns and slices to the pixels of the detector."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy.special import ndtr
from torch import Tensor

from mureg.simulate.rays import Array, Indices, Rays
from mureg.spect.collimator import FWHM_PER_SIGMA, Collimator

_REACH_SIGMAS = 3.5
"""How far the widest blur reaches: 99.95 % of a Gaussian."""
_NODE_RATIO = 1.3
"""Of the variances for which blur matrices are kept: 14 % in width; what lies between is shared. Chosen."""
SLANTS = np.linspace(0.5, 1.0, 11)
"""Squared cosines between rays and the planes' normal for which blur matrices are kept: 45 to 0 degrees."""


@dataclass(frozen=True, eq=False)
class DetectorResponse:
    """Resolution and binning: from fine columns and slices to the pixels of the detector.

    A place is shared between the two nearest of a few widths so that its variance is right; what belongs to one width
    is added up first and blurred once.

    Attributes:
        nodes_mm2: increasing variances; a single 0 without a collimator.
        rows: [node, slice, row] what part of a slice each detector row gets.
        columns: [slant, column, node * fine column] what part of a fine column each detector column gets.
        n_fine: number of fine columns, as wide as voxels, around the axis of rotation.
        slices: the first and, exclusively, the last slice that can be seen.
    """

    nodes_mm2: Array
    rows: Float[Tensor, "node slice row"]
    columns: Float[Tensor, "slant column node_fine"]
    n_fine: int
    slices: tuple[int, int]

    def between(self, variances_mm2: Array) -> tuple[Indices, Array]:
        """The node below each variance, and how much of the one above to take."""
        if len(self.nodes_mm2) == 1:
            return np.zeros(len(variances_mm2), dtype=np.int64), np.zeros(len(variances_mm2))
        lower = np.clip(np.searchsorted(self.nodes_mm2, variances_mm2) - 1, 0, len(self.nodes_mm2) - 2)
        step = np.diff(self.nodes_mm2)
        return lower, np.clip((variances_mm2 - self.nodes_mm2[lower]) / step[lower], 0.0, 1.0)

    def view(
        self, slant: int, emission: Float[Tensor, "place phase_z"], rays: Rays, shares: Float[Tensor, " phase"]
    ) -> Float[Tensor, "row column"]:
        """Add up the states of breathing and the depths of one view, blur and bin."""
        n_slices, n_rows = self.rows.shape[1:]
        n_phases = len(shares)
        node, last = int(rays.nodes.min()), min(int(rays.nodes.max()) + 2, len(self.rows))
        bag = np.concatenate([rays.nodes, rays.nodes + 1]) - node
        bag = bag * self.n_fine + np.tile(rays.columns, 2)
        weight = np.concatenate([1.0 - rays.upper_share, rays.upper_share])
        entries_used = np.flatnonzero(weight > 1e-7)
        # 16 bits sort by radix
        order = np.argsort(bag[entries_used].astype(np.int16), kind="stable")
        place = (entries_used % len(rays.columns))[order]
        entries = torch.from_numpy((place[:, None] * n_phases + np.arange(n_phases)).ravel().astype(np.int32))
        weights = torch.from_numpy(weight[entries_used][order]).to(emission.dtype)[:, None] * shares
        starts = (
            np.cumsum(np.bincount(bag[entries_used] + 1, minlength=(last - node) * self.n_fine + 1))[:-1] * n_phases
        )
        collected = torch.nn.functional.embedding_bag(
            entries,
            emission.view(-1, n_slices),
            torch.from_numpy(starts.astype(np.int32)),
            mode="sum",
            per_sample_weights=weights.view(-1),
        )
        rows = torch.bmm(collected.view(-1, self.n_fine, n_slices), self.rows[node:last].to(emission.dtype))
        columns = self.columns[slant, :, node * self.n_fine : last * self.n_fine].to(emission.dtype)
        return (columns @ rows.view(-1, n_rows)).T


@functools.lru_cache(maxsize=8)
def response_of(
    collimator: Collimator | None,
    reach_mm: float,
    slices: tuple[float, float, int],
    detector: tuple[int, int, float, float],
) -> DetectorResponse:
    """Matrices for sources up to `reach_mm` away; `slices` are spacing, z of the first from the middle, number.

    `detector` is rows, columns, pixel, and where the axis of rotation is seen from the middle of the columns.
    """
    spacing, first_z, n_slices = slices
    n_rows, n_columns, pixel, centre = detector
    nodes = np.zeros(1)
    if collimator is not None:
        nearest, farthest = (collimator.fwhm_mm([0.0, reach_mm]) / FWHM_PER_SIGMA) ** 2
        n_nodes = 2 + math.ceil(math.log(farthest / nearest) / math.log(_NODE_RATIO))
        nodes = np.geomspace(nearest, farthest, n_nodes)
    margin = _REACH_SIGMAS * math.sqrt(nodes[-1]) + spacing
    n_fine = math.ceil((n_columns * pixel + 2 * (margin + abs(centre))) / spacing)
    z = first_z + (np.arange(n_slices + 1) - 0.5) * spacing
    half = n_rows * pixel / 2 + margin
    in_reach = np.flatnonzero((z[1:] > -half) & (z[:-1] < half))
    first, last = (int(in_reach[0]), int(in_reach[-1]) + 1) if len(in_reach) else (0, 1)
    row_edges = (n_rows / 2 - np.arange(n_rows + 1)) * pixel
    rows = np.stack([-_shared(z[first : last + 1], row_edges, variance) for variance in nodes])
    fine_edges = (np.arange(n_fine + 1) - n_fine / 2) * spacing
    column_edges = (np.arange(n_columns + 1) - n_columns / 2) * pixel - centre
    columns = []
    for cosine_squared in SLANTS:
        # the fine columns spread a shadow as wide as cosine voxels twice by their own width; a voxel is one wide
        artefact = (1.0 + cosine_squared) * spacing**2 / 12.0
        parts = [_shared(fine_edges, column_edges, max(variance - artefact, 0.0)) for variance in nodes]
        columns.append(np.concatenate(parts).T)
    return DetectorResponse(
        nodes,
        torch.from_numpy(rows.astype(np.float32)),
        torch.from_numpy(np.stack(columns).astype(np.float32)),
        n_fine,
        (first, last),
    )


def _shared(source_edges: npt.NDArray[Any], pixel_edges: npt.NDArray[Any], variance: float) -> Array:
    """What part of each uniform source [source] lands in each pixel [pixel] after blur by a Gaussian, in closed form.

    Negative where the pixels' edges fall; the overlap of the intervals for a variance of 0.
    """
    distance = np.asarray(pixel_edges[None, :] - source_edges[:, None], dtype=np.float64)
    if variance > 0:
        sigma = math.sqrt(variance)
        scaled = distance / sigma
        distance = distance * ndtr(scaled) + sigma * np.exp(-0.5 * scaled**2) / math.sqrt(2.0 * math.pi)
    else:
        distance = np.maximum(distance, 0.0)
    return np.asarray(-np.diff(np.diff(distance, axis=1), axis=0) / np.diff(source_edges)[:, None])
