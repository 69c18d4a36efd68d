"""The search of the profile likelihood's maximum, from one of several poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mureg.attenuation.maps import AttenuationMaps
from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.geometry.target_error import target_registration_error_mm
from mureg.heart.find import HEART_MM
from mureg.registration.likelihood.newton import Step, Vector, newton_step
from mureg.registration.likelihood.profile import (
    Candidate,
    LikelihoodProfile,
    PosedMaps,
    rows_to_trust,
    scatter_with,
    wide_grid,
    with_rows,
)
from mureg.spect import Acquisition, Physics

_FEWEST_ROWS = 3
"""Rows without which there is no axial profile; chosen."""
_LUNG_DIFFERENCE, _TABLE_DIFFERENCE = 0.004, 0.2
"""Finite differences, 1/cm and share: 0.4 standard deviations of the priors; chosen."""
_TYPICAL = np.array(
    [
        [1.0, 0.2, 0.0, 0.15, -0.6, -0.6],
        [0.2, 1.0, -0.2, 0.6, -0.15, -0.2],
        [0.0, -0.2, 1.0, 0.0, -0.15, 0.1],
        [0.15, 0.6, 0.0, 1.0, -0.2, -0.15],
        [-0.6, -0.15, -0.15, -0.2, 1.0, 0.35],
        [-0.6, -0.2, 0.1, -0.15, 0.35, 1.0],
    ]
)
"""Mean correlations of the curvature for the six rigid parameters about the heart, of 100 virtual patients of real and
drawn anatomies; they vary by 0.15 to 0.28. The scale comes from each study."""
_SETTLED_MM = 0.3
"""Moves of the heart below this end the search: the error is 1.5 to 4 mm (docs/concepts/profile-likelihood.md)."""


@runtime_checkable
class ClimbSettings(Protocol):
    """Settings of the search; their meaning stands at `mureg.registration.ProfileLikelihood`."""

    @property
    def steps(self) -> tuple[tuple[float, float], ...]:
        """Finite differences of each Newton step, mm and degrees."""

    @property
    def full_hessians(self) -> int:
        """Number of first steps with all second differences."""

    @property
    def passes(self) -> int:
        """Passes over all views for each pose."""

    @property
    def subsets(self) -> int:
        """Ordered subsets of the views."""

    @property
    def batch(self) -> int:
        """Poses computed together."""

    @property
    def reach_mm(self) -> float:
        """Rows are used up to here above and below the heart."""

    @property
    def margin_mm(self) -> float:
        """Rows nearer to the ends of the CT are not used."""

    @property
    def physics(self) -> Physics:
        """Effects of the camera."""

    @property
    def lung_prior_per_cm(self) -> float:
        """Standard deviation of the correction to lung attenuation."""

    @property
    def table_prior(self) -> float:
        """Standard deviation of the relative correction to table attenuation."""


@dataclass(frozen=True, eq=False)
class Maximum:
    """Result of one maximisation.

    Attributes:
        candidate: pose and numbers of the map.
        covariance: 6x6 of a small motion about the heart (mm, degrees) that comes before the pose; of noise alone.
        evidence: what is recorded of the search, by name.
    """

    candidate: Candidate
    covariance: Float[np.ndarray, "6 6"]
    evidence: dict[str, float]


@dataclass(frozen=True, eq=False)
class Climb:
    """One registration at work: its settings and what does not change from step to step."""

    settings: ClimbSettings
    acquisition: Acquisition
    maps: AttenuationMaps
    outline: Volume
    heart_mm: Triple

    def best(self, starts: Sequence[RigidTransform]) -> RigidTransform:
        """The start with the highest likelihood, on rows and with scatter of the first one."""
        if len(starts) == 1:
            return starts[0]
        profile, _ = self._profile(Candidate(starts[0]))
        return starts[int(np.argmax(profile.log_likelihoods([Candidate(start) for start in starts])))]

    def run(self, start: RigidTransform) -> Maximum:
        """Climb from a pose, the scatter made anew at each place."""
        candidate, evaluations, n_steps, moved_mm = Candidate(start), 0, 0, 0.0
        curvature = np.eye(8)
        curvature[:6, :6] = _TYPICAL
        for differences in self.settings.steps:
            profile, rows_mm = self._profile(candidate)
            step = self._step(
                profile, candidate, differences, None if n_steps < self.settings.full_hessians else curvature
            )
            curvature = step.curvature
            before, candidate = candidate, self._at(candidate, step.point)
            evaluations, n_steps = evaluations + step.evaluations, n_steps + 1
            moved_mm = target_registration_error_mm(before.ct_from_spect, candidate.ct_from_spect, self.heart_mm)
            # wide differences near the optimum are inaccurate in the last millimetre
            if moved_mm < _SETTLED_MM and differences == min(self.settings.steps):
                break
        unregistered, at_start, at_end = profile.log_likelihoods(
            [Candidate(p, candidate.lung_per_cm, candidate.table_share) for p in (RigidTransform.identity(), start)]
            + [candidate]
        )
        free = self._free()
        evidence = {
            "gain_over_scanner_position": float(at_end - unregistered),
            "gain_over_start": float(at_end - at_start),
            "evaluations": float(evaluations + 3),
            "newton_steps": float(n_steps),
            "last_step_mm": moved_mm,
            "rows_mm": rows_mm,
            "lung_per_cm": candidate.lung_per_cm,
            "table_share": candidate.table_share,
            **dict(zip(HEART_MM, self.heart_mm, strict=True)),
        }
        free_pairs = np.ix_(free, free)
        covariance = np.linalg.inv(step.curvature[free_pairs])[:6, :6]
        return Maximum(candidate, (covariance + covariance.T) / 2, evidence)

    def _profile(self, candidate: Candidate) -> tuple[LikelihoodProfile, float]:
        """The likelihood around a pose, with the scatter expected there, and the height of the rows used."""
        settings, pose = self.settings, candidate.ct_from_spect
        first, end = rows_to_trust(
            self.acquisition, self.maps.body.grid, pose, self.heart_mm, settings.reach_mm, settings.margin_mm
        )
        row_mm = self.acquisition.pixel_mm[0]
        if end - first < _FEWEST_ROWS:
            raise RegistrationError(
                f"the map covers {(end - first) * row_mm:.0f} mm of the projections around the heart",
                f"at least {_FEWEST_ROWS * row_mm:.0f} mm",
                "check that it shows the heart, or choose another registrar",
            )
        grid = self.acquisition.grid()
        posed = PosedMaps.of(self.maps, self.outline, grid, pose)
        system, _ = settings.physics.system(self.acquisition, posed.at(wide_grid(self.maps, grid, pose), candidate))
        scatter = scatter_with(system, self._subsets())
        part = with_rows(system.acquisition, first, end)
        profile = LikelihoodProfile(
            part,
            None if scatter is None else scatter[:, first:end],
            posed,
            wide_grid(self.maps, part.grid(), pose),
            system.collimator,
            passes=settings.passes,
            subsets=self._subsets(),
            batch=settings.batch,
        )
        return profile, (end - first) * row_mm

    def _step(
        self,
        profile: LikelihoodProfile,
        candidate: Candidate,
        differences: tuple[float, float],
        former: Float[np.ndarray, "all all"] | None,
    ) -> Step:
        """One step over the rigid parameters of a small motion about the heart and the free parameters of the map."""
        free, priors = self._free(), self._priors()
        whole = np.array([*[differences[0]] * 3, *[differences[1]] * 3, _LUNG_DIFFERENCE, _TABLE_DIFFERENCE])
        origin = np.array([*[0.0] * 6, candidate.lung_per_cm, candidate.table_share])

        def spread(point: Vector) -> Float[np.ndarray, " all"]:
            full = origin.copy()
            full[free] = point
            return full

        def height(points: Sequence[Vector]) -> Float[np.ndarray, " points"]:
            full = [spread(point) for point in points]
            penalties = [float(sum(0.5 * (p[6 + k] / s) ** 2 for k, s in enumerate(priors) if s > 0)) for p in full]
            heights: Float[np.ndarray, " points"] = profile.log_likelihoods([self._at(candidate, p) for p in full])
            heights -= np.array(penalties)
            return heights

        known = None if former is None else former[np.ix_(free, free)]
        step = newton_step(height, origin[free], whole[free], former=known)
        curvature = np.eye(8)
        curvature[np.ix_(free, free)] = step.curvature
        return Step(spread(step.point), step.value, step.value_before, curvature, step.evaluations)

    def _at(self, candidate: Candidate, full: Vector) -> Candidate:
        """The candidate a small motion about the heart away, with numbers of the map as given."""
        small = RigidTransform.from_six(full[:3], full[3:6], self.heart_mm)
        return Candidate(candidate.ct_from_spect @ small, float(full[6]), float(full[7]))

    def _priors(self) -> tuple[float, float]:
        with_table = self.maps.table is not None and float(self.maps.table.values.max()) > 0.0
        return self.settings.lung_prior_per_cm, self.settings.table_prior if with_table else 0.0

    def _free(self) -> list[int]:
        """Which of the eight parameters are estimated."""
        return [*range(6), *(6 + k for k, prior in enumerate(self._priors()) if prior > 0)]

    def _subsets(self) -> int:
        return min(self.settings.subsets, self.acquisition.n_views)
