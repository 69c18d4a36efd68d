"""Surfaces in the shape of a left ventricle, many at a time: where they lie, and how they are fitted to points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from mureg.geometry import Array

# places of a surface of the usual size: 6.8 mm apart around it (a voxel of a usual SPECT), 8 to 10 mm along it
_N_AROUND, _N_DOWN = 24, 7
_TUBE_MM = (4.0, 12.0, 20.0)

DIRECTIONS = ((0.70, -0.55, -0.45), (0.85, -0.30, -0.40), (0.40, -0.75, -0.50))
"""Directions from base to apex that fits start from, LPS+, the most usual one first.

They point 52, 71 and 28 degrees to the left of the sagittal plane and 24 to 30 down; drawn torsos have 40 to 60 and
10 to 40, real CTs 18 to 44 and 4 to 39 (docs/concepts/anatomies.md).
"""

_USUAL = np.array(DIRECTIONS[0]) / np.linalg.norm(DIRECTIONS[0])  # the first one counts as usual
# soft limits, as standard deviations: sizes are near the means of drawn torsos at the middle of the wall (radius 31.7
# less half a wall; 0.7 of a length of 89.7 less half a wall, docs/concepts/anatomies.md); the widths are chosen, two to
# three times those of the torsos, so that real ventricles (radius 29.9, length 80.1) lie well within
_USUAL_WITHIN = 0.45  # of each component of the unit direction: 26 degrees
RADIUS_MM, _RADIUS_WITHIN_MM = 26.0, 6.0
CAP_MM, _CAP_WITHIN_MM = 58.0, 15.0

_LEAST_CAP_MM, _LEAST_RADIUS_MM = 20.0, 12.0
"""Far below those of any adult: they keep a surface from shrinking to a point."""
_SOFT_MM = 4.0
"""Distance beyond which a point counts less and less: a third of a wall; chosen, no measurement is recorded."""
_WEIGHT = 100.0
"""All points together count as so many, beside the five soft limits; chosen, no measurement is recorded."""
FAR_MM = 10.0
"""No point counts as farther off than this, nearly a wall, in the spread that is stated; chosen."""
_SCALE = np.array([5.0, 5.0, 5.0, 5.0, 5.0, 0.2, 0.2])
"""Usual sizes of a step: cap, radius, along the axis, twice across it (mm), two slopes. Chosen."""
_STEPS, _NEGLIGIBLE = 12, 1e-6
"""Steps of one fit at most; it ends where none of the fits gets better by more than this share. Chosen."""


@dataclass(frozen=True, eq=False)
class Cups:
    """Middles of walls: each half an ellipsoid of revolution towards the apex, a tube behind it.

    Attributes:
        centre_mm: on the axis, where the ellipsoid is widest.
        direction: unit vector towards the apex.
        cap_mm: from there to the apex.
        radius_mm: where it is widest.
    """

    centre_mm: Float[Array, "cup 3"]
    direction: Float[Array, "cup 3"]
    cap_mm: Float[Array, " cup"]
    radius_mm: Float[Array, " cup"]

    def __len__(self) -> int:
        return len(self.cap_mm)

    def __getitem__(self, chosen: Int[Array, " some"] | Bool[Array, " cup"]) -> Cups:
        return Cups(self.centre_mm[chosen], self.direction[chosen], self.cap_mm[chosen], self.radius_mm[chosen])

    def with_some(self, chosen: Int[Array, " some"], others: Cups) -> Cups:
        """These surfaces, with the others in the places of `chosen`."""
        changed = Cups(*(of.copy() for of in (self.centre_mm, self.direction, self.cap_mm, self.radius_mm)))
        changed.centre_mm[chosen], changed.direction[chosen] = others.centre_mm, others.direction
        changed.cap_mm[chosen], changed.radius_mm[chosen] = others.cap_mm, others.radius_mm
        return changed

    def off_mm(self, points: Float[Array, "cup point 3"]) -> Float[Array, "cup point"]:
        """About how far points lie outside the surfaces."""
        offset = (points - self.centre_mm[:, None]).transpose(0, 2, 1)
        along, far = _along_and_far(offset, (self.direction[:, None] @ offset)[:, 0])
        return _distances(self, along, far)[0]

    def surface(self) -> Surface:
        """Places all over each of them, about evenly."""
        ring = rings(self.direction)
        turns = np.concatenate([np.zeros(len(_TUBE_MM)), 0.5 * np.pi * np.arange(_N_DOWN + 1) / _N_DOWN])
        cap, radius = self.cap_mm[:, None], self.radius_mm[:, None]
        places, normals, curvature = [], [], []
        for number, turn in enumerate(turns):
            tube = number < len(_TUBE_MM)
            sin, cos = np.sin(turn), np.cos(turn)
            height = np.full_like(cap, -_TUBE_MM[number]) if tube else cap * sin
            # fewer places on the small circles near the apex
            thin = ring[:, :: _N_AROUND if cos < 1e-6 else min(4, int(1.0 / cos))]
            steep = np.hypot(cap * cos, radius * sin)
            along = self.direction[:, None]
            middle = self.centre_mm[:, None] + height[..., None] * along
            places.append(middle + (radius * cos)[..., None] * thin)
            normals.append(((radius * sin)[..., None] * along + (cap * cos)[..., None] * thin) / steep[..., None])
            bent = 0.0 if tube else cap * radius / steep**3
            curvature.append(np.repeat((bent + cap / (radius * steep)) / 2, thin.shape[1], axis=1))
        return Surface(*(np.concatenate(parts, axis=1) for parts in (places, normals, curvature)))


@dataclass(frozen=True, eq=False)
class Surface:
    """Places on surfaces, the unit normals there and the mean curvature (1/mm)."""

    places_mm: Float[Array, "cup point 3"]
    normals: Float[Array, "cup point 3"]
    curvature: Float[Array, "cup point"]


def rings(direction: Float[Array, "cup 3"]) -> Float[Array, "cup angle 3"]:
    """Unit vectors all around directions."""
    first = np.cross(direction, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    around = 2.0 * np.pi * np.arange(_N_AROUND)[:, None] / _N_AROUND
    return np.asarray(np.cos(around) * first[:, None] + np.sin(around) * np.cross(direction, first)[:, None])


def fitted(
    start: Cups, points: Float[Array, "cup point 3"], weights: Float[Array, "cup point"], on_line: bool
) -> tuple[Cups, Float[Array, " cup"]]:
    """The surfaces through points, held softly to the sizes and the direction that ventricles usually have.

    Levenberg and Marquardt's steps, all surfaces at a time.

    Args:
        start: where the fits begin.
        points: each with a weight; the sum of the weights of each surface is above 0.
        weights: at least 0.
        on_line: keep the axes; only the sizes and the place along them are fitted.

    Returns:
        The surfaces, and the weighted root mean square distance of their points, at most 10 mm each.
    """
    numbers = 3 if on_line else 7
    across = np.linalg.svd(start.direction[:, None])[2][:, 1:]
    root = np.sqrt(weights / weights.sum(1, keepdims=True) * _WEIGHT)
    at = np.zeros((len(start), 7))
    at[:, 0], at[:, 1] = start.cap_mm, start.radius_mm
    scale = _SCALE[:numbers]
    damping = np.full(len(start), 1e-3)  # this start, and a factor of 10 up or down, are the usual ones
    places = np.ascontiguousarray(points.transpose(0, 2, 1))
    residuals, slopes = _residuals(start, at, across, places, root)
    cost = (residuals**2).sum(1)
    for _ in range(_STEPS):
        scaled = slopes[:, :numbers] * scale[:, None]
        normal = scaled @ scaled.transpose(0, 2, 1)
        normal += damping[:, None, None] * np.eye(numbers) * np.trace(normal, axis1=1, axis2=2)[:, None, None]
        step = np.linalg.solve(normal, -(scaled @ residuals[..., None]))[..., 0]
        there = at.copy()
        there[:, :numbers] += step * scale
        residuals_there, slopes_there = _residuals(start, there, across, places, root)
        cost_there = (residuals_there**2).sum(1)
        better = cost_there < cost
        gained = np.where(better, cost - cost_there, 0.0)
        at[better], residuals[better], slopes[better] = there[better], residuals_there[better], slopes_there[better]
        damping = np.where(better, damping / 10.0, damping * 10.0)
        cost = np.where(better, cost_there, cost)
        if better.any() and (gained <= _NEGLIGIBLE * cost).all():
            break
    cups = _moved(start, at, across)[0]
    off = np.minimum(np.abs(cups.off_mm(points)), FAR_MM)
    return cups, np.sqrt((off**2 * weights).sum(1) / weights.sum(1))


def _moved(
    start: Cups, at: Float[Array, "cup 7"], across: Float[Array, "cup 2 3"]
) -> tuple[Cups, Float[Array, " cup"]]:
    """The surfaces that these numbers mean, and the length of their directions before they were made unit vectors."""
    direction = start.direction + (at[:, 5:, None] * across).sum(1)
    length = np.linalg.norm(direction, axis=1)
    centre = start.centre_mm + at[:, 2:3] * start.direction + (at[:, 3:5, None] * across).sum(1)
    cap, radius = np.maximum(at[:, 0], _LEAST_CAP_MM), np.maximum(at[:, 1], _LEAST_RADIUS_MM)
    return Cups(centre, direction / length[:, None], cap, radius), length


def _residuals(
    start: Cups,
    at: Float[Array, "cup 7"],
    across: Float[Array, "cup 2 3"],
    points: Float[Array, "cup 3 point"],
    root: Float[Array, "cup point"],
) -> tuple[Float[Array, "cup residual"], Float[Array, "cup 7 residual"]]:
    """Residuals of the points and of the five usual values, and their derivatives by the seven numbers."""
    cups, length = _moved(start, at, across)
    n_points = points.shape[2]
    free_cap, free_radius = at[:, 0] > _LEAST_CAP_MM, at[:, 1] > _LEAST_RADIUS_MM
    # along the axis and across it, by centre and by direction
    ways = np.concatenate([start.direction[:, None], across], axis=1)
    turns = (across - (across @ cups.direction[..., None]) * cups.direction[:, None]) / length[:, None, None]
    offset = points - cups.centre_mm[:, :, None]
    parts = np.concatenate([cups.direction[:, None], ways, turns], axis=1) @ offset
    along, far = _along_and_far(offset, parts[:, 0])
    off, (by_far, by_along, by_cap, by_radius) = _distances(cups, along, far)
    towards = ways @ cups.direction[..., None]
    soft = off / _SOFT_MM
    bend = np.sqrt(1.0 + soft * soft)
    robust = np.sign(soft) * np.sqrt(2.0 * (bend - 1.0))
    # the derivative of the robust residual is 1 where the point lies on the surface
    steep = np.where(np.abs(soft) < 1e-6, 1.0, soft / (bend * np.where(robust == 0.0, 1.0, robust)))
    steep *= root / _SOFT_MM
    residuals = np.empty((len(cups), n_points + 5))
    residuals[:, :n_points] = root * robust
    residuals[:, n_points] = (cups.radius_mm - RADIUS_MM) / _RADIUS_WITHIN_MM
    residuals[:, n_points + 1] = (cups.cap_mm - CAP_MM) / _CAP_WITHIN_MM
    residuals[:, n_points + 2 :] = (cups.direction - _USUAL) / _USUAL_WITHIN
    slopes = np.zeros((len(cups), 7, n_points + 5))
    of_points = slopes[:, :, :n_points]
    of_points[:, 0] = by_cap * free_cap[:, None] * steep
    of_points[:, 1] = by_radius * free_radius[:, None] * steep
    by_far *= steep / np.maximum(far, 1e-9)
    by_along *= steep
    of_points[:, 2:5] = (by_far * along - by_along)[:, None] * towards - by_far[:, None] * parts[:, 1:4]
    of_points[:, 5:7] = (by_along - by_far * along)[:, None] * parts[:, 4:6]
    slopes[:, 1, n_points] = free_radius / _RADIUS_WITHIN_MM
    slopes[:, 0, n_points + 1] = free_cap / _CAP_WITHIN_MM
    slopes[:, 5:, n_points + 2 :] = turns / _USUAL_WITHIN
    return residuals, slopes


def _along_and_far(
    offset: Float[Array, "cup 3 point"], along: Float[Array, "cup point"]
) -> tuple[Float[Array, "cup point"], Float[Array, "cup point"]]:
    """The place along the axis, and the distance from it."""
    square = offset * offset
    return along, np.sqrt(np.maximum(square[:, 0] + square[:, 1] + square[:, 2] - along * along, 0.0))


def _distances(
    cups: Cups, along: Float[Array, "cup point"], far: Float[Array, "cup point"]
) -> tuple[Float[Array, "cup point"], list[Float[Array, "cup point"]]]:
    """About how far points lie outside, and its derivatives.

    They are by the distance from the axis, the place along it, the cap and the radius.

    Args:
        cups: the surfaces.
        along: place of each point along the axis, from the centre.
        far: distance from the axis.
    """
    cap, radius = cups.cap_mm[:, None], cups.radius_mm[:, None]
    across, ahead = far / radius, np.maximum(along, 0.0) / cap
    across_2, ahead_2 = across * across, ahead * ahead
    inside = np.maximum(np.sqrt(across_2 + ahead_2), 1e-6)
    root = np.maximum(np.sqrt(across_2 / radius**2 + ahead_2 / cap**2), 1e-12)
    # the length of the gradient makes a distance of it
    steep, least = root / inside, 0.2 / radius
    flat = steep < least
    steep = np.where(flat, least, steep)
    excess = (inside - 1.0) / steep
    share = excess / steep
    # slopes of the length of the gradient, which is constant but for the radius where it is flat
    by_root, by_inside = np.where(flat, 0.0, 1.0 / (root * inside)), np.where(flat, 0.0, steep / inside)
    slopes = []
    for inside_by, root_by in (
        (across / radius, across / radius**3),
        (ahead / cap, ahead / cap**3),
        (-ahead_2 / cap, -2.0 * ahead_2 / cap**3),
        (-across_2 / radius, -2.0 * across_2 / radius**3),
    ):
        inside_by = inside_by / inside
        slopes.append(inside_by / steep - share * (by_root * root_by - by_inside * inside_by))
    slopes[3] += share * np.where(flat, least / radius, 0.0)
    return excess, slopes
