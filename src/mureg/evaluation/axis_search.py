"""The left ventricle in an image: a surface that is drawn to the brightest places along its own normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
_CAP_MM, _CAP_WITHIN_MM = 56.0, 12.0
_SOFT_MM = 4.0
_WINDOWS_MM = (18.0, 16.0, 14.0, 12.0, 10.0, 10.0, 9.0, 9.0)
_STEP_MM = 1.5
_SHARPNESS = 5.0
_N_AROUND, _N_DOWN = 24, 7
_TUBE_MM = (4.0, 12.0, 20.0)


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

    def surface(self) -> tuple[Points, Points]:
        """Places all over it, about evenly, and the normals there."""
        first = np.cross(self.direction, [0.0, 0.0, 1.0])
        first /= np.linalg.norm(first)
        second = np.cross(self.direction, first)
        around = 2.0 * np.pi * np.arange(_N_AROUND) / _N_AROUND
        ring = np.cos(around)[:, None] * first + np.sin(around)[:, None] * second
        places, normals = [], []
        for height in _TUBE_MM:
            places.append(self.centre_mm - height * self.direction + self.radius_mm * ring)
            normals.append(ring)
        for k in range(_N_DOWN):
            angle = 0.5 * np.pi * k / _N_DOWN  # 0 at the widest place, a right angle at the apex
            thin = ring[:: 1 if k < 4 else 2 if k < 6 else 4]
            places.append(
                self.centre_mm + self.cap_mm * np.sin(angle) * self.direction + self.radius_mm * np.cos(angle) * thin
            )
            normals.append(np.sin(angle) / self.cap_mm * self.direction + np.cos(angle) / self.radius_mm * thin)
        places.append((self.centre_mm + self.cap_mm * self.direction)[None])
        normals.append(self.direction[None])
        normal = np.concatenate(normals)
        return np.concatenate(places), normal / np.linalg.norm(normal, axis=1, keepdims=True)


@dataclass(frozen=True)
class Drawn:
    """A surface drawn to an image.

    Attributes:
        cup: where it ended.
        likeness: -1 to 1; how much wall is brighter than cavity and surroundings, and how evenly it is all there.
        spread_mm: of the brightest places about the surface.
    """

    cup: Cup
    likeness: float
    spread_mm: float


def draw(spect: Volume, starts: Sequence[Triple], fixed: Vector | None = None) -> list[Drawn]:
    """Draw surfaces from several places and directions; the one most like a ventricle first.

    Args:
        spect: corrected or not.
        starts: near the middle of the ventricle, mm.
        fixed: direction that is kept.
    """
    image = Sampled.of(spect)
    directions = [fixed] if fixed is not None else [np.asarray(d) / np.linalg.norm(d) for d in _DIRECTIONS]
    found = []
    for start in starts:
        for direction in directions:
            cup = Cup(np.asarray(start) - 8.0 * direction, direction, _CAP_MM, _RADIUS_MM)
            found.append(_drawn(image, cup, fixed is not None))
    return sorted(found, key=lambda one: -one.likeness)


@dataclass(frozen=True, eq=False)
class Sampled:
    """An image ready to be sampled at places."""

    volume: Volume
    values: Float[np.ndarray, "x y z"]

    @classmethod
    def of(cls, spect: Volume) -> Sampled:
        """In float64, nothing below 0."""
        return cls(spect, np.maximum(spect.numpy().astype(np.float64), 0.0))

    def at(self, places_mm: Float[np.ndarray, "*place 3"]) -> Float[np.ndarray, "*place"]:
        """Trilinear; 0 outside the image."""
        indices = np.moveaxis(self.volume.grid.indices(places_mm), -1, 0)
        sampled: Float[np.ndarray, "*place"] = ndimage.map_coordinates(self.values, indices, order=1, mode="constant")
        return sampled


def _drawn(image: Sampled, cup: Cup, keep_direction: bool) -> Drawn:
    spread = 0.0
    for window_mm in _WINDOWS_MM:
        points, weights = _brightest(image, cup, window_mm)
        cup, spread = _fitted(cup, points, weights, keep_direction)
    return Drawn(cup, _likeness(image, cup), spread)


def _brightest(image: Sampled, cup: Cup, window_mm: float) -> tuple[Points, Values]:
    """Along each normal the middle of what is bright near the surface, and how bright it is there."""
    places, normals = cup.surface()
    steps = np.arange(-window_mm, window_mm + 0.1, _STEP_MM)
    values = image.at(places[:, None] + steps[:, None] * normals[:, None])
    # what lies farther off has to be brighter: liver and gut are beside the wall
    near = np.exp(-0.5 * (steps / (0.7 * window_mm)) ** 2)
    share = (values * near / (values * near).max(axis=1, keepdims=True).clip(1e-30)) ** _SHARPNESS
    off = (share * steps).sum(1) / share.sum(1).clip(1e-30)
    level = (values * share).sum(1) / share.sum(1).clip(1e-30)
    usual = float(np.median(level))
    weights = np.clip(level / max(usual, 1e-30), 0.0, 1.0)
    return places + off[:, None] * normals, weights**2


def _fitted(start: Cup, points: Points, weights: Values, keep_direction: bool) -> tuple[Cup, float]:
    """The surface through points, held softly to the sizes and the direction that ventricles usually have."""
    across = np.linalg.svd(start.direction[None])[2][1:]
    root = np.sqrt(weights / weights.sum().clip(1e-30) * 100.0)

    def cup_of(numbers: Float[np.ndarray, " 7"]) -> Cup:
        direction = start.direction + (0.0 if keep_direction else 1.0) * numbers[3:5] @ across
        direction = direction / np.linalg.norm(direction)
        return Cup(numbers[:3], direction, max(float(numbers[5]), 20.0), max(float(numbers[6]), 12.0))

    def residuals(numbers: Float[np.ndarray, " 7"]) -> Values:
        cup = cup_of(numbers)
        off = cup.off_mm(points) / _SOFT_MM
        robust = np.sign(off) * np.sqrt(2.0 * (np.sqrt(1.0 + off**2) - 1.0))
        prior = [
            (cup.radius_mm - _RADIUS_MM) / _RADIUS_WITHIN_MM,
            (cup.cap_mm - _CAP_MM) / _CAP_WITHIN_MM,
            *(cup.direction - _USUAL) / _USUAL_WITHIN,
        ]
        return np.concatenate([root * robust, prior])

    guess = [*start.centre_mm, 0.0, 0.0, start.cap_mm, start.radius_mm]
    found = least_squares(residuals, guess, x_scale=[5, 5, 5, 0.2, 0.2, 5, 5], max_nfev=12)
    cup = cup_of(found.x)
    spread = float(np.sqrt(np.average(np.minimum(np.abs(cup.off_mm(points)), 10.0) ** 2, weights=weights)))
    return cup, spread


def _likeness(image: Sampled, cup: Cup) -> float:
    """Normalised correlation of the image with a bright wall between a cold cavity and cold surroundings.

    Surroundings below the ventricle do not count: liver and gut may be hot.
    """
    places, normals = cup.surface()
    beside = normals[:, 2] > -0.3
    wall = np.stack([image.at(places + s * normals) for s in (-3.0, 0.0, 3.0)]).max(0)
    cavity = image.at(cup.centre_mm + 0.35 * (places - cup.centre_mm))
    around = image.at(places + 19.0 * normals)[beside]
    values = np.concatenate([np.minimum(wall, 1.5 * np.median(wall)), cavity, around])
    model = np.concatenate([np.ones(len(wall)), np.full(len(cavity), 0.25), np.full(len(around), 0.1)])
    if values.std() == 0.0:
        return -1.0
    return float(np.corrcoef(values, model)[0, 1])
