"""The heart: ventricles, atria, the fat around them.

Where the others lie beside the left ventricle is drawn by eye, see `mureg.simulate.torso`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mureg.geometry.rigid import Triple
from mureg.heart.ventricle import WIDEST
from mureg.simulate.anatomy import Points
from mureg.simulate.torso.body import APEX_WALL, NARROWING, Body
from mureg.simulate.torso.canvas import Patch
from mureg.simulate.torso.shapes import Box, Ellipsoid, smooth_max, smooth_min, united_box

_ATRIUM_WALL_MM, _ENVELOPE_FILLET_MM = 2.0, 14.0
"""Thickness of the atria's walls, and width of the fillets that fill the grooves; drawn by eye."""


@dataclass(frozen=True)
class HeartDistances:
    """Signed distances to the surfaces of the heart.

    Attributes:
        lv_outer, lv_inner: the left ventricle's surfaces, as if it went on beyond its base.
        base: to the base plane, positive on the apex' side.
        rv: outer surface of the right ventricle (the left one not taken out).
        left_atrium, right_atrium: outer surfaces.
    """

    lv_outer: Tensor
    lv_inner: Tensor
    base: Tensor
    rv: Tensor
    left_atrium: Tensor
    right_atrium: Tensor

    @property
    def lv(self) -> Tensor:
        """Outer surface of the left ventricle, closed by its base plane."""
        return torch.minimum(self.lv_outer, self.base)

    @property
    def all(self) -> Tensor:
        """Outer surface of the whole heart."""
        return torch.maximum(torch.maximum(self.lv, self.rv), torch.maximum(self.left_atrium, self.right_atrium))

    @property
    def envelope(self) -> Tensor:
        """The heart with its grooves filled."""
        ventricles = smooth_max(self.lv, self.rv, _ENVELOPE_FILLET_MM)
        atria = smooth_max(self.left_atrium, self.right_atrium, _ENVELOPE_FILLET_MM)
        return smooth_max(ventricles, atria, _ENVELOPE_FILLET_MM)


