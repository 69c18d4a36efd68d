"""The long axis of the left ventricle, from its wall or from an image of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from mureg.errors import RefusedError, UsageError
from mureg.geometry import Volume
from mureg.geometry.rigid import Triple
from mureg.heart.axis_search import Cup, DrawnCup, base_mm, draw
from mureg.heart.cup import DIRECTIONS
from mureg.heart.find import APART_MM, PLACES_DRAWN, ventricle_places
from mureg.heart.ventricle import USUAL_WALL_MM, WIDEST, LeftVentricle

Points = Float[np.ndarray, "point 3"]
Weights = Float[np.ndarray, " point"]
Numbers = Float[np.ndarray, " 7"]
Vector = Float[np.ndarray, " 3"]

_FEWEST = 30
"""Voxels of a wall: a whole one of 130 ml has 400 of 6.8 mm; chosen."""
_LEAST_LIKENESS, _SURE_LIKENESS = 0.5, 0.8
"""Of 13 virtual patients the right wall had 0.71 to 0.94, any other place 0.62 at most (commit 617e6ea)."""
_THIN_MM, _WIDE_MM = 0.9, 1.5
"""Spread of the brightest places about the surface at which the confidence is whole, and at which it is 0; chosen."""
_SAME_DIRECTION = float(np.cos(np.radians(5.0)))
"""Two axes agree within 5 degrees, by which evidence/README.md counts axes."""
_SOFT_MM = 5.0
"""Distance beyond which a voxel of the wall counts less: most of half a wall; chosen."""
_WALL_MM = (7.0, 14.0)
"""Limits of a fitted wall: a little beyond what virtual patients have (8 to 13) and CTs show (8.5 to 13)."""
_LENGTH_MM = (55.0, 130.0)
"""Limits of a length: beyond those of all virtual patients (62 to 108)."""


def axis_from_wall(wall: Volume) -> LeftVentricle:
    """Fit a left ventricle to its wall: half an ellipsoid towards the apex, a tube behind it.

    Args:
        wall: share of each voxel in the wall, such as `truth.lv_wall`.

    Raises:
        RefusedError: too few voxels to hold a wall.
    """
    values = wall.values.astype(np.float64)
    inside = values > 0.1  # a tenth of the voxel: less says little about where the wall is; chosen
    return _fitted(wall.grid.points(np.argwhere(inside)), values[inside])


@dataclass(frozen=True)
class FoundAxis:
    """A left ventricle that was found in an image.

    Attributes:
        ventricle: as it was fitted.
        confidence: 0 (a guess) to 1 (sure, or given by hand).
        by_hand: whether the axis was given.
    """

    ventricle: LeftVentricle
    confidence: float
    by_hand: bool = False


def axis_from_image(spect: Volume, mu: Volume | None = None) -> FoundAxis:
    """Find the left ventricle in an image and draw a surface to its wall, from several places and directions.

    The wall's thickness is not resolved by a gamma camera: 12 mm are taken.

    Args:
        spect: corrected or not; the corrected image shows the wall more evenly.
        mu: map that belongs to it, which helps to find the heart.

    Raises:
        RefusedError: nothing there that a ventricle could be fitted to.
    """
    cups = draw(spect, ventricle_places(spect, mu, PLACES_DRAWN))
    if not cups or cups[0].likeness < _LEAST_LIKENESS:
        raise RefusedError(
            "an image without a detectable left ventricle",
            "a wall that is brighter than its cavity and surroundings",
            "check that the heart is in view",
        )
    return FoundAxis(_sized(spect, cups[0].cup), _confidence(cups))


def axis_by_hand(spect: Volume, centre_mm: Triple, direction: Triple) -> FoundAxis:
    """The left ventricle along an axis that was given; only its sizes and its place along the axis are fitted.

    Args:
        spect: corrected or not.
        centre_mm: a point of the long axis near the middle of the ventricle, LPS+, mm, in SPECT space.
        direction: from base to apex, LPS+ (to the patient's left, the front and the feet), of any length.

    Raises:
        UsageError: a direction of no length, or one that points to the patient's right.
        RefusedError: no wall around that axis.
    """
    length = float(np.linalg.norm(direction))
    if not np.isfinite([*centre_mm, length]).all() or length == 0.0 or direction[0] <= 0.0:
        raise UsageError(
            f"an axis along {direction}",
            "a direction from base to apex with a part to the patient's left (x > 0, LPS)",
            "give the direction of the apex seen from the base",
        )
    cups = draw(spect, [centre_mm], _unit(direction))
    if cups[0].likeness < 0.0:
        raise RefusedError("no wall around the axis that was given", "the left ventricle there", "check --axis")
    return FoundAxis(_sized(spect, cups[0].cup), 1.0, by_hand=True)


def _sized(spect: Volume, cup: Cup) -> LeftVentricle:
    """A ventricle with that middle of its wall."""
    ahead = cup.cap_mm + USUAL_WALL_MM / 2
    length = float(np.clip(ahead + base_mm(spect, cup), *_LENGTH_MM))
    _refuse_backward(cup.direction)
    middle = cup.centre_mm + cup.direction * (ahead - length / 2)
    radius = cup.radius_mm + USUAL_WALL_MM / 2
    return LeftVentricle(_triple(middle), _triple(cup.direction), length, radius, USUAL_WALL_MM)


def _confidence(cups: Sequence[DrawnCup]) -> float:
    """High if the surface resembles a wall, lies in bright voxels, and most starts nearby ended at it."""
    best = cups[0]
    near = [cup for cup in cups if np.linalg.norm(cup.cup.centre_mm - best.cup.centre_mm) < APART_MM]
    agreeing_share = np.mean([float(cup.cup.direction @ best.cup.direction) > _SAME_DIRECTION for cup in near])
    alike = np.clip((best.likeness - _LEAST_LIKENESS) / (_SURE_LIKENESS - _LEAST_LIKENESS), 0.0, 1.0)
    thin = np.clip((_WIDE_MM - best.spread_mm) / (_WIDE_MM - _THIN_MM), 0.0, 1.0)
    return round(float(alike * thin * agreeing_share**2), 3)


def off_wall_mm(ventricle: LeftVentricle, points: Points) -> Weights:
    """About how far points lie outside the middle of the wall of a ventricle, mm; negative inside."""
    centre, direction = np.asarray(ventricle.centre_mm), np.asarray(ventricle.apex_direction)
    return _off_surface(_shape_of(ventricle), points, centre, direction)


@dataclass(frozen=True)
class _Shape:
    """Middle of the wall: where it is widest, from the centre along the axis, how long from there, how wide."""

    widest_mm: float
    cap_mm: float
    radius_mm: float


def _shape_of(ventricle: LeftVentricle) -> _Shape:
    widest = (WIDEST - 0.5) * ventricle.length_mm
    radius = ventricle.radius_mm - ventricle.wall_mm / 2
    return _Shape(widest, ventricle.length_mm / 2 - widest - ventricle.wall_mm / 2, radius)


def _off_surface(shape: _Shape, points: Points, centre: Vector, direction: Vector) -> Weights:
    """About how far (mm) points lie outside the middle of the wall."""
    offset = points - centre
    along = offset @ direction
    across = np.sqrt(np.maximum((offset**2).sum(-1) - along**2, 0.0))
    ahead = np.maximum(along - shape.widest_mm, 0.0) / shape.cap_mm
    inside = np.sqrt((across / shape.radius_mm) ** 2 + ahead**2)
    # the length of the gradient makes a distance of it
    steep = np.sqrt((across / shape.radius_mm**2) ** 2 + (ahead / shape.cap_mm) ** 2) / np.maximum(inside, 1e-6)
    return np.asarray((inside - 1.0) / np.maximum(steep, 0.2 / shape.radius_mm))


def _unpacked(numbers: Numbers, across: Float[np.ndarray, "2 3"], start: Vector) -> tuple[_Shape, Vector, Vector]:
    """Shape, centre and direction from what the fit varies: centre, two slopes, cap, radius."""
    direction = start + numbers[3:5] @ across
    direction = direction / np.linalg.norm(direction)
    return _Shape(0.0, abs(float(numbers[5])) + 1.0, abs(float(numbers[6])) + 1.0), numbers[:3], direction


def _residuals(
    numbers: Numbers, points: Points, weights: Weights, across: Float[np.ndarray, "2 3"], start: Vector
) -> Weights:
    shape, centre, direction = _unpacked(numbers, across, start)
    return np.asarray(np.sqrt(weights) * _off_surface(shape, points, centre, direction))


def _fitted(points: Points, weights: Weights) -> LeftVentricle:
    from scipy.optimize import least_squares  # a tenth of a second that other ways to the axis do not need

    if len(points) < _FEWEST:
        raise RefusedError(
            f"{len(points)} voxels of a left-ventricular wall", f"at least {_FEWEST}", "check that the heart is in view"
        )
    weights = weights / weights.max()
    middle = np.average(points, axis=0, weights=weights)
    best = None
    for start in map(_unit, DIRECTIONS):
        across = np.linalg.svd(start[None])[2][1:]
        along = (points - middle) @ start
        # widest 10 mm behind the centroid of the wall, of the usual radius; that and the scales as in heart/cup.py
        guess = [*(middle - 10.0 * start), 0.0, 0.0, float(np.quantile(along, 0.97)) + 10.0, 26.0]
        residuals = partial(_residuals, points=points, weights=weights, across=across, start=start)
        solution = least_squares(residuals, guess, loss="soft_l1", f_scale=_SOFT_MM, x_scale=[5, 5, 5, 0.2, 0.2, 5, 5])
        if best is None or solution.cost < best[0]:
            best = solution.cost, *_unpacked(solution.x, across, start)
    assert best is not None
    return _ventricle(points, weights, *best[1:])


def _ventricle(points: Points, weights: Weights, shape: _Shape, centre: Vector, direction: Vector) -> LeftVentricle:
    """The ventricle with its sizes along the fitted axis."""
    off = _off_surface(shape, points, centre, direction)
    # an even spread over the thickness has a standard deviation of a root of 12-th of it
    # 8 mm, more than half the thickest wall: what lies farther off is no wall
    spread = float(np.sqrt(np.average(np.minimum(np.abs(off), 8.0) ** 2, weights=weights)))
    wall = float(np.clip(np.sqrt(12.0) * spread, *_WALL_MM))
    along = (points - centre) @ direction
    order = np.argsort(along)
    share = np.cumsum(weights[order]) / weights.sum()
    tenth, third = np.interp([0.1, 0.3], share, along[order])
    base = float(tenth - 0.5 * (third - tenth))  # the tube has as much wall in every millimetre: straight back to none
    apex = shape.cap_mm + wall / 2
    length = float(np.clip(apex - base, *_LENGTH_MM))
    _refuse_backward(direction)
    middle = centre + direction * (apex - length / 2)
    radius = float(np.clip(shape.radius_mm + wall / 2, wall + 4.0, 60.0))
    return LeftVentricle(_triple(middle), _triple(_unit(direction)), length, radius, wall)


def _refuse_backward(direction: Vector) -> None:
    if direction[0] <= 0.05:  # 3 degrees; the real CTs of data/hearts.toml have 0.28 or more
        raise RefusedError(
            f"a heart that points along {np.round(direction, 2).tolist()}",
            "a long axis to the patient's left",
            "check the orientation of the image",
        )


def _unit(vector: Vector | Triple) -> Vector:
    return np.asarray(vector, dtype=np.float64) / np.linalg.norm(vector)


def _triple(values: Vector) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
