"""Where the left ventricle stands in a SPECT: a matched filter with the shape of its wall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from mureg.geometry import Grid, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.axis_search import best_likeness
from mureg.heart.likeness import SMOOTHING_MM, SPACING_MM, Array, Box, Mask, likeness_in, share_within

HEART_MM = ("heart_x_mm", "heart_y_mm", "heart_z_mm")
"""Names under which evidence and figures say where the heart is."""
HARD_TO_FIND = 0.5
"""Below this confidence a note says that the ventricle is hard to distinguish from its surroundings; chosen."""

PLACES_DRAWN = 3
"""At so many places the wall is drawn. Of 96 virtual patients the cups alone were 103 to 119 mm off in seven, with a
confidence of up to 1.0; the wall was at most 32 mm off in these, and in no patient worse."""
_ROOM = 2
"""Voxels by which the searched box is wider than a map asks for, so that it serves maps at other poses."""
_FADE_PER_MM = 0.009  # attenuation on the way out, between that of lung (0.004) and of soft tissue (0.015); chosen
_REFINE_WITHIN_MM = 22.0  # less than the smaller radius: the second pass stays in the same heart
APART_MM = 40.0  # least distance of two candidates: more than an outer radius, so that they are not in one heart
_LUNG_PER_CM = (0.01, 0.08)  # lung has 0.04; 0.08 is half of soft tissue, as in the mismatch index
_FAR_FROM_LUNG = 0.1  # off the correlation; chosen, no measurement recorded
_IN_PLANE = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)[:, :, None]  # neighbours within a slice


@dataclass(frozen=True)
class HeartLocation:
    """Where the left ventricle was found.

    Attributes:
        centre_mm: about the centroid of the left-ventricular wall, LPS+, in the SPECT's own space.
        confidence: 0 (a guess) to 1 (the only place that resembles a ventricle).
        note: a sentence where the finding is uncertain, "" otherwise.
    """

    centre_mm: Triple
    confidence: float
    note: str = ""


def find_left_ventricle(spect: Volume, mu: Volume | None = None) -> HeartLocation:
    """Find the left ventricle in a SPECT, corrected or not, by its shape rather than by its brightness.

    The image is correlated, normalised to the local mean and contrast, with thick-walled cups that are open at the
    base, point to the left, front and foot, and have a cold cavity and cold surroundings except below, where liver
    and gut may be hot. Only the left front of the body is searched, and with a map places near lung come first. An
    uncorrected image fades with depth, to the right and back; a second pass within 22 mm uses cups that fade as well.

    A surface is drawn to the wall at the likeliest places, and the one that is most like a wall between a cold cavity
    and cold surroundings is taken: hot gut or a gall bladder can match the cups, but they have no such wall.

    Args:
        spect: activity or counts on any grid, heart in the field.
        mu: attenuation map (1/cm) that belongs to the SPECT, on any grid; narrows the search.

    Returns:
        The best place; with `confidence` 0 and the centre of the grid where the image is blank.
    """
    return find_left_ventricles(spect, [mu])[0]


def find_left_ventricles(spect: Volume, maps: Sequence[Volume | None]) -> list[HeartLocation]:
    """As `find_left_ventricle`, with one map after another; all walls that they lead to are drawn in one go."""
    _walls_at(spect, [place for mu in maps for place in ventricle_places(spect, mu, PLACES_DRAWN)])
    return [_location(spect, mu) for mu in maps]


def _location(spect: Volume, mu: Volume | None) -> HeartLocation:
    """See `find_left_ventricle`."""
    search = _coarse_search(spect, mu)
    if search is None:
        return HeartLocation(spect.grid.centre_mm, 0.0, "the SPECT is blank or flat; no left ventricle can be found")
    grid, image, _ = search
    place, confidence = _by_wall(spect, mu)
    near = _within(grid, grid.indices(place), _REFINE_WITHIN_MM)
    box = Box.around(near)
    likeness = np.where(near[box.slices], likeness_in(image, box, _FADE_PER_MM), -1.0)
    index = _soft_peak(likeness) + box.first
    x, y, z = grid.points(index)
    note = "" if confidence >= HARD_TO_FIND else "the left ventricle was hard to distinguish from its surroundings"
    return HeartLocation((float(x), float(y), float(z)), confidence, note)


def ventricle_places(spect: Volume, mu: Volume | None = None, most: int = 4) -> tuple[Triple, ...]:
    """Candidates for the left ventricle, the likeliest first, 40 mm apart at least; none in a blank image.

    For callers that have a better test of a candidate; arguments as for `find_left_ventricle`.
    """
    search = _coarse_search(spect, mu)
    if search is None:
        return ()
    grid, _, likeness = search
    places: list[Triple] = []
    for _ in range(most):
        peak = np.array(np.unravel_index(int(likeness.argmax()), likeness.shape), dtype=np.float64)
        if likeness.max() <= 0.0:
            break
        x, y, z = grid.points(peak)
        places.append((float(x), float(y), float(z)))
        likeness = np.where(_within(grid, peak, APART_MM), -1.0, likeness)
    return tuple(places)


@lru_cache(maxsize=2)
def _coarse_search(spect: Volume, mu: Volume | None) -> tuple[Grid, Array, Array] | None:
    """The search grid, the smoothed image on it and its likeness to a ventricle; None where the image is blank.

    Cached for the next use of the same pair, by the axis and each picture: not to be changed.
    """
    searched = _searched(spect)
    if searched is None:
        return None
    allowed, penalty = _left_front(searched.image, searched.grid, mu)
    return searched.grid, searched.image, searched.likeness(allowed) - penalty


class _Searched:
    """The smoothed image of a SPECT on the search grid, and its likeness to a ventricle as far as it was asked for."""

    def __init__(self, grid: Grid, image: Array) -> None:
        self.grid, self.image = grid, image
        self._box = Box((0, 0, 0), (0, 0, 0))
        self._in_box: Array = np.empty((0, 0, 0))

    def likeness(self, where: Mask) -> Array:
        """See `likeness_in`, at the voxels of a mask; maps at several poses give masks that nearly agree."""
        box = Box.around(where)
        if not self._box.holds(box):
            self._box = box.wider(_ROOM, where.shape)
            self._in_box = likeness_in(self.image, self._box, fade_per_mm=0.0)
        likeness: Array = np.full(self.image.shape, -1.0)
        likeness[self._box.slices] = self._in_box
        return np.where(where, likeness, -1.0)


@lru_cache(maxsize=2)
def _searched(spect: Volume) -> _Searched | None:
    """A SPECT ready for the search; None where it is blank."""
    grid = _search_grid(spect.grid)
    image = spect.coarsened(SPACING_MM / 2).resampled(onto=grid).values.astype(np.float64)
    image = ndimage.gaussian_filter(np.maximum(image, 0.0), SMOOTHING_MM / SPACING_MM)
    if image.max() <= 0.0 or min(image.shape) < 2:
        return None
    return _Searched(grid, image / image.max())


def _by_wall(spect: Volume, mu: Volume | None) -> tuple[Triple, float]:
    """Of the likeliest places the one with the best wall, and the confidence that follows from its rivals' walls."""
    places = ventricle_places(spect, mu, PLACES_DRAWN) or (spect.grid.centre_mm,)
    walls = _walls_at(spect, places)
    best = int(np.argmax(walls))
    rival = max((wall for k, wall in enumerate(walls) if k != best), default=-1.0)
    return places[best], _confidence(walls[best], rival)


