"""The long axis of the left ventricle, from its wall or from an image of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from mureg.errors import RefusedError, UsageError
from mureg.geometry import Volume
from mureg.geometry.rigid import Triple
from mureg.registration.heart import find_left_ventricle
from mureg.simulate.ventricle import LeftVentricle

Points = Float[np.ndarray, "point 3"]
Weights = Float[np.ndarray, " point"]
Numbers = Float[np.ndarray, " 7"]
Vector = Float[np.ndarray, " 3"]

_FEWEST = 30
_STARTS = ((0.70, -0.55, -0.45), (0.85, -0.30, -0.40), (0.40, -0.75, -0.50))
_AROUND_MM = 52.0
_UPTAKE = 0.5
_BAND_MM = 12.0
_SOFT_MM = 5.0
_WALL_MM = (7.0, 14.0)
_LENGTH_MM = (55.0, 130.0)


def axis_from_wall(wall: Volume) -> LeftVentricle:
    """Fit a left ventricle to its wall: half an ellipsoid towards the apex, a tube behind it.

    Args:
        wall: share of each voxel in the wall, such as `truth.lv_wall`.

    Raises:
        RefusedError: too few voxels to hold a wall.
    """
    values = wall.numpy().astype(np.float64)
    inside = values > 0.1
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
    """Estimate the left ventricle in an image: find it, take what is bright around it, fit, and fit again near the fit.

    Args:
        spect: corrected or not; the corrected image shows the wall more evenly.
        mu: map that belongs to it, which helps to find the heart.

    Raises:
        RefusedError: nothing there that a ventricle could be fitted to.
    """
    heart = find_left_ventricle(spect, mu)
    places = spect.grid.points(np.indices(spect.grid.shape).transpose(1, 2, 3, 0))
    offset = places - np.asarray(heart.centre_mm)
    # liver and gut lie below
    near = (np.linalg.norm(offset, axis=-1) < _AROUND_MM) & (offset[..., 2] > -0.8 * _AROUND_MM)
    values = spect.numpy().astype(np.float64)
    level = _UPTAKE * float(np.quantile(values[near], 0.99))
    bright = near & (values > level)
    points, weights = places[bright], values[bright] - level
    first = _fitted(points, np.minimum(weights, level))
    off = np.abs(_off_surface(_shape_of(first), points, np.asarray(first.centre_mm), np.asarray(first.apex_direction)))
    last = _fitted(points[off < _BAND_MM], np.minimum(weights, level)[off < _BAND_MM])
    return FoundAxis(last, heart.confidence)


def axis_by_hand(spect: Volume, centre_mm: Triple, direction: Triple) -> FoundAxis:
    """The sizes of the left ventricle along an axis that was given.

    Args:
        spect: corrected or not.
        centre_mm: a point of the long axis near the middle of the ventricle, LPS+, mm, in SPECT space.
        direction: from base to apex, LPS+ (to the patient's left, the front and the feet), of any length.

    Raises:
        UsageError: a direction of no length, or one that points to the patient's right.
    """
    length = float(np.linalg.norm(direction))
    if not np.isfinite([*centre_mm, length]).all() or length == 0.0 or direction[0] <= 0.0:
        raise UsageError(
            f"an axis along {direction}",
            "a direction from base to apex with a part to the patient's left (x > 0, LPS)",
            "give the direction of the apex seen from the base",
        )
    return FoundAxis(LeftVentricle(centre_mm, _triple(_unit(direction)), 90.0, 34.0, 11.0), 1.0, by_hand=True)


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
    widest = -0.2 * ventricle.length_mm
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
    if len(points) < _FEWEST:
        raise RefusedError(
            f"{len(points)} voxels of a left-ventricular wall", f"at least {_FEWEST}", "check that the heart is in view"
        )
    weights = weights / weights.max()
    middle = np.average(points, axis=0, weights=weights)
    best = None
    for start in map(_unit, _STARTS):
        across = np.linalg.svd(start[None])[2][1:]
        along = (points - middle) @ start
        guess = [*(middle - 10.0 * start), 0.0, 0.0, float(np.quantile(along, 0.97)) + 10.0, 26.0]
        residuals = partial(_residuals, points=points, weights=weights, across=across, start=start)
        found = least_squares(residuals, guess, loss="soft_l1", f_scale=_SOFT_MM, x_scale=[5, 5, 5, 0.2, 0.2, 5, 5])
        if best is None or found.cost < best[0]:
            best = found.cost, *_unpacked(found.x, across, start)
    assert best is not None
    return _ventricle(points, weights, *best[1:])


def _ventricle(points: Points, weights: Weights, shape: _Shape, centre: Vector, direction: Vector) -> LeftVentricle:
    """Sizes along the fitted axis."""
    off = _off_surface(shape, points, centre, direction)
    # an even spread over the thickness has a standard deviation of a root of 12-th of it
    spread = float(np.sqrt(np.average(np.minimum(np.abs(off), 8.0) ** 2, weights=weights)))
    wall = float(np.clip(np.sqrt(12.0) * spread, *_WALL_MM))
    along = (points - centre) @ direction
    order = np.argsort(along)
    share = np.cumsum(weights[order]) / weights.sum()
    tenth, third = np.interp([0.1, 0.3], share, along[order])
    base = float(tenth - 0.5 * (third - tenth))  # the tube has as much wall in every millimetre: straight back to none
    apex = shape.cap_mm + wall / 2
    length = float(np.clip(apex - base, *_LENGTH_MM))
    if direction[0] <= 0.05:
        raise RefusedError(
            f"a heart that points along {np.round(direction, 2).tolist()}",
            "a long axis to the patient's left",
            "check the orientation of the image",
        )
    middle = centre + direction * (apex - length / 2)
    radius = float(np.clip(shape.radius_mm + wall / 2, wall + 4.0, 60.0))
    return LeftVentricle(_triple(middle), _triple(_unit(direction)), length, radius, wall)


def _unit(vector: Vector | Triple) -> Vector:
    return np.asarray(vector, dtype=np.float64) / np.linalg.norm(vector)


def _triple(values: Vector) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
