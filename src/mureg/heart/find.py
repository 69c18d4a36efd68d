"""Where the left ventricle stands in a SPECT: a matched filter with the shape of its wall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from mureg.geometry import Grid, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.axis_search import best_likeness
from mureg.heart.ventricle import USUAL_WALL_MM
from mureg.jobs.threads import in_threads

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Transform = npt.NDArray[np.complex128]

HEART_MM = ("heart_x_mm", "heart_y_mm", "heart_z_mm")
"""Names under which evidence and figures say where the heart is."""
HARD_TO_FIND = 0.5
"""Below this confidence a note says that the ventricle is hard to distinguish from its surroundings; chosen."""

PLACES_DRAWN = 3
"""At so many places the wall is drawn. Of 96 virtual patients the cups alone were 103 to 119 mm off in seven, with a
confidence of up to 1.0; the wall was at most 32 mm off in these, and in no patient worse."""
_SPACING_MM = 6.8  # of the search: a voxel of a usual SPECT
_SMOOTHING_MM = 6.0  # sigma, of image and templates: 14 mm FWHM, about that of a camera at 25 cm; chosen
_PAD = 8  # voxels: more than the 7 that a template reaches (45 mm)
# 50 to 71 degrees to the left and 13 to 30 down: about what drawn torsos have (40 to 60, 10 to 40)
_LONG_AXES = ((0.70, -0.50, -0.20), (0.60, -0.50, -0.45), (0.85, -0.30, -0.40))
_RADII_MM = (24.0, 30.0)  # of the middle of the wall: 30 and 36 outside, drawn torsos have 28 to 38
_CAVITY, _AROUND = 0.30, 0.05  # relative to the wall, in an image that is not resolved; chosen, no measurement recorded
_AROUND_MM = 14.0  # of the surroundings: two voxels
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
    search = _coarse_search(spect, mu)
    if search is None:
        return HeartLocation(spect.grid.centre_mm, 0.0, "the SPECT is blank or flat; no left ventricle can be found")
    grid, image, _ = search
    place, confidence = _by_wall(spect, mu)
    near = np.linalg.norm(_offsets_from(grid, place), axis=-1) < _REFINE_WITHIN_MM
    index = _soft_peak(_likeness(image, near, _FADE_PER_MM))
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
        peak = np.unravel_index(int(likeness.argmax()), likeness.shape)
        if likeness[peak] <= 0.0:
            break
        x, y, z = grid.points(np.asarray(peak, dtype=np.float64))
        places.append((float(x), float(y), float(z)))
        likeness = np.where(_distances_mm(likeness.shape, peak) < APART_MM, -1.0, likeness)
    return tuple(places)


@lru_cache(maxsize=2)
def _coarse_search(spect: Volume, mu: Volume | None) -> tuple[Grid, Array, Array] | None:
    """The search grid, the smoothed image on it and its likeness to a ventricle; None where the image is blank.

    Cached for the next use of the same pair, by the axis and each picture: not to be changed.
    """
    grid = _search_grid(spect.grid)
    image = spect.coarsened(_SPACING_MM / 2).resampled(onto=grid).values.astype(np.float64)
    image = ndimage.gaussian_filter(np.maximum(image, 0.0), _SMOOTHING_MM / _SPACING_MM)
    if image.max() <= 0.0 or min(image.shape) < 2:
        return None
    image /= image.max()
    allowed, penalty = _left_front(image, grid, mu)
    return grid, image, _likeness(image, allowed, fade_per_mm=0.0) - penalty


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
    known = _walls_of(spect)
    others = [place for place in places_mm if place not in known]
    known.update(zip(others, best_likeness(spect, others), strict=True))
    return [known[place] for place in places_mm]


@lru_cache(maxsize=2)
def _walls_of(_spect: Volume) -> dict[Triple, float]:
    """What `_walls_at` knows of an image."""
    return {}


def _offsets_from(grid: Grid, place_mm: Triple) -> Array:
    """Vectors from a point to every voxel [x, y, z, 3], mm."""
    offsets: Array = grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0)) - np.asarray(place_mm)
    return offsets


def _distances_mm(shape: tuple[int, ...], index: Sequence[np.signedinteger]) -> Array:
    distances: Array = _SPACING_MM * np.linalg.norm(np.indices(shape).T - np.asarray(index), axis=-1).T
    return distances


def _search_grid(grid: Grid) -> Grid:
    """A grid along the patient axes, 6.8 mm, that covers a grid of any orientation; its own centre stays a centre."""
    corners = grid.corners_mm()
    nx, ny, nz = (int(np.ceil(reach_mm / _SPACING_MM - 1e-3)) for reach_mm in np.ptp(corners, axis=0))
    return Grid.centred((nx, ny, nz), (_SPACING_MM, _SPACING_MM, _SPACING_MM), grid.centre_mm)


def _left_front(image: Array, grid: Grid, mu: Volume | None) -> tuple[Mask, Array]:
    """Where the left ventricle may lie (left of the spine, in front), and a penalty far from lung if a map tells."""
    places = grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0))
    # hot organs must not pull the middle of the body to themselves (the hottest tenth is cut; chosen)
    weights = np.minimum(image, np.quantile(image, 0.9))
    penalty = np.zeros(image.shape)
    if mu is not None:
        map_values = mu.coarsened(_SPACING_MM / 2).resampled(onto=grid).values.astype(np.float64)
        inside = ndimage.binary_fill_holes(ndimage.binary_opening(map_values > _LUNG_PER_CM[1]), structure=_IN_PLANE)
        lung = inside & (map_values > _LUNG_PER_CM[0]) & (map_values < _LUNG_PER_CM[1])
        if lung.mean() > 0.005:  # the map shows lung at all; near it is where 5 % within 65 mm are lung; chosen
            penalty = np.where(_share_within(lung, 65.0) < 0.05, _FAR_FROM_LUNG, 0.0)
            weights = inside.astype(np.float64)
    middle = np.average(places.reshape(-1, 3), axis=0, weights=weights.ravel())
    allowed: Mask = (places[..., 0] > middle[0]) & (places[..., 1] < middle[1] + 40.0)  # before the spine; chosen
    return allowed, penalty


def _share_within(mask: Mask, radius_mm: float) -> Array:
    """Share of a ball around each voxel that a mask fills."""
    offsets_mm = np.linalg.norm(_offsets_mm(radius_mm), axis=-1)
    ball = (offsets_mm <= radius_mm).astype(np.float64)
    return _Correlated(mask.astype(np.float64), len(ball)).with_kernel(ball / ball.sum())


def _offsets_mm(reach_mm: float) -> Array:
    """Positions [x, y, z, 3] of a small cube of voxels about its middle."""
    n = int(np.ceil(reach_mm / _SPACING_MM))
    steps = (np.indices((2 * n + 1,) * 3).transpose(1, 2, 3, 0) - n).astype(np.float64)
    offsets: Array = steps * _SPACING_MM
    return offsets


def _cups(fade_per_mm: float) -> Iterator[tuple[Array, Array]]:
    """Templates of a ventricle and the voxels that each one uses."""
    offsets = _offsets_mm(45.0)  # the largest wall reaches 42 mm; "below" is within 53 degrees of straight down
    downward = offsets[..., 2] < -0.6 * np.linalg.norm(offsets, axis=-1)
    fade = np.exp(fade_per_mm * (0.75 * offsets[..., 0] - 0.65 * offsets[..., 1]))
    for direction in _LONG_AXES:
        axis = np.asarray(direction) / np.linalg.norm(direction)
        along = offsets @ axis
        across = np.sqrt(np.maximum((offsets**2).sum(-1) - along**2, 0.0))
        for radius in _RADII_MM:
            length = 2.2 * radius  # chosen; ventricles have about 3. The centroid of the wall lies near 0.45
            from_base = along + 0.45 * length

            def inside(
                margin: float,
                across: Array = across,
                from_base: Array = from_base,
                radius: float = radius,
                length: float = length,
            ) -> Mask:
                ellipse = (across / (radius + margin)) ** 2 + (from_base / (length + margin)) ** 2
                result: Mask = (from_base >= 0) & (ellipse <= 1.0)
                return result

            cavity, heart = inside(-USUAL_WALL_MM / 2), inside(USUAL_WALL_MM / 2)
            around = inside(USUAL_WALL_MM / 2 + _AROUND_MM) & ~heart & ~downward
            shape = ((heart & ~cavity) + _CAVITY * cavity) * fade + _AROUND * around
            yield (
                ndimage.gaussian_filter(shape, _SMOOTHING_MM / _SPACING_MM),
                (heart | around).astype(np.float64),
            )


def _likeness(image: Array, where: Mask, fade_per_mm: float) -> Array:
    """Best normalised correlation (-1 to 1) of the cups at the voxels of a mask, -1 elsewhere."""
    spans = [np.flatnonzero(where.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)
    around = tuple(slice(part.start, part.stop + 2 * _PAD) for part in box)
    padded = np.pad(image, _PAD, mode="edge")[around]
    best: Array = np.full(padded.shape, -1.0)
    floor = 1e-6 * float(image.max()) ** 2
    cups = list(_cups(fade_per_mm))
    values, squares = (_Correlated(image, len(cups[0][0])) for image in (padded, padded**2))

    def correlation(cup: tuple[Array, Array]) -> Array:
        (template, window), n = cup, cup[1].sum()
        contrast = (template - (template * window).sum() / n) * window
        over = values.transformed(window)
        spread = squares.with_transformed(over) - values.with_transformed(over) ** 2 / n
        norm = np.sqrt((contrast**2).sum() * (np.maximum(spread, 0.0) + floor * n))
        return np.asarray(values.with_kernel(contrast) / norm)

    for alike in in_threads(correlation, cups):
        np.maximum(best, alike, out=best)
    likeness: Array = np.full(image.shape, -1.0)
    likeness[box] = best[_PAD:-_PAD, _PAD:-_PAD, _PAD:-_PAD]
    return np.where(where, likeness, -1.0)


class _Correlated:
    """An image to be correlated with many cubes of one odd size; 0 beside it. Its transform is made once."""

    def __init__(self, image: Array, size: int) -> None:
        self._shape, self._reach = image.shape, size // 2
        self._room = [fft.next_fast_len(n + size - 1, real=True) for n in image.shape]
        self._transform = fft.rfftn(image, self._room)

    def with_kernel(self, kernel: Array) -> Array:
        return self.with_transformed(self.transformed(kernel))

    def transformed(self, kernel: Array) -> Transform:
        """What `with_transformed` takes, of all images of this shape."""
        transform: Transform = fft.rfftn(kernel[::-1, ::-1, ::-1], self._room)
        return transform

    def with_transformed(self, kernel: Transform) -> Array:
        inside = tuple(slice(self._reach, self._reach + n) for n in self._shape)
        result: Array = fft.irfftn(self._transform * kernel, self._room)[inside]
        return result


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
