"""Implicit shapes: signed distances to surfaces (mm, positive inside), and how much of a voxel they cover.

Distances are exact on the surface and to first order beside it, which is all that partial volume needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from mureg.geometry.rigid import Triple

Array = npt.NDArray[np.float64]
Box = tuple[Array, Array]
"""Lowest and highest corner in mm."""

_TINY = 1e-6
"""Keeps roots and quotients finite in the middle of a shape; far below any squared relative distance that matters."""
_TABLE_ENTRIES = 600
"""Steps of at most 1.7 mm, over the 1020 mm of the skin's profiles, between which curves are straight."""


def cover(distance: Float[Tensor, "*point"], voxel_mm: float) -> Float[Tensor, "*point"]:
    """Share of a voxel inside a surface at this signed distance: a straight ramp one voxel wide.

    Exact for a plane across a cubic voxel. For a wall take the difference of two, which stays exact where the wall is
    thinner than the voxel.
    """
    return torch.add(scalar(0.5), distance, alpha=1.0 / voxel_mm).clamp_(0.0, 1.0)


@lru_cache(maxsize=4096)
def scalar(value: float) -> Tensor:
    """A number as torch wants it where only tensors will do; made once, since thousands of small shapes ask for it."""
    return torch.tensor(value)


def smooth_max(a: Tensor, b: Tensor, width_mm: float) -> Tensor:
    """Union with a fillet: the larger, raised by up to `width_mm` / 4 where both are nearly equal (a parabola)."""
    share = (a - b).abs_().mul_(-1.0 / width_mm).add_(1.0).clamp_(min=0.0).square_()
    return torch.maximum(a, b).add_(share, alpha=width_mm / 4.0)


def smooth_min(a: Tensor, b: Tensor, width_mm: float) -> Tensor:
    """Intersection with a rounded edge."""
    return -smooth_max(-a, -b, width_mm)


def smoothstep(values: Tensor) -> Tensor:
    """0 below 0, 1 above 1, with level ends."""
    t = values.clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with axes of its own.

    Attributes:
        centre: mm.
        semi_axes: mm, along the rows of `axes`.
        axes: rows are the unit directions; None for those of the patient.
    """

    centre: Triple
    semi_axes: Triple
    axes: tuple[Triple, Triple, Triple] | None = None

    def distance(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Signed distance (mm): ``k0 (1 - k0) / k1`` where k0, k1 are the lengths of p / r and p / r^2."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        axes = self.axes
        parts = [dx, dy, dz] if axes is None else [dx * u[0] + dy * u[1] + dz * u[2] for u in axes]
        k0 = torch.full_like(parts[0], _TINY)
        k1 = torch.full_like(parts[0], _TINY)
        for part, radius in zip(parts, self.semi_axes, strict=True):
            square = (part * (1.0 / radius)).square_()
            k0 += square
            k1 += square.mul_(1.0 / radius**2)
        return (k0.sqrt() - k0).mul_(k1.rsqrt_())

    @property
    def box(self) -> Box:
        """Bounding box of the shape."""
        axes = np.eye(3) if self.axes is None else np.asarray(self.axes)
        half = np.sqrt(((axes * np.asarray(self.semi_axes)[:, None]) ** 2).sum(0))
        return np.asarray(self.centre) - half, np.asarray(self.centre) + half


@dataclass(frozen=True)
class Capsule:
    """A straight tube with round ends, its radius going over from one end to the other."""

    start: Triple
    end: Triple
    start_radius: float
    end_radius: float

    def distance(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Signed distance (mm) from the nearest place of the axis."""
        start, along = self.start, [b - a for a, b in zip(self.start, self.end, strict=True)]
        length2 = max(sum(step * step for step in along), _TINY)
        dx, dy, dz = x - start[0], y - start[1], z - start[2]
        run = (dx * along[0]).add_(dy, alpha=along[1]).add_(dz, alpha=along[2])
        square = dx.square_().addcmul_(dy, dy).addcmul_(dz, dz)
        t = (run * (1.0 / length2)).clamp_(0.0, 1.0)
        # |p - t along|^2 = |p|^2 - t (2 p.along - t |along|^2)
        square.addcmul_(run.mul_(2.0).sub_(t, alpha=length2), t, value=-1.0)
        return t.mul_(self.end_radius - self.start_radius).add_(self.start_radius).sub_(square.clamp_(min=0.0).sqrt_())

    @property
    def box(self) -> Box:
        """Bounding box of the shape."""
        ends = np.asarray([self.start, self.end])
        radii = np.asarray([[self.start_radius], [self.end_radius]])
        return (ends - radii).min(0), (ends + radii).max(0)


