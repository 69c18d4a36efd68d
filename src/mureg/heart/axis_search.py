"""The left ventricle in an image: a surface that is drawn to the brightest places along its own normals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from mureg.geometry import Array, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.cup import CAP_MM, DIRECTIONS, FAR_MM, RADIUS_MM, Cups, fitted, rings
from mureg.jobs.threads import in_threads

Vector = Float[np.ndarray, " 3"]

_BLUR_MM = 6.0
"""Standard deviation of the blur that is taken back (docs/concepts/decision.md): 14 mm FWHM."""
_HOT = 1.25
"""Places brighter than this times the median of the wall lose weight; chosen, no measurement is recorded."""

# half-lengths of the profiles along the normals, from pass to pass; chosen. The wide ones were first: a hot liver drew
# the surface away in four of 43 cases (evidence/axis/clinical-wide-profiles.csv), so narrow ones were added
_WIDE_MM = (18.0, 16.0, 14.0, 12.0, 10.0, 10.0, 9.0, 9.0)
_NARROW_MM = (12.0, 11.0, 10.0, 10.0, 9.0, 9.0, 8.0, 8.0)

# how far behind the start the widest place is put: chosen around 0.2 lengths (16 mm), its distance from the middle
_BEHIND_MM = 5.0
_NARROW_BEHIND_MM, _WIDE_BEHIND_MM = (5.0, 20.0), (12.0,)

_ROUGH = 4
"""First passes, in which the profiles get shorter; their surfaces are not judged."""
_STEP_MM = 1.5
"""Between samples: less than a quarter of a voxel of a usual SPECT (6.8 mm), between which values are linear."""
_BASE_FROM_MM, _BASE_TO_MM = 20.0, 50.0
"""Ahead of and behind the widest place, where the base is searched: it lies 0.3 lengths (17 to 39 mm) behind."""


@dataclass(frozen=True)
class Cup:
    """The middle of one wall; see `Cups`."""

    centre_mm: Vector
    direction: Vector
    cap_mm: float
    radius_mm: float


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
    image, on_line = Sampled.of(spect), along is not None
    directions = [along] if along is not None else _usual_directions()
    # once from every place with a wide profile, then from all sides at the best of them, also with a narrow one that
    # cannot be drawn away to what is bright beside the wall
    once = _from_places(image, _poses(starts, directions[:1], [_BEHIND_MM]), _WIDE_MM, on_line)
    best = [starts[k] for k in sorted(range(len(once)), key=lambda k: -once[k].likeness)[:1]]
    narrow = _from_places(image, _poses(best, directions, _NARROW_BEHIND_MM), _NARROW_MM, on_line)
    wide = _from_places(image, _poses(best, directions, _WIDE_BEHIND_MM), _WIDE_MM, on_line)
    return sorted([*once, *narrow, *wide], key=lambda cup: -cup.likeness)


def best_likeness(spect: Volume, starts: Sequence[Triple]) -> list[float]:
    """For each place the likeness of the best surface that `draw` finds from there alone; all in one go."""
    image, directions = Sampled.of(spect), _usual_directions()
    kinds = (
        (directions[:1], [_BEHIND_MM], _WIDE_MM),
        (directions, _NARROW_BEHIND_MM, _NARROW_MM),
        (directions, _WIDE_BEHIND_MM, _WIDE_MM),
    )

    def of_kind(kind: tuple[Sequence[Vector], Sequence[float], Sequence[float]]) -> Array:
        ways, behind_mm, windows_mm = kind
        cups = _from_places(image, _poses(starts, ways, behind_mm), windows_mm, on_line=False)
        likeness = np.array([cup.likeness for cup in cups]).reshape(len(starts), len(ways) * len(behind_mm))
        return np.asarray(likeness.max(1, initial=-np.inf))

    return [float(value) for value in np.max(in_threads(of_kind, kinds), axis=0)]


def _usual_directions() -> list[Vector]:
    return [np.asarray(d) / np.linalg.norm(d) for d in DIRECTIONS]


def _poses(
    places: Sequence[Triple], ways: Sequence[Vector], behind_mm: Sequence[float]
) -> list[tuple[Triple, Vector, float]]:
    """Each place with each direction and each distance behind it, place after place."""
    return [(place, way, behind) for place in places for way in ways for behind in behind_mm]


def _from_places(
    image: Sampled, begin: Sequence[tuple[Triple, Vector, float]], windows_mm: Sequence[float], on_line: bool
) -> list[DrawnCup]:
    """Surfaces of the usual size, drawn from poses; see `_poses`."""
    if not begin:
        return []
    centres = np.array([np.asarray(place) - behind * way for place, way, behind in begin])
    directions = np.array([way for _, way, _ in begin])
    sizes = (np.full(len(begin), size) for size in (CAP_MM, RADIUS_MM))
    return list(_draw_cups(image, Cups(centres, directions, *sizes), windows_mm, on_line))


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


def _draw_cups(image: Sampled, cups: Cups, windows_mm: Sequence[float], on_line: bool) -> Iterator[DrawnCup]:
    """Draw each surface to the wall with one window after the other; of the later ones the most alike is taken."""
    best, likeness, spread = cups, np.full(len(cups), -1.0), np.full(len(cups), FAR_MM)
    alive = np.arange(len(cups))
    for number, window_mm in enumerate(windows_mm):
        points, weights = _brightest(image, cups[alive], window_mm)
        bright = weights.sum(1) > 0.0
        alive = alive[bright]
        if not len(alive):
            break
        moved, apart = fitted(cups[alive], points[bright], weights[bright], on_line)
        cups = cups.with_some(alive, moved)
        if number < _ROUGH:
            continue
        alike = _likeness(image, moved)
        better = alike > likeness[alive]
        numbers = alive[better]
        best = best.with_some(numbers, moved[better])
        likeness[numbers], spread[numbers] = alike[better], apart[better]
    for k in range(len(best)):
        cup = Cup(best.centre_mm[k], best.direction[k], float(best.cap_mm[k]), float(best.radius_mm[k]))
        yield DrawnCup(cup, float(likeness[k]), float(spread[k]))


def _brightest(
    image: Sampled, cups: Cups, window_mm: float
) -> tuple[Float[Array, "cup point 3"], Float[Array, "cup point"]]:
    """Along each normal the middle of what is bright near the surface, and how bright it is there."""
    surface = cups.surface()
    places, normals = surface.places_mm, surface.normals
    steps = np.arange(-window_mm, window_mm + 0.1, _STEP_MM)
    values = image.at(places[:, :, None] + steps[:, None] * normals[:, :, None])
    # what lies farther off has to be brighter: liver and gut are beside the wall (0.7: chosen)
    near = np.exp(-0.5 * (steps / (0.7 * window_mm)) ** 2)
    dimmed = values * near
    share = dimmed / dimmed.max(axis=-1, keepdims=True).clip(1e-30)
    square = share * share
    share *= square * square  # the fifth power of the brightness weighs the places; chosen
    total = share.sum(-1).clip(1e-30)
    off = (share @ steps) / total
    level = np.einsum("cps,cps->cp", values, share) / total
    # blur moves the brightest place of a curved wall towards the side it is bent to
    off += _BLUR_MM**2 * surface.curvature
    usual = np.median(level, axis=1, keepdims=True)
    bright = level / np.where(usual > 0.0, usual, 1.0)
    # a defect says little about where the wall is, and what is much brighter than the rest is no wall (powers: chosen)
    weights = np.minimum(bright, 1.0) ** 2 * np.minimum(_HOT / np.maximum(bright, 1e-30), 1.0) ** 4
    return places + off[..., None] * normals, np.where(usual > 0.0, weights, 0.0)


def _likeness(image: Sampled, cups: Cups) -> Float[Array, " cup"]:
    """Normalised correlation of the image with a bright wall between a cold cavity and cold surroundings.

    Surroundings below the ventricle do not count: liver and gut may be hot.
    """
    # wall: within 3 mm of its middle; cavity: at a third of the way; surroundings: 19 mm out, a wall and a voxel, but
    # not below, where normals point down by more than 17 degrees. Levels 1, 0.25, 0.1 and the cut at 1.5 are chosen
    surface = cups.surface()
    places, normals, centres = surface.places_mm, surface.normals, cups.centre_mm[:, None]
    walls = np.stack([image.at(places + s * normals) for s in (-3.0, 0.0, 3.0)]).max(0)
    cavities, arounds = image.at(centres + 0.35 * (places - centres)), image.at(places + 19.0 * normals)
    alike = np.full(len(cups), -1.0)
    for k, (wall, cavity, around) in enumerate(zip(walls, cavities, arounds, strict=True)):
        beside = around[normals[k, :, 2] > -0.3]
        values = np.concatenate([np.minimum(wall, 1.5 * np.median(wall)), cavity, beside])
        model = np.concatenate([np.ones(len(wall)), np.full(len(cavity), 0.25), np.full(len(beside), 0.1)])
        if values.std() != 0.0:
            alike[k] = np.corrcoef(values, model)[0, 1]
    return alike


def base_mm(spect: Volume, cup: Cup) -> float:
    """How far behind the widest place the wall ends: where half of what each angle holds ahead of it remains.

    The median over the angles; blur leaves half of an edge at its place.
    """
    # within 6 mm of the middle of the wall, half its thickness; the base is searched 4 mm to either side of the widest
    # place and behind it, the plateau is a quantile of what lies before (0.6: chosen)
    ring = rings(cup.direction[None])[0]
    heights = np.arange(_BASE_FROM_MM, -_BASE_TO_MM, -_STEP_MM)
    radii = cup.radius_mm + np.arange(-6.0, 6.1, _STEP_MM)
    places = cup.centre_mm + heights[:, None, None, None] * cup.direction + radii[:, None, None] * ring
    values = Sampled.of(spect).at(places).max(1)
    plateau = np.quantile(values[heights >= -4.0], 0.6, axis=0)
    ends = []
    for angle in range(len(ring)):
        below = np.flatnonzero((values[:, angle] < 0.5 * plateau[angle]) & (heights < 4.0))
        if len(below):
            k = int(below[0])
            high, low = values[k - 1, angle], values[k, angle]
            share = (high - 0.5 * plateau[angle]) / max(high - low, 1e-30)
            ends.append(heights[k - 1] - np.clip(share, 0.0, 1.0) * _STEP_MM)
        else:
            ends.append(-_BASE_TO_MM)
    return float(-np.median(ends))
