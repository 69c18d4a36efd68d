"""The left ventricle in an image: a surface that is drawn to the brightest places along its own normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.optimize import least_squares

from mureg.geometry import Volume
from mureg.geometry.rigid import Triple

Points = Float[np.ndarray, "point 3"]
Values = Float[np.ndarray, " point"]
Vector = Float[np.ndarray, " 3"]

_DIRECTIONS = ((0.70, -0.55, -0.45), (0.85, -0.30, -0.40), (0.40, -0.75, -0.50))
_USUAL = np.array([0.70, -0.55, -0.45]) / np.linalg.norm([0.70, -0.55, -0.45])
_USUAL_WITHIN = 0.45
_RADIUS_MM, _RADIUS_WITHIN_MM = 26.0, 6.0
_CAP_MM, _CAP_WITHIN_MM = 58.0, 15.0
_SOFT_MM = 4.0
_BLUR_MM = 6.0
_HOT = 1.25
_WEIGHT = 100.0
_WIDE_MM = (18.0, 16.0, 14.0, 12.0, 10.0, 10.0, 9.0, 9.0)
_NARROW_MM = (12.0, 11.0, 10.0, 10.0, 9.0, 9.0, 8.0, 8.0)
_BEHIND_MM = 5.0
_CLOSER = ((5.0, _NARROW_MM), (20.0, _NARROW_MM), (12.0, _WIDE_MM))
_ROUGH, _FAR_MM = 4, 10.0
_STEP_MM = 1.5
_SHARPNESS = 5.0
_N_AROUND, _N_DOWN = 24, 7
_TUBE_MM = (4.0, 12.0, 20.0)
_BASE_FROM_MM, _BASE_TO_MM = 20.0, 50.0


@dataclass(frozen=True)
class Cup:
    """Middle of the wall: half an ellipsoid of revolution towards the apex, a tube behind it.

    Attributes:
        centre_mm: on the axis, where the ellipsoid is widest.
        direction: unit vector towards the apex.
        cap_mm: from there to the apex.
        radius_mm: where it is widest.
    """

    centre_mm: Vector
    direction: Vector
    cap_mm: float
    radius_mm: float

    def off_mm(self, points: Points) -> Values:
        """About how far points lie outside the surface."""
        offset = points - self.centre_mm
        along = offset @ self.direction
        across = np.sqrt(np.maximum((offset**2).sum(-1) - along**2, 0.0))
        ahead = np.maximum(along, 0.0) / self.cap_mm
        inside = np.sqrt((across / self.radius_mm) ** 2 + ahead**2)
        # the length of the gradient makes a distance of it
        steep = np.sqrt((across / self.radius_mm**2) ** 2 + (ahead / self.cap_mm) ** 2) / np.maximum(inside, 1e-6)
        return np.asarray((inside - 1.0) / np.maximum(steep, 0.2 / self.radius_mm))

    def surface(self) -> Surface:
        """Places all over it, about evenly."""
        ring = _ring(self.direction)
        tube = np.zeros(len(_TUBE_MM))
        turns = np.concatenate([tube, 0.5 * np.pi * np.arange(_N_DOWN + 1) / _N_DOWN])
        heights = np.concatenate([-np.asarray(_TUBE_MM), self.cap_mm * np.sin(turns[len(tube) :])])
        places, normals, curvature = [], [], []
        for turn, height in zip(turns, heights, strict=True):
            # fewer places on the small circles near the apex
            thin = ring[:: _N_AROUND if np.cos(turn) < 1e-6 else min(4, int(1.0 / np.cos(turn)))]
            steep = np.hypot(self.cap_mm * np.cos(turn), self.radius_mm * np.sin(turn))
            places.append(self.centre_mm + height * self.direction + self.radius_mm * np.cos(turn) * thin)
            normals.append((self.radius_mm * np.sin(turn) * self.direction + self.cap_mm * np.cos(turn) * thin) / steep)
            along = 0.0 if height < 0.0 else self.cap_mm * self.radius_mm / steep**3
            curvature.append(np.full(len(thin), (along + self.cap_mm / (self.radius_mm * steep)) / 2))
        return Surface(np.concatenate(places), np.concatenate(normals), np.concatenate(curvature))


@dataclass(frozen=True, eq=False)
class Surface:
    """Places on a surface, the unit normals there and the mean curvature (1/mm)."""

    places_mm: Points
    normals: Points
    curvature: Values


@dataclass(frozen=True)
class DrawnCup:
    """A surface drawn to an image.

    Attributes:
        cup: where it ended.
        likeness: -1 to 1; how much wall is brighter than cavity and surroundings, and how evenly it is all there.
        spread_mm: of the brightest places about the surface.
    """

    cup: Cup
    likeness: float
    spread_mm: float


def draw(spect: Volume, starts: Sequence[Triple], along: Vector | None = None) -> list[DrawnCup]:
    """Draw surfaces from several places and directions; the one most like a ventricle first.

    Args:
        spect: corrected or not.
        starts: near the middle of the ventricle, mm.
        along: unit vector; the axis stays on the line through the start along it.
    """
    image = Sampled.of(spect)
    directions = [along] if along is not None else [np.asarray(d) / np.linalg.norm(d) for d in _DIRECTIONS]

    def drawn(start: Triple, direction: Vector, behind_mm: float, windows_mm: Sequence[float]) -> DrawnCup:
        cup = Cup(np.asarray(start) - behind_mm * direction, direction, _CAP_MM, _RADIUS_MM)
        return _drawn(image, cup, windows_mm, along is not None)

    # once from every place with a wide profile, then from all sides at the best of them, also with a narrow one that
    # cannot be drawn away to what is bright beside the wall
    once = [drawn(start, directions[0], _BEHIND_MM, _WIDE_MM) for start in starts]
    order = sorted(range(len(once)), key=lambda k: -once[k].likeness)
    more = [
        drawn(starts[k], direction, behind_mm, windows_mm)
        for k in order[:1]
        for direction in directions
        for behind_mm, windows_mm in _CLOSER
    ]
    return sorted([*once, *more], key=lambda one: -one.likeness)


@dataclass(frozen=True, eq=False)
class Sampled:
    """An image ready to be sampled at places."""

    volume: Volume
    values: Float[np.ndarray, "x y z"]

    @classmethod
    def of(cls, spect: Volume) -> Sampled:
        """Image of a volume in float64, with negative values set to 0."""
        return cls(spect, np.maximum(spect.values.astype(np.float64), 0.0))

    def at(self, places_mm: Float[np.ndarray, "*place 3"]) -> Float[np.ndarray, "*place"]:
        """Trilinear; 0 outside the image."""
        indices = np.moveaxis(self.volume.grid.indices(places_mm), -1, 0)
        sampled: Float[np.ndarray, "*place"] = ndimage.map_coordinates(self.values, indices, order=1, mode="constant")
        return sampled


def _drawn(image: Sampled, cup: Cup, windows_mm: Sequence[float], on_line: bool) -> DrawnCup:
    best = DrawnCup(cup, -1.0, _FAR_MM)
    for number, window_mm in enumerate(windows_mm):
        points, weights = _brightest(image, cup, window_mm)
        if not weights.sum() > 0.0:
            break
        cup, spread = _fitted(cup, points, weights, on_line)
        if number >= _ROUGH and (likeness := _likeness(image, cup)) > best.likeness:
            best = DrawnCup(cup, likeness, spread)
    return best


def _brightest(image: Sampled, cup: Cup, window_mm: float) -> tuple[Points, Values]:
    """Along each normal the middle of what is bright near the surface, and how bright it is there."""
    surface = cup.surface()
    places, normals = surface.places_mm, surface.normals
    steps = np.arange(-window_mm, window_mm + 0.1, _STEP_MM)
    values = image.at(places[:, None] + steps[:, None] * normals[:, None])
    # what lies farther off has to be brighter: liver and gut are beside the wall
    near = np.exp(-0.5 * (steps / (0.7 * window_mm)) ** 2)
    share = (values * near / (values * near).max(axis=1, keepdims=True).clip(1e-30)) ** _SHARPNESS
    off = (share * steps).sum(1) / share.sum(1).clip(1e-30)
    level = (values * share).sum(1) / share.sum(1).clip(1e-30)
    # blur moves the brightest place of a curved wall towards the side it is bent to
    off += _BLUR_MM**2 * surface.curvature
    usual = float(np.median(level))
    if usual <= 0.0:
        return places, np.zeros(len(places))
    bright = level / usual
    # a defect says little about where the wall is, and what is much brighter than the rest is no wall
    weights = np.minimum(bright, 1.0) ** 2 * np.minimum(_HOT / np.maximum(bright, 1e-30), 1.0) ** 4
    return places + off[:, None] * normals, weights


def _fitted(start: Cup, points: Points, weights: Values, on_line: bool) -> tuple[Cup, float]:
    """The surface through points, held softly to the sizes and the direction that ventricles usually have."""
    across = np.linalg.svd(start.direction[None])[2][1:]
    root = np.sqrt(weights / weights.sum() * _WEIGHT)

    def cup_of(numbers: Float[np.ndarray, " n"]) -> Cup:
        """From cap, radius, the way along the axis, and unless the line is kept two ways across it and two slopes."""
        ways, slopes = np.split(numbers[3:], 2)
        direction = start.direction + slopes @ across[: len(slopes)]
        centre = start.centre_mm + numbers[2] * start.direction + ways @ across[: len(ways)]
        cap, radius = max(float(numbers[0]), 20.0), max(float(numbers[1]), 12.0)
        return Cup(centre, direction / np.linalg.norm(direction), cap, radius)

    def residuals(numbers: Float[np.ndarray, " n"]) -> Values:
        cup = cup_of(numbers)
        off = cup.off_mm(points) / _SOFT_MM
        robust = np.sign(off) * np.sqrt(2.0 * (np.sqrt(1.0 + off**2) - 1.0))
        prior = [
            (cup.radius_mm - _RADIUS_MM) / _RADIUS_WITHIN_MM,
            (cup.cap_mm - _CAP_MM) / _CAP_WITHIN_MM,
            *(cup.direction - _USUAL) / _USUAL_WITHIN,
        ]
        return np.concatenate([root * robust, prior])

    guess = [start.cap_mm, start.radius_mm, 0.0, *([] if on_line else [0.0] * 4)]
    scale = [5.0, 5.0, 5.0, *([] if on_line else [5.0, 5.0, 0.2, 0.2])]
    found = least_squares(residuals, guess, x_scale=scale, max_nfev=12)
    cup = cup_of(found.x)
    spread = float(np.sqrt(np.average(np.minimum(np.abs(cup.off_mm(points)), _FAR_MM) ** 2, weights=weights)))
    return cup, spread


def _likeness(image: Sampled, cup: Cup) -> float:
    """Normalised correlation of the image with a bright wall between a cold cavity and cold surroundings.

    Surroundings below the ventricle do not count: liver and gut may be hot.
    """
    places, normals = cup.surface().places_mm, cup.surface().normals
    beside = normals[:, 2] > -0.3
    wall = np.stack([image.at(places + s * normals) for s in (-3.0, 0.0, 3.0)]).max(0)
    cavity = image.at(cup.centre_mm + 0.35 * (places - cup.centre_mm))
    around = image.at(places + 19.0 * normals)[beside]
    values = np.concatenate([np.minimum(wall, 1.5 * np.median(wall)), cavity, around])
    model = np.concatenate([np.ones(len(wall)), np.full(len(cavity), 0.25), np.full(len(around), 0.1)])
    if values.std() == 0.0:
        return -1.0
    return float(np.corrcoef(values, model)[0, 1])


def base_mm(spect: Volume, cup: Cup) -> float:
    """How far behind the widest place the wall ends: where half of what each angle holds ahead of it is left.

    The median over the angles; blur leaves half of an edge at its place.
    """
    ring = _ring(cup.direction)
    heights = np.arange(_BASE_FROM_MM, -_BASE_TO_MM, -_STEP_MM)
    radii = cup.radius_mm + np.arange(-6.0, 6.1, _STEP_MM)
    places = cup.centre_mm + heights[:, None, None, None] * cup.direction + radii[:, None, None] * ring
    values = Sampled.of(spect).at(places).max(1)
    plateau = np.quantile(values[heights >= -4.0], 0.6, axis=0)
    ends = []
    for angle in range(_N_AROUND):
        below = np.flatnonzero((values[:, angle] < 0.5 * plateau[angle]) & (heights < 4.0))
        if len(below):
            k = int(below[0])
            high, low = values[k - 1, angle], values[k, angle]
            share = (high - 0.5 * plateau[angle]) / max(high - low, 1e-30)
            ends.append(heights[k - 1] - np.clip(share, 0.0, 1.0) * _STEP_MM)
        else:
            ends.append(-_BASE_TO_MM)
    return float(-np.median(ends))


def _ring(direction: Vector) -> Points:
    """Unit vectors all around a direction."""
    first = np.cross(direction, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    around = 2.0 * np.pi * np.arange(_N_AROUND) / _N_AROUND
    return np.asarray(np.cos(around)[:, None] * first + np.sin(around)[:, None] * np.cross(direction, first))
