"""Reading a prepared CT at the places of a moved, breathing patient: interpolation, partial volume, density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.geometry import Grid
from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import LeftVentricle
from mureg.simulate.ct_anatomy.labels import TISSUE_NAMES
from mureg.simulate.tracer import Tracer

_LEAST_DENSITY, _MOST_DENSITY = 0.5, 2.0
"""Limits of the change of density in a breath: to half and to twice. Chosen."""
_SUBSAMPLE_MM = 3.0
"""Parts of a voxel, at most, from which its share inside a wall is taken: a third of a thin wall. Chosen."""


@dataclass(frozen=True, eq=False)
class SamplePlaces:
    """What the points of a grid are, on every few of its voxels; `spread` brings a channel to all of them.

    Attributes:
        ct_mm: [3, u, v, w] place in the CT's frame.
        rest_mm: [3, u, v, w] place in the patient at end expiration.
        moved_mm: the furthest that a point is from there along each axis.
        squeezed: volume at this point as scanned, relative to now: how much denser lung is here.
        shape: of the grid.
    """

    ct_mm: Float[Tensor, "3 u v w"]
    rest_mm: Float[Tensor, "3 u v w"]
    moved_mm: npt.NDArray[np.float64]
    squeezed: Float[Tensor, "u v w"]
    shape: tuple[int, int, int]

    def spread(self, nodes: Float[Tensor, "channel u v w"]) -> Float[Tensor, "channel x y z"]:
        """Interpolate linearly from the nodes to every voxel."""
        return torch.nn.functional.interpolate(nodes[None], self.shape, mode="trilinear", align_corners=True)[0]

    def read(self, values: Float[Tensor, "channel x y z"], grid: Grid) -> Float[Tensor, "channel i j k"]:
        """Values of a lattice in the CT's frame; beyond it as at its edge."""
        inverse = torch.from_numpy(np.linalg.inv(grid.affine)).float()
        index = torch.einsum("ab,b...->a...", inverse[:3, :3], self.ct_mm) + inverse[:3, 3, None, None, None]
        sizes = torch.tensor(grid.shape)[:, None, None, None]
        places = self.spread(((2 * index + 1) / sizes - 1).flip(0)).permute(1, 2, 3, 0)
        return torch.nn.functional.grid_sample(
            values[None], places[None], mode="bilinear", padding_mode="border", align_corners=False
        )[0]


def texture(lattice: Grid, tracer: Tracer) -> Float[Tensor, "x y z"]:
    """Smooth relative variation: independent values every `texture_mm`, linear in between."""
    shape = [max(2, math.ceil(extent / tracer.texture_mm) + 1) for extent in lattice.extent_mm]
    values = torch.from_numpy(np.random.default_rng(tracer.seed).standard_normal(shape, dtype=np.float32))
    noise = torch.nn.functional.interpolate(values[None, None], lattice.shape, mode="trilinear", align_corners=True)
    return (1.0 + tracer.texture / noise.std() * noise[0, 0]).clamp_(0.5, 1.5)  # five deviations of the largest texture


def uptake_of_codes(tracer: Tracer) -> Float[Tensor, " tissue"]:
    """Uptake for each code of a tissue map; under the ventricle's wall, painted later, there is blood."""
    empty = {"outside": 0.0, "gas": 0.0}
    under = {"lv_wall": "blood"}
    return torch.tensor([empty[n] if n in empty else float(tracer.uptake[under.get(n, n)]) for n in TISSUE_NAMES])


def averaged(
    values: Float[Tensor, "x y z"], spacing_mm: Triple, voxel_mm: npt.NDArray[np.float64]
) -> Float[Tensor, "x y z"]:
    """Running means along each axis, so wide that sampled values stand for voxels of a size; none for equal sizes."""
    for axis, (fine, coarse) in enumerate(zip(spacing_mm, voxel_mm, strict=True)):
        width = math.sqrt(max(0.0, coarse**2 - fine**2)) / fine
        if width > 0.25:  # less changes a value by little; chosen
            values = _running_mean(values, axis, width)
    return values


def _running_mean(values: Float[Tensor, "x y z"], axis: int, width: float) -> Float[Tensor, "x y z"]:
    """Mean over `width` voxels, of which the outermost count in part; at the ends the last voxel goes on."""
    reach = math.ceil(width / 2 - 0.5)
    if reach < 1:
        return values
    n = values.shape[axis]
    ends = [values.narrow(axis, k, 1).expand(*[reach if a == axis else -1 for a in range(3)]) for k in (0, n - 1)]
    padded = torch.cat([ends[0], values, ends[1]], axis)
    result = torch.zeros_like(values)
    for k in range(-reach, reach + 1):
        weight = min(1.0, width / 2 - abs(k) + 0.5) if k else min(1.0, width)
        result.add_(padded.narrow(axis, reach + k, n), alpha=weight / width)
    return result


def denser(
    density: Float[Tensor, "x y z"], places: SamplePlaces, all_below: float, none_above: float
) -> Float[Tensor, "x y z"]:
    """Light tissue (lung) as dense as its remaining volume makes it; other tissue as it is."""
    squeezed = places.squeezed.clamp(_LEAST_DENSITY, _MOST_DENSITY)
    if float((squeezed - 1.0).abs().max()) < 1e-4:
        return density
    light = ((none_above - density) / (none_above - all_below)).clamp_(0.0, 1.0)
    return density * light.mul_(places.spread(squeezed[None])[0] - 1.0).add_(1.0)


def share_inside(
    distance_mm: Callable[[LeftVentricle, Tensor], Tensor],
    ventricle: LeftVentricle,
    points: Float[Tensor, "i j k 3"],
    edges_mm: Float[Tensor, "3 3"],
) -> Float[Tensor, "i j k"]:
    """Share of voxels inside a surface, from the distance of its parts' middles; columns of `edges_mm` span a voxel."""
    counts = [max(1, math.ceil(float(edges_mm[:, k].norm()) / _SUBSAMPLE_MM)) for k in range(3)]
    steps = [(torch.arange(n) + 0.5) / n - 0.5 for n in counts]
    offsets = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3) @ edges_mm.T
    width = float(edges_mm.det().abs() / math.prod(counts)) ** (1 / 3)
    parts = [(0.5 - distance_mm(ventricle, points + offset) / width).clamp_(0.0, 1.0) for offset in offsets]
    return torch.stack(parts).mean(0)