def _walls_at(spect: Volume, places_mm: Sequence[Triple]) -> list[float]:
    """How much the best surface that is drawn from each place resembles a wall, -1 to 1.

    Kept: places lie on the voxels of the search grid, and the same ones come up with maps at several poses.
    """
    walls = _walls_of(spect)
    new_places = list(dict.fromkeys(place for place in places_mm if place not in walls))
    walls.update(zip(new_places, best_likeness(spect, new_places), strict=True))
    return [walls[place] for place in places_mm]


@lru_cache(maxsize=2)
def _walls_of(_spect: Volume) -> dict[Triple, float]:
    """What `_walls_at` keeps of an image."""
    return {}


def _within(grid: Grid, index: Array, radius_mm: float) -> Mask:
    """The voxels of a search grid within a distance of a place, given by its (fractional) index."""
    along = (SPACING_MM * (np.arange(n) - at) for n, at in zip(grid.shape, index, strict=True))
    x2, y2, z2 = (offset**2 for offset in along)
    return np.asarray(x2[:, None, None] + y2[:, None] + z2 < radius_mm**2)


def _search_grid(grid: Grid) -> Grid:
    """A grid along the patient axes, 6.8 mm, that covers a grid of any orientation; its own centre stays a centre."""
    corners = grid.corners_mm()
    nx, ny, nz = (int(np.ceil(reach_mm / SPACING_MM - 1e-3)) for reach_mm in np.ptp(corners, axis=0))
    return Grid.centred((nx, ny, nz), (SPACING_MM, SPACING_MM, SPACING_MM), grid.centre_mm)


