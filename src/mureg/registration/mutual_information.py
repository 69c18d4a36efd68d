"""Classical registration by mutual information (Mattes et al., IEEE Trans Med Imaging 2003; Viola and Wells 1997).

Parzen windows, points of a low-discrepancy sequence and a quasi-Newton search, all in NumPy (`parzen`, `sampling`,
`rigid_search`). Sums have a fixed order: the number of threads changes no digit.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.registration.base import Registration, nothing_found, refuse_result, refuse_unusable
from mureg.registration.levels import Level
from mureg.registration.parzen import ParzenInformation
from mureg.registration.rigid_search import Six, minimise, to_pose, to_six
from mureg.study import PreparedStudy

_AGREE_MM = 3.4
"""Starts agree up to half a pixel of a usual cardiac SPECT."""
_SAME_MM = 1.0
"""Optima of the coarser levels that lie closer are refined once; a round value below `_AGREE_MM`."""
_FEWEST_POINTS = 2000
"""Points of a level at least: fewer are noisier (docs/concepts/classical-registration.md)."""
_MANY_POINTS = 49152
"""Points of the last search where the level has few. With 4096 the optimum along the body differs by 3 mm from one
sequence of points to the next, and there are several, so that the last digits of an image decide between them
(docs/concepts/classical-registration.md)."""
_ENOUGH_POINTS = 12288
"""Where the finest level has as many, two searches differ by 0.01 mm already (with 13 107 points on the sample study):
it is searched once, with nearest bins."""
_TIGHT_MM = 0.01
"""Tolerance of a search that is not followed by another one: far below any error; chosen."""
_SEARCH_MM = 0.5
"""Tolerance of a search that is followed by another one; chosen."""
_LAST_MM = 0.003
"""Tolerance of the last search: mutual information is flat along the body; chosen."""
_TRANSVERSE = np.array([True, True, False, True, True, True])
"""All parameters but the axial shift."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MutualInformation:
    """Quasi-Newton search for the largest mutual information, from several starting poses.

    Attributes:
        starts: number of starting poses: the scanner position first, then shifts along z, x and y.
        start_shift_mm: size of these shifts (mm).
        finish: number of distinct best optima of the coarser levels that are refined on the finest level.
        sampling: number of points of the metric as a share of the SPECT voxels of the level (0 to 1), at least 2000
            points.
        bins: number of histogram bins.
        brightest: quantile of the SPECT values at which intensities are clipped (0.5 to 1). Gall bladder, gut and liver
            are much hotter than the chest; without clipping, body, lungs and air would share a bin.
        voxel_mm: voxel size to which both images are averaged first (mm); 0 for that of the SPECT.
        seed: which of the low-discrepancy sequences of points.
        shrink_factors: voxel size of each level in voxels of the SPECT, coarse to fine.
        smoothing_mm: sigma of the Gaussian smoothing of both images (mm), one value for each level.
        iterations: largest number of evaluations of each start in each level.
        largest_shift_mm: refuse a result that shifts the map by more than this (mm).
        largest_angle_deg: refuse a result that rotates the map by more than this (degrees).
    """

    starts: Annotated[int, Field(ge=1, le=7)] = 5
    start_shift_mm: Annotated[float, Field(gt=0)] = 20.0
    finish: Annotated[int, Field(ge=1, le=7)] = 2
    sampling: Annotated[float, Field(gt=0, le=1)] = 0.05
    bins: Annotated[int, Field(ge=8, le=256)] = 32
    brightest: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    voxel_mm: Annotated[float, Field(ge=0)] = 0.0
    seed: Annotated[int, Field(ge=1)] = 1
    shrink_factors: tuple[Annotated[int, Field(ge=1)], ...] = (2, 1)
    smoothing_mm: tuple[Annotated[float, Field(ge=0)], ...] = (10.0, 8.0)
    iterations: Annotated[int, Field(ge=1)] = 60
    largest_shift_mm: Annotated[float, Field(gt=0)] = 120.0
    largest_angle_deg: Annotated[float, Field(gt=0)] = 45.0
    kind: Literal["mutual-information"] = "mutual-information"

    @model_validator(mode="after")
    def _levels_match(self) -> MutualInformation:
        if len(self.shrink_factors) != len(self.smoothing_mm) or not self.shrink_factors:
            raise ValueError("shrink_factors and smoothing_mm need one value for each level, and at least one level")
        return self

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; the projections are not used. Two runs give the same digits, on any threads."""
        start = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_unusable(fixed, moving)
        centre_mm = fixed.grid.centre_mm
        metrics, last = self._metrics(fixed, moving)
        poses = [RigidTransform.from_six(shift, (0.0, 0.0, 0.0), centre_mm) for shift in self._shifts()]
        starts = to_six(poses, centre_mm)
        spots, n_failed = self._coarse_optima(metrics, starts)
        if not len(spots):
            raise nothing_found(
                f"none of {self.starts} starts led to an optimum (too few points of the SPECT lie inside the map)"
            )
        before = spots[_distinct(spots)[: self.finish]] if len(metrics) > 1 else spots
        tolerance_mm = _TIGHT_MM if last is None else _SEARCH_MM
        ends, values, _ = minimise(metrics[-1], before, iterations=self.iterations, tolerance_mm=tolerance_mm)
        best = int(np.argmin(values))
        meeting = before[best] if len(metrics) > 1 else ends[best]
        compared = spots if len(metrics) > 1 else ends
        end, value = ends[best][None], values[best][None]
        if last is not None:
            end, value, _ = minimise(last, end, iterations=self.iterations, tolerance_mm=_LAST_MM)
        at_identity, at_optimum = -float((last or metrics[-1])(np.zeros((1, 6)))[0][0]), -float(value[0])
        moved = at_optimum > at_identity
        ct_from_spect = to_pose(end[0], centre_mm) if moved else RigidTransform.identity()
        refuse_result(ct_from_spect, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        # starts are compared where all of them ended, on the coarser levels
        distances = np.linalg.norm(compared[:, :3] - meeting[:3], axis=1)
        evidence = {
            "mutual_information_at_identity": at_identity,
            "mutual_information_at_optimum": at_optimum,
            "starts": float(self.starts),
            "starts_failed": float(n_failed),
            "starts_that_agree": float((distances <= _AGREE_MM).sum()),
            "spread_of_starts_mm": float(distances.max()),
        }
        return Registration(
            ct_from_spect,
            centre_mm,
            self.kind,
            "moved" if moved else "left as it was",
            evidence,
            seconds=time.perf_counter() - start,
            notes=(_note(evidence),),
            warnings=_warnings(evidence, moved),
        )

    def across(self, fixed: Volume, moving: Volume, start: RigidTransform) -> RigidTransform:
        """The best pose near a start with a fixed axial shift, through every level.

        Mutual information is unreliable in the axial direction, above all at the ends of a scan, but not transversely.

        Args:
            fixed, moving: see `Registrar.register`.
            start: ``ct_from_spect``; its shift of the SPECT's centre along z stays.

        Raises:
            RegistrationError: the two do not overlap there.
        """
        centre_mm = fixed.grid.centre_mm
        pose = to_six([start], centre_mm)
        metrics, last = self._metrics(fixed, moving)
        tolerance_mm = _TIGHT_MM if last is None else _SEARCH_MM
        for metric in metrics:
            if not metric.overlaps(pose).all():
                raise nothing_found("no optimum near the start (too few points of the SPECT lie inside the map)")
            pose, _, _ = minimise(metric, pose, iterations=self.iterations, tolerance_mm=tolerance_mm, free=_TRANSVERSE)
        if last is not None:
            pose, _, _ = minimise(last, pose, iterations=self.iterations, tolerance_mm=_LAST_MM, free=_TRANSVERSE)
        return to_pose(pose[0], centre_mm)

    def _metrics(self, fixed: Volume, moving: Volume) -> tuple[list[ParzenInformation], ParzenInformation | None]:
        """One for each level, coarse to fine; and one with many points where the finest level has few."""
        dimmed = without_hot_spots(fixed, self.brightest).coarsened(self.voxel_mm)
        spacing_mm = min(dimmed.grid.spacing_mm)
        levels, moving_levels = (
            [
                Level.of(image.coarsened(shrink * spacing_mm), sigma_mm)
                for shrink, sigma_mm in zip(self.shrink_factors, self.smoothing_mm, strict=True)
            ]
            for image in (dimmed, moving)
        )
        points = [max(_FEWEST_POINTS, round(self.sampling * level.values.size)) for level in levels]
        few = points[-1] < _ENOUGH_POINTS

        def metric(level: Level, moving_level: Level, n: int) -> ParzenInformation:
            centre_mm = fixed.grid.centre_mm
            return ParzenInformation.of(level, moving_level, n, self.bins, centre_mm, seed=self.seed, nearest=not few)

        metrics = [metric(*one) for one in zip(levels, moving_levels, points, strict=True)]
        return metrics, metric(levels[-1], moving_levels[-1], _MANY_POINTS) if few else None

    def _shifts(self) -> Iterator[Triple]:
        return itertools.islice(start_shifts(self.start_shift_mm), self.starts)

    def _coarse_optima(self, metrics: list[ParzenInformation], starts: Six) -> tuple[Six, int]:
        """Where the starts that overlap end on the coarser levels, best first, and how many do not overlap."""
        spots = starts[metrics[0].overlaps(starts)]
        n_failed = len(starts) - len(spots)
        for metric in metrics[:-1]:
            spots, values, _ = minimise(metric, spots, iterations=self.iterations)
            spots = spots[np.argsort(values, kind="stable")]
        return spots, n_failed


COARSE = MutualInformation(starts=3, finish=1, sampling=0.125, voxel_mm=13.6, shrink_factors=(1,), smoothing_mm=(10.0,))
"""First step of `near-heart` and `gradient-fields`, on 13.6 mm: docs/decisions, 10; points:
docs/concepts/classical-registration.md, last table."""


def without_hot_spots(spect: Volume, brightest: float) -> Volume:
    """The SPECT with everything above a quantile of its values set to it; as it is where that would leave nothing."""
    limit = float(np.quantile(spect.values, brightest))
    return spect if limit <= float(spect.values.min()) else spect.with_values(np.minimum(spect.values, limit))


def start_shifts(size_mm: float) -> Iterator[Triple]:
    """The scanner position, then a shift either way along z (where motion and breathing act), x and y."""
    yield 0.0, 0.0, 0.0
    for direction in (2, 0, 1):
        for sign in (1.0, -1.0):
            shift = [0.0, 0.0, 0.0]
            shift[direction] = sign * size_mm
            yield shift[0], shift[1], shift[2]


def _distinct(spots: Six) -> list[int]:
    """Rows without those that a better one stands for already."""
    indices: list[int] = []
    for k, spot in enumerate(spots):
        if all(np.linalg.norm(spot[:3] - spots[j, :3]) > _SAME_MM for j in indices):
            indices.append(k)
    return indices


def _note(evidence: dict[str, float]) -> str:
    return (
        f"mutual information {evidence['mutual_information_at_identity']:.4f} at the scanner position, "
        f"{evidence['mutual_information_at_optimum']:.4f} at the optimum; "
        f"{evidence['starts_that_agree']:.0f} of {evidence['starts']:.0f} starts within {_AGREE_MM:g} mm of it, "
        f"the farthest {evidence['spread_of_starts_mm']:.1f} mm away"
    )


def _warnings(evidence: dict[str, float], moved: bool) -> tuple[str, ...]:
    warnings = []
    if evidence["starts"] > 1 and evidence["starts_that_agree"] < 2:
        warnings.append("no second start reached the same optimum: check the overlay before using the map")
    if evidence["starts_failed"] > 0:
        warnings.append(f"{evidence['starts_failed']:.0f} of {evidence['starts']:.0f} starts failed")
    if not moved:
        warnings.append("no position matched better than the scanner position: the map stays there")
    return tuple(warnings)
