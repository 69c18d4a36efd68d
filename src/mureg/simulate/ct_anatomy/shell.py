"""The surface of a parametric left ventricle, as a distance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mureg.heart.ventricle import WIDEST, LeftVentricle

_AT_BASE = 0.92
"""Outer radius in the base plane relative to the largest; chosen (drawn torsos: 0.93)."""


def wall_distance_mm(ventricle: LeftVentricle, points_mm: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point"]:
    """Distance from the surface of the wall, below 0 inside it.

    The outer surface is half of a prolate ellipsoid towards the apex and narrows a little towards the base plane; the
    inner surface has the same shape, thinner by the wall. Close to a surface the distance is right to a few per cent.
    """
    outer, inner, base = _distances(ventricle, points_mm)
    return torch.maximum(torch.maximum(outer, -inner), base)


def outer_distance_mm(ventricle: LeftVentricle, points_mm: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point"]:
    """Distance from the surface of wall and cavity together, below 0 inside."""
    outer, _, base = _distances(ventricle, points_mm)
    return torch.maximum(outer, base)


def _distances(
    ventricle: LeftVentricle, points_mm: Float[Tensor, "*point 3"]
) -> tuple[Float[Tensor, "*point"], Float[Tensor, "*point"], Float[Tensor, "*point"]]:
    """From the outer surface, from the inner surface (below 0 towards the cavity), and from the base plane."""
    place = torch.from_numpy(ventricle.coordinates(points_mm.numpy())).to(points_mm)
    across = torch.hypot(place[..., 0], place[..., 1])
    along = place[..., 2] + ventricle.length_mm / 2
    from_widest = along - WIDEST * ventricle.length_mm
    wall = ventricle.wall_mm
    outer = _spheroid(across, from_widest, ventricle.radius_mm, ventricle.length_mm, 0.0)
    inner = _spheroid(across, from_widest, ventricle.radius_mm - wall, ventricle.length_mm, wall)
    return outer, inner, -along


def _spheroid(
    across: Float[Tensor, "*point"], along: Float[Tensor, "*point"], radius: float, length: float, cut_mm: float
) -> Float[Tensor, "*point"]:
    to_apex = (1.0 - WIDEST) * length - cut_mm
    to_base = WIDEST * length / (1.0 - _AT_BASE**2) ** 0.5
    half = torch.where(along > 0, to_apex, to_base)
    size = torch.hypot(across / radius, along / half)
    slope = torch.hypot(across / radius**2, along / half**2)
    return torch.where(slope > 1e-9, size * (size - 1.0) / slope.clamp_min(1e-9), -radius)