def _left_front(image: Array, grid: Grid, mu: Volume | None) -> tuple[Mask, Array]:
    """Where the left ventricle may lie (left of the spine, in front), and a penalty far from lung if a map tells."""
    # hot organs must not pull the middle of the body to themselves (the hottest tenth is cut; chosen)
    weights = np.minimum(image, np.quantile(image, 0.9))
    lung: Mask | None = None
    if mu is not None:
        map_values = mu.coarsened(SPACING_MM / 2).resampled(onto=grid).values.astype(np.float64)
        inside = ndimage.binary_fill_holes(ndimage.binary_opening(map_values > _LUNG_PER_CM[1]), structure=_IN_PLANE)
        lung_of_map = inside & (map_values > _LUNG_PER_CM[0]) & (map_values < _LUNG_PER_CM[1])
        if lung_of_map.mean() > 0.005:  # the map shows lung at all; near it is where 5 % within 65 mm are lung; chosen
            lung, weights = lung_of_map, inside.astype(np.float64)
    # the search grid lies along the patient axes
    x_mm, y_mm = (grid.affine[axis, 3] + SPACING_MM * np.arange(grid.shape[axis]) for axis in (0, 1))
    middle_x, middle_y = np.average(x_mm, weights=weights.sum((1, 2))), np.average(y_mm, weights=weights.sum((0, 2)))
    # left of the spine and before it (40 mm: chosen)
    allowed = (x_mm > middle_x)[:, None, None] & (y_mm < middle_y + 40.0)[:, None]
    allowed = np.repeat(allowed, grid.shape[2], axis=2)
    penalty = np.zeros(image.shape)
    if lung is not None:
        box = Box.around(allowed)
        penalty[box.slices] = np.where(share_within(lung, 65.0, box) < 0.05, _FAR_FROM_LUNG, 0.0)
    return allowed, penalty


def _soft_peak(likeness: Array) -> Array:
    """Position of the maximum between the voxels, as the mean of its neighbours weighted by their likeness."""
    peak = np.array(np.unravel_index(int(likeness.argmax()), likeness.shape))
    window = tuple(slice(max(0, p - 3), p + 4) for p in peak)
    indices = np.indices(likeness.shape).transpose(1, 2, 3, 0)[window].reshape(-1, 3)
    weights = np.exp(30.0 * (likeness[window].ravel() - likeness.max()))  # 0.03 less counts a third; chosen
    mean: Array = np.average(indices, axis=0, weights=weights)
    return mean


def _confidence(peak: float, rival: float) -> float:
    """High if the best candidate resembles a ventricle and the next best, elsewhere, does not."""
    alike = float(np.clip((peak - 0.5) / 0.3, 0.0, 1.0))  # from 0.5 to 0.8, as in heart/axis.py
    alone = float(np.clip((peak - rival) / 0.1, 0.0, 1.0))  # about the least difference there (0.71 less 0.62)
    return round(alike * (0.5 + 0.5 * alone), 3)