@dataclass(frozen=True)
class TorsoHeart:
    """Shapes of the heart of one body, undeformed, at end expiration."""

    body: Body

    def distances(self, x: Tensor, y: Tensor, z: Tensor) -> HeartDistances:
        """Signed distances at places."""
        lv = self.body.ventricle
        anterior, lateral, along = self.frame(x, y, z)
        rho2 = anterior.square().add_(lateral.square())
        from_widest = along + (0.5 - WIDEST) * lv.length_mm
        cap, slope = (1.0 - WIDEST) * lv.length_mm, WIDEST * lv.length_mm / (1.0 - NARROWING**2) ** 0.5
        outer = _egg(rho2, from_widest, lv.radius_mm, cap, slope)
        inner = _egg(rho2, from_widest, lv.radius_mm - lv.wall_mm, cap - APEX_WALL * lv.wall_mm, slope)
        base = along.add_(lv.length_mm / 2)
        # the right ventricle ends at the plane of its valves, somewhat nearer the apex than the left
        rv = smooth_min(self.rv.distance(x, y, z), base - 2.0, 8.0)
        la, ra = self.left_atrium.distance(x, y, z), self.right_atrium.distance(x, y, z)
        return HeartDistances(outer, inner, base, rv, la, ra)

    def frame(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distances from the left ventricle's centre along anterior, lateral and apex."""
        lv = self.body.ventricle
        dx, dy, dz = x - lv.centre_mm[0], y - lv.centre_mm[1], z - lv.centre_mm[2]
        return tuple(dx * float(u[0]) + dy * float(u[1]) + dz * float(u[2]) for u in lv.axes)  # type: ignore[return-value]

    def at(self, anterior: float, lateral: float, apex: float) -> Triple:
        """A place (mm) from coordinates of the left ventricle."""
        lv = self.body.ventricle
        place = np.asarray(lv.centre_mm) + np.array([anterior, lateral, apex]) @ lv.axes
        return float(place[0]), float(place[1]), float(place[2])

    @cached_property
    def rv(self) -> Ellipsoid:
        """The right ventricle: wraps the septum from the right and the front."""
        lv, size = self.body.ventricle, self.body.rv
        radius = lv.radius_mm
        centre = _shifted(self.at(0.05 * radius, -0.80 * radius, -0.10 * lv.length_mm), self.body.rv_shift)
        semi = (1.10 * size * radius, 0.98 * size * radius, 0.52 * size * lv.length_mm)
        # its apex leans to that of the left ventricle, its base to the right
        tilt = np.radians(14.0)
        anterior, lateral, apex = lv.axes
        axes = np.stack(
            [anterior, np.cos(tilt) * lateral - np.sin(tilt) * apex, np.sin(tilt) * lateral + np.cos(tilt) * apex]
        )
        return Ellipsoid(centre, semi, _rows(axes))

    @cached_property
    def left_atrium(self) -> Ellipsoid:
        """In front of the spine, behind the base of the left ventricle."""
        lv = self.body.ventricle
        base = np.asarray(self.at(0.0, 0.0, -lv.length_mm / 2))
        front_of_spine = self.body.spine_y - self.body.spine_radius[1]
        depth = float(np.clip((front_of_spine - 9.0 - base[1]) / 2 + 4.0, 17.0, 26.0))
        y = float(min(base[1] + depth - 6.0, front_of_spine - 9.0 - depth))
        place = _shifted((float(base[0]) - 10.0, y, float(base[2]) + 8.0), self.body.atria_shift)
        return Ellipsoid(place, (34.0, depth, 27.0))

    @cached_property
    def right_atrium(self) -> Ellipsoid:
        """The right border of the heart."""
        lv = self.body.ventricle
        place = self.at(-0.2 * lv.radius_mm, -1.15 * lv.radius_mm, -0.5 * lv.length_mm - 14.0)
        place = _shifted((max(place[0], -34.0), place[1], place[2]), self.body.atria_shift)
        return Ellipsoid(place, (25.0, 28.0, 33.0))

    @cached_property
    def ventricle_box(self) -> Box:
        """The box that holds the left ventricle."""
        lv = self.body.ventricle
        ends = np.asarray([self.at(0.0, 0.0, k * lv.length_mm) for k in (-0.5, 0.5)])
        across = lv.radius_mm * np.sqrt(1.0 - np.asarray(lv.apex_direction) ** 2) + 1.0
        return ends.min(0) - across, ends.max(0) + across

    @cached_property
    def box(self) -> Box:
        """The box that holds the heart and its fat."""
        ventricle = self.ventricle_box
        low, high = united_box([ventricle, self.rv.box, self.left_atrium.box, self.right_atrium.box])
        return low - 2.0 * self.body.heart_fat, high + 2.0 * self.body.heart_fat

    def paint(self, patch: Patch) -> None:
        """Paint fat, atria and right ventricle."""
        d = self.distances(*patch.viscera)
        patch.paint(torch.minimum(d.envelope + self.body.heart_fat, patch.fields["cage"] - 2.0), "heart_fat")
        for atrium in (d.right_atrium, d.left_atrium):
            patch.paint_shell(atrium, _ATRIUM_WALL_MM, "soft_tissue", "blood")
        patch.paint_shell(d.rv, self.body.rv_wall, "rv_wall", "blood")

    def paint_ventricle(self, patch: Patch, segments: Sequence[float] | None) -> None:
        """The left ventricle, its wall with the relative perfusion of the 17 segments."""
        wall, cavity = self.lv_shares(patch, self.distances(*patch.viscera))
        factor = None
        if segments is not None:
            places = torch.stack(patch.viscera, -1)
            factor = torch.from_numpy(self.body.ventricle.perfusion(places.numpy(), segments)).to(places)
        patch.lay(1.0 - wall - cavity, (wall, "lv_wall"), (cavity, "blood"), factor=factor)

    def lv_shares(self, patch: Patch, d: HeartDistances) -> tuple[Tensor, Tensor]:
        """Share of each voxel in the left ventricle's wall and in its cavity."""
        before_base = patch.cover(d.base)
        inner = patch.cover(d.lv_inner)
        return (patch.cover(d.lv_outer) - inner).clamp_(min=0.0) * before_base, inner * before_base


def _egg(rho2: Tensor, along: Tensor, radius: float, cap: float, slope: float) -> Tensor:
    """Signed distance to half an ellipsoid of length `cap` towards the apex and one of length `slope` behind it."""
    inverse = torch.where(along > 0, 1.0 / cap**2, 1.0 / slope**2)
    axial = along.square() * inverse
    across = rho2 * (1.0 / radius**2)
    k0 = across + axial + 1e-6
    k1 = across.mul_(1.0 / radius**2).add_(axial.mul_(inverse)).add_(1e-9)
    return (k0.sqrt() - k0).mul_(k1.rsqrt_())


def _shifted(place: Triple, by: Triple) -> Triple:
    return place[0] + by[0], place[1] + by[1], place[2] + by[2]


def _rows(axes: Points) -> tuple[Triple, Triple, Triple]:
    a, b, c = ((float(u[0]), float(u[1]), float(u[2])) for u in axes)
    return a, b, c