def tube(points: npt.ArrayLike, radii: npt.ArrayLike, pieces: int = 2) -> tuple[Capsule, ...]:
    """Capsules along a smooth curve through points [n, 3] with radii [n], `pieces` from one point to the next."""
    points_mm, radii_mm = np.asarray(points, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))])
    shares = [np.linspace(a, b, pieces, endpoint=False) for a, b in pairwise(knots)]
    places = np.append(np.concatenate(shares), knots[-1])
    curve = PchipInterpolator(knots, np.column_stack([points_mm, radii_mm]))(places).tolist()
    return tuple(
        Capsule((x, y, z), (next_x, next_y, next_z), radius, next_radius)
        for (x, y, z, radius), (next_x, next_y, next_z, next_radius) in pairwise(curve)
    )


def united_box(boxes: list[Box]) -> Box:
    """Bounding box of several boxes."""
    return np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)


@dataclass(frozen=True)
class HeightProfile:
    """A smooth curve through values at places (rising), level beyond its ends (monotone cubic pieces)."""

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, places: Tensor) -> Tensor:
        """Values at places, linear between entries of a fine table."""
        return self._alone(places)[0]

    @cached_property
    def _alone(self) -> Profiles:
        return Profiles((self,))

    @cached_property
    def curve(self) -> PchipInterpolator:
        """The curve between the first and the last knot."""
        return PchipInterpolator(self.knots, self.values)


@dataclass(frozen=True)
class Profiles:
    """Several curves along one axis, interpolated together."""

    curves: tuple[HeightProfile, ...]

    def __call__(self, places: Tensor) -> tuple[Tensor, ...]:
        """Values of each curve at places."""
        table, start, step = self._table
        table_place = ((places - start) * (1.0 / step)).clamp_(0.0, len(table) - 1.001)
        low = table_place.long()
        rows = table.to(places)
        below, above = (torch.nn.functional.embedding(index, rows) for index in (low, low + 1))
        return torch.lerp(below, above, (table_place - low)[..., None]).unbind(-1)

    @cached_property
    def _table(self) -> tuple[Tensor, float, float]:
        start = min(curve.knots[0] for curve in self.curves)
        end = max(curve.knots[-1] for curve in self.curves)
        places = np.linspace(start, end, _TABLE_ENTRIES)
        columns = [curve.curve(np.clip(places, curve.knots[0], curve.knots[-1])) for curve in self.curves]
        return torch.from_numpy(np.stack(columns, -1)), float(start), float(places[1] - places[0])


def outline(x: Tensor, y: Tensor, half_x: Tensor, half_y: Tensor, squareness: float) -> Tensor:
    """Signed distance (mm) to a rounded rectangle between an ellipse (squareness 0) and a rectangle (1).

    Points on it satisfy ``u + v - squareness u v = 1`` for ``u = (x / half_x)^2``, ``v = (y / half_y)^2`` (the squircle
    of Fernandez Guasti).
    """
    u, v = (x / half_x).square(), (y / half_y).square()
    total = u + v
    inner = (total.square() - 4.0 * squareness * u * v).clamp_min(0.0).sqrt()
    radius = ((total + inner) * 0.5 + _TINY).sqrt()
    # steepness of the radius, as for an ellipse
    steep = ((u / half_x.square() + v / half_y.square() + _TINY * 1e-3) / (total + _TINY)).sqrt()
    return (1.0 - radius) / steep
