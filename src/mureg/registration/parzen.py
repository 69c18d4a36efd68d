"""Mutual information with Parzen windows and its gradient (Mattes et al., IEEE Trans Med Imaging 2003), in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from mureg.geometry.rigid import Triple
from mureg.registration.levels import Level
from mureg.registration.rigid_search import Motions, Six
from mureg.registration.sampling import Sampler, spread_points

Array = npt.NDArray[np.float64]
_MARGIN = 2
"""Bins beyond either end of the values, for the width of the window."""
_LEAST_OVERLAP = 0.25
"""Share of the points that must lie inside the map: with few of them mutual information is large by chance.
A round value (docs/concepts/classical-registration.md)."""
_LEAST_OF_MAP = 0.5
"""A map smaller than half of the SPECT's field may instead lie inside that field with half of its own volume: a round
value, so that a short CT of a small field is registered too."""


@dataclass(frozen=True, eq=False)
class ParzenInformation:
    """Negative mutual information of a fixed image and a moved one over fixed points; smaller is better.

    The fixed value of a point counts in the two bins around it, by its distance from each, so that no rounding decides
    where it counts; or in the nearest one alone. The moving value counts in four, with a cubic B-spline. A point that
    falls where the moving image is unknown has no weight.

    Attributes:
        motions: of the points.
        fixed_bins: the lower bin around the fixed value of each point, or the nearest one, as an index.
        upper_shares: how much of each point counts in the bin above it (0 to 1); None with nearest bins.
        moving: sampler of two channels: the moving image in units of bins, and how far it is known (0 to 1).
        bins: number of bins of each image.
        least: share of the points that must lie where the moving image is known.
    """

    motions: Motions
    fixed_bins: npt.NDArray[np.intp]
    upper_shares: npt.NDArray[np.float32] | None
    moving: Sampler
    bins: int
    least: float = _LEAST_OVERLAP

    @classmethod
    def of(
        cls,
        fixed: Level,
        moving: Level,
        points: int,
        bins: int,
        centre_mm: Triple,
        *,
        seed: int = 1,
        nearest: bool = False,
    ) -> ParzenInformation:
        """Sort the values of both images into bins; the fixed one at points spread over its lattice."""
        places_mm = spread_points(fixed.grid, points, seed)
        values = fixed.sampled(fixed.values[None], places_mm)[0]
        fixed_units = in_bins(values, bins, fixed.values.min(), fixed.values.max())
        fixed_bins = (np.rint if nearest else np.floor)(fixed_units).astype(np.intp)
        upper_shares = None if nearest else (fixed_units - fixed_bins).astype(np.float32)
        inside = moving.values[moving.is_known] if moving.is_known.any() else moving.values
        in_units = in_bins(moving.values, bins, inside.min(), inside.max())
        sampler = Sampler.of(np.stack([in_units, moving.is_known]), moving.grid, (None, 0.0))
        motions = Motions(places_mm - np.asarray(centre_mm)[:, None], centre_mm)
        size = moving.is_known.sum() * moving.grid.voxel_volume_mm3 / (fixed.values.size * fixed.grid.voxel_volume_mm3)
        least = min(_LEAST_OVERLAP, _LEAST_OF_MAP * float(size))
        return cls(motions, fixed_bins, upper_shares, sampler, bins, least)

    def overlaps(self, six: Six) -> npt.NDArray[np.bool_]:
        """Whether enough points lie where the moving image is known, for each row of parameters."""
        moved, _ = self.motions.moved(six)
        (_, is_inside), _ = self.moving(moved)
        return np.asarray(is_inside.mean(-1) >= self.least)

    def __call__(self, six: Six) -> tuple[Float[np.ndarray, " start"], Six]:
        """Value and gradient for each row of parameters."""
        moved, turns = self.motions.moved(six)
        (value, is_inside), (by_value, by_known) = self.moving(moved)
        n, size = len(six), self.bins * self.bins
        whole = np.floor(value)
        first, part = whole.astype(np.intp) - 1, value - whole
        windows, slopes = _cubic(part)
        base = self.fixed_bins * self.bins + first
        base += (np.arange(n) * size)[:, None]
        # where the index of the upper fixed bin stands from that of the lower one, and the share of a point in each
        upper = self.upper_shares
        rows = ((0, np.ones(1, np.float32)),) if upper is None else ((0, 1 - upper), (self.bins, upper))
        joint = np.zeros(n * size)
        for k in range(4):
            weight = windows[k] * is_inside
            for row, share_of_row in rows:
                joint += np.bincount((base + (row + k)).ravel(), (weight * share_of_row).ravel(), n * size)
        table = joint.reshape(n, self.bins, self.bins)
        total = table.sum((1, 2))
        share = table / np.maximum(total, 1e-12)[:, None, None]
        independent = share.sum(2)[:, :, None] * share.sum(1)[:, None, :]
        log = np.log(np.where(share > 0, share, 1.0) / np.where(share > 0, independent, 1.0))
        information = (share * log).sum((1, 2))
        slope_of_bin = (log / np.maximum(total, 1e-12)[:, None, None]).astype(np.float32).ravel()
        by_place = np.zeros_like(part)
        by_weight = np.zeros_like(part)
        for k in range(4):
            entry = sum(share_of_row * slope_of_bin.take(base + (row + k)) for row, share_of_row in rows)
            by_place += slopes[k] * entry
            by_weight += windows[k] * entry
        by_weight -= (information / np.maximum(total, 1e-12)).astype(np.float32)[:, None]
        by_place *= is_inside
        gradient = self.motions.gradient(by_value * by_place + by_known * by_weight, turns)
        enough = total >= self.least * self.fixed_bins.size
        return np.where(enough, -information, 0.0), np.where(enough[:, None], -gradient, 0.0)


def _cubic(part: npt.NDArray[np.float32]) -> tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]]:
    """Cubic B-spline weights of four neighbouring bins for the place between the middle two, and their slopes."""
    remainder, square = 1 - part, part * part
    remainder_squared = remainder * remainder
    third, fourth = np.float32(1 / 6), np.float32(0.5)
    w0, w3 = remainder_squared * remainder * third, square * part * third
    w1 = np.float32(2 / 3) - square * (1 - part * fourth)
    w2 = 1 - w0 - w1 - w3
    s0, s3 = -fourth * remainder_squared, fourth * square
    s1 = part * (np.float32(1.5) * part - 2)
    return [w0, w1, w2, w3], [s0, s1, -s0 - s1 - s3, s3]


def in_bins(values: Array, bins: int, low: float, high: float) -> Array:
    """Values in units of bins, with a margin for the window at either end."""
    scale = (bins - 2 * _MARGIN - 1) / max(high - low, 1e-12)
    return np.asarray(_MARGIN + (np.clip(values, low, high) - low) * scale)
