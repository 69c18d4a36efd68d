"""Painting implicit shapes onto a grid, slab by slab.

Smooth fields (coordinates, distances to the large surfaces) are worked out on a coarse lattice of nodes and raised to
the voxels by Catmull-Rom weights along each axis; small shapes are worked out voxel by voxel inside their boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.geometry import Grid, RigidTransform
from mureg.geometry.grid import Points
from mureg.simulate.torso.shapes import cover, scalar

NODE_MM = 14.0
"""Between nodes; the large surfaces bend little over so much. Chosen."""
_SLAB_VOXELS = 600_000
"""Painted together: 2.4 MB for each field in single precision, so that a dozen fields stay small. Chosen."""

Palette = Mapping[str, float]
"""What each kind of tissue is worth in one channel."""
Window = tuple[slice, slice, slice]
"""Where in a grid."""
Nodes = Mapping[str, Float[Tensor, "u v w"]]
"""Fields by name at the nodes of a lattice."""


class Lattice:
    """Nodes every `NODE_MM` along the axes of a grid, and the weights that lead from nodes to voxels."""

    def __init__(self, grid: Grid, patient_from_grid: RigidTransform) -> None:
        self.shape = grid.shape
        self.affine = patient_from_grid.matrix @ grid.affine
        self.voxel_mm = float(grid.voxel_volume_mm3 ** (1 / 3))
        axes, self.weights, self.steps = [], [], []
        for n, spacing in zip(grid.shape, grid.spacing_mm, strict=True):
            step = max(1.0, NODE_MM / spacing)
            count = int(np.ceil((n - 1) / step)) + 3
            axes.append((np.arange(count) - 1.0) * step)
            self.steps.append(step)
            self.weights.append(_catmull_rom(np.arange(n) / step + 1.0, count))
        index = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        self.points = torch.from_numpy(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def ranges_near(self, inside: Float[Tensor, "u v w"], reach_mm: float) -> list[tuple[int, int]]:
        """Index ranges of the voxels around the nodes where a distance is above ``-reach_mm``."""
        ranges = []
        for axis, n in enumerate(self.shape):
            axes = tuple(k for k in range(3) if k != axis)
            hit = (inside > -reach_mm).amax(axes).nonzero()[:, 0]
            if len(hit) == 0:
                return [(0, 0)] * 3
            low, high = (float(hit[k]) - 1.0 for k in (0, -1))
            step = self.steps[axis]
            ranges.append((max(0, int((low - 1) * step)), min(n, int((high + 1) * step) + 2)))
        return ranges

    def slabs(self, region: Sequence[tuple[int, int]]) -> Iterator[Window]:
        """A region a few planes of the first axis at a time."""
        (start, end), cross_section = region[0], region[1:]
        plane = (cross_section[0][1] - cross_section[0][0]) * (cross_section[1][1] - cross_section[1][0])
        if plane == 0:
            return
        n_slabs = max(1, round((end - start) * plane / _SLAB_VOXELS))
        edges = np.linspace(start, end, n_slabs + 1).round().astype(int)
        for low, high in pairwise(edges):
            yield slice(int(low), int(high)), slice(*cross_section[0]), slice(*cross_section[1])

    def fields(self, nodes: Nodes, slab: Window, shared_fields: Fields | None = None) -> Fields:
        """The fields of a slab from those at the nodes, with all of `shared_fields`."""
        weights = self.weights[0][slab[0]]
        values = torch.stack(list(nodes.values())).float()
        planes = torch.matmul(weights, values.flatten(2)).view(len(values), len(weights), *values.shape[2:])
        return Fields(
            dict(zip(nodes, planes, strict=True)), self.weights[1], self.weights[2], slab, shared_fields=shared_fields
        )

    def index_ranges(self, low_mm: Points, high_mm: Points) -> npt.NDArray[np.int64]:
        """First and one-past-last index [box, axis, 2] of the voxels that boxes [box, 3] in the patient can touch."""
        inverse = np.linalg.inv(self.affine)
        middle = (low_mm + high_mm) / 2 @ inverse[:3, :3].T + inverse[:3, 3]
        half = (high_mm - low_mm) / 2 @ np.abs(inverse[:3, :3]).T + 0.5
        first, last = np.floor(middle - half), np.ceil(middle + half) + 1
        return np.stack([np.clip(first, 0, self.shape), np.clip(last, 0, self.shape)], -1).astype(np.int64)

    def farthest(self, places: Sequence[Tensor]) -> float:
        """The largest distance (mm) of undeformed coordinates at the nodes from the nodes."""
        return float((torch.stack(list(places), -1) - self.points).square().sum(-1).max().sqrt())


def _catmull_rom(places: npt.NDArray[np.float64], count: int) -> Tensor:
    """Weights [place, node] that interpolate between nodes at 0, 1, ...; each place has a node before and two after."""
    low = np.clip(np.floor(places).astype(int), 1, count - 3)
    t = places - low
    weights = np.zeros((len(places), count))
    rows = np.arange(len(places))
    weights[rows, low - 1] = ((-0.5 * t + 1.0) * t - 0.5) * t
    weights[rows, low] = (1.5 * t - 2.5) * t * t + 1.0
    weights[rows, low + 1] = ((-1.5 * t + 2.0) * t + 0.5) * t
    weights[rows, low + 2] = (0.5 * t - 0.5) * t * t
    return torch.from_numpy(weights.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Patch:
    """A box of voxels being painted: views into the fields and channels of a slab.

    Attributes:
        fields: by name, at the voxels.
        channels: what is painted, one tensor and one palette each.
        voxel_mm: edge of a cube as large as a voxel.
        window: the patch in the grid.
    """

    fields: Fields
    channels: Sequence[tuple[Tensor, Palette]]
    voxel_mm: float
    window: Window

    @property
    def wall(self) -> tuple[Tensor, Tensor, Tensor]:
        """Undeformed coordinates of skin and skeleton."""
        return self.fields["x"], self.fields["y"], self.fields["z"]

    @property
    def viscera(self) -> tuple[Tensor, Tensor, Tensor]:
        """Undeformed coordinates at end expiration of what moves with the diaphragm."""
        return self.fields["vx"], self.fields["vy"], self.fields["vz"]

    def cover(self, distance: Tensor) -> Tensor:
        """Share of each voxel inside."""
        return cover(distance, self.voxel_mm)

    def paint(self, distance: Tensor, tissue: str) -> None:
        """Lay a tissue over what is there."""
        self.blend(self.cover(distance), tissue)

    def blend(self, share: Tensor, tissue: str) -> None:
        """Replace a share of each voxel."""
        for channel, palette in self.channels:
            channel.lerp_(scalar(palette.get(tissue, 0.0)), share)

    def paint_shell(self, distance: Tensor, thickness_mm: float, shell: str, core: str) -> None:
        """Lay a shell (under the surface, this thick) and the core inside it over what is there."""
        outer, inner = self.cover(distance), self.cover(distance - thickness_mm)
        outside_share = 1.0 - outer
        self.lay(outside_share, (outer.sub_(inner), shell), (inner, core))

    def lay(self, kept_share: Tensor, *tissues: tuple[Tensor, str], factor: Tensor | None = None) -> None:
        """Keep a share of each voxel and add shares of tissues.

        A `factor` varies the first tissue: ``base + factor (value - base)`` with the palette's "<tissue>:base"; a
        channel whose base is the value itself does not vary.
        """
        for channel, palette in self.channels:
            channel.mul_(kept_share)
            for k, (share, tissue) in enumerate(tissues):
                value = palette.get(tissue, 0.0)
                base = palette.get(f"{tissue}:base", 0.0) if k == 0 and factor is not None else value
                if base != 0:
                    channel.add_(share, alpha=base)
                if factor is not None and value != base:
                    channel.addcmul_(share, factor, value=value - base)

    def part(self, ranges: npt.NDArray[np.int64]) -> Patch | None:
        """The patch inside index ranges [axis, 2] of the whole grid, or None where nothing of it lies in this one."""
        windows = self.window
        inner = []
        for (low, high), own in zip(ranges.tolist(), windows, strict=True):
            low, high = max(low, own.start), min(high, own.stop)
            if low >= high:
                return None
            inner.append(slice(low, high))
        x, y, z = (slice(i.start - s.start, i.stop - s.start) for i, s in zip(inner, windows, strict=True))
        window = (inner[0], inner[1], inner[2])
        return Patch(self.fields.window(window), [(c[x, y, z], p) for c, p in self.channels], self.voxel_mm, window)


class Fields:
    """Smooth fields inside a window of the grid, raised to the voxels when they are first asked for.

    Fields in `EVERYWHERE` are raised for the whole slab and cut; the others only inside the window that asks. States of
    breathing may share fields: those are raised once for all of them.
    """

    EVERYWHERE = frozenset({"x", "y", "z", "vx", "vy", "vz", "cage", "muscle"})

    def __init__(
        self,
        planes: Mapping[str, Float[Tensor, "r v w"]],
        weights_y: Tensor,
        weights_z: Tensor,
        window: Window,
        slab: Fields | None = None,
        shared_fields: Fields | None = None,
    ) -> None:
        self._planes, self._weights_y, self._weights_z = planes, weights_y, weights_z
        self._window, self._slab, self._shared = window, slab, shared_fields
        self._raised: dict[str, Tensor] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._planes or (self._shared is not None and name in self._shared)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self:  # at end expiration what moves lies where it lies
            name = name.removeprefix("v")
        if name not in self._raised:
            self._raised[name] = self._find(name)
        return self._raised[name]

    def window(self, window: Window) -> Fields:
        """The fields inside index ranges of the whole grid, which lie inside this slab."""
        shared_fields = None if self._shared is None else self._shared.window(window)
        return Fields(self._planes, self._weights_y, self._weights_z, window, self, shared_fields)

    def _find(self, name: str) -> Tensor:
        if self._slab is not None and name in self.EVERYWHERE:
            return self._cut(name)
        if self._shared is not None and name not in self._planes:
            return self._shared[name]
        return self._raise(name)

    def _cut(self, name: str) -> Tensor:
        assert self._slab is not None
        return self._slab[name][self._in_slab]

    def _raise(self, name: str) -> Tensor:
        (along_y, nodes_y), (along_z, nodes_z) = self._along
        planes = self._planes[name][self._in_slab[0], nodes_y, nodes_z]
        # z first while there are few rows along y
        return torch.matmul(along_y, torch.matmul(planes, along_z.T))

    @cached_property
    def _in_slab(self) -> Window:
        """This window from the first voxel of the slab."""
        slab = self if self._slab is None else self._slab
        x, y, z = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(self._window, slab._window, strict=True))
        return x, y, z

    @cached_property
    def _along(self) -> tuple[tuple[Tensor, slice], tuple[Tensor, slice]]:
        """Weights along y and z, and the nodes that they weigh."""
        return _needed(self._weights_y, self._window[1]), _needed(self._weights_z, self._window[2])


def _needed(weights: Float[Tensor, "place node"], places: slice) -> tuple[Tensor, slice]:
    """Weights of a range of places, and the nodes that any of them hangs on."""
    own_weights = weights[places]
    first, last = own_weights[0].nonzero()[0, 0], own_weights[-1].nonzero()[-1, 0]
    nodes = slice(int(first), int(last) + 1)
    return own_weights[:, nodes], nodes
