"""Registration by what the camera measured: the pose whose map lets the projections be explained best.

For each candidate pose an activity of its own is estimated from the start, in a fixed number of passes, and the Poisson
log-likelihood that it reaches is the height of the pose: a profile likelihood, see docs/concepts/profile-likelihood.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.attenuation.maps import AttenuationMaps
from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HEART_MM, find_left_ventricle
from mureg.registration.base import Registration, covariance_about, refuse_result, refuse_unusable
from mureg.registration.likelihood.newton import Step, Vector, newton_step
from mureg.registration.likelihood.profile import (
    Candidate,
    LikelihoodProfile,
    PosedMaps,
    rebinned,
    rows_to_trust,
    scatter_with,
    wide_grid,
    with_rows,
)
from mureg.registration.mutual_information import MutualInformation, started_by
from mureg.spect import Acquisition, Physics
from mureg.study import PreparedStudy

Positive = Annotated[float, Field(gt=0)]

_MANY_VIEWS = 40
"""Between the 30 or 32 views of a short acquisition, which are all needed, and the 60 or 64 of a usual one."""
_FEWEST_ROWS, _FEW_MM = 3, 60.0
"""Rows without which there is no axial profile; height below which a warning is given: less than a ventricle (71 to 90
mm, docs/concepts/anatomies.md). Both chosen."""
_LUNG_DIFFERENCE, _TABLE_DIFFERENCE = 0.004, 0.2
"""Finite differences, 1/cm and share: 0.4 standard deviations of the priors; chosen."""
_SETTLED_MM = 0.3
"""Moves of the heart below this end the search: the error is 1.5 to 4 mm (docs/concepts/profile-likelihood.md)."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ProfileLikelihood:
    """Newton's method on the profile likelihood of the projections, with the pose about the heart.

    Attributes:
        start: starting pose: result of mutual information, or scanner position.
        mutual_information: mutual information for the starting pose.
        rebin: binning factor of the detector pixels in both directions.
        view_step: use every n-th view of acquisitions with 40 views or more.
        passes: number of passes over all views for each pose; too few give a bias.
        subsets: number of ordered subsets of the views.
        steps: Newton steps: for each, the distances of the finite differences in mm and in degrees.
        reach_mm: leave out detector rows farther than this above or below the heart (mm).
        margin_mm: leave out detector rows nearer than this to the ends of the CT (mm).
        physics: effects of the camera in the likelihood.
        lung_prior_per_cm: standard deviation of the correction to lung attenuation (1/cm); 0 for no correction.
        table_prior: standard deviation of the relative correction to table attenuation (1 is 100 %); 0 for no
            correction.
        batch: number of poses computed together.
        largest_shift_mm: refuse a result that shifts the map by more than this (mm).
        largest_angle_deg: refuse a result that rotates the map by more than this (degrees).
    """

    start: Literal["mutual-information", "scanner-position"] = "mutual-information"
    mutual_information: MutualInformation = MutualInformation()
    rebin: Annotated[int, Field(ge=1, le=8)] = 2
    view_step: Annotated[int, Field(ge=1, le=8)] = 2
    passes: Annotated[int, Field(ge=1, le=200)] = 20
    subsets: Annotated[int, Field(ge=1, le=64)] = 6
    steps: Annotated[tuple[tuple[Positive, Positive], ...], Field(min_length=1)] = (
        (10.0, 6.0),
        (6.0, 4.0),
        (4.0, 2.5),
        (4.0, 2.5),
    )
    reach_mm: Positive = 110.0
    margin_mm: Annotated[float, Field(ge=0)] = 10.0
    physics: Physics = Physics()
    lung_prior_per_cm: Annotated[float, Field(ge=0)] = 0.01
    table_prior: Annotated[float, Field(ge=0)] = 0.5
    batch: Annotated[int, Field(ge=1, le=64)] = 6
    largest_shift_mm: Positive = 120.0
    largest_angle_deg: Positive = 45.0
    kind: Literal["projection"] = "projection"

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; needs the projections. Two runs give the same numbers.

        The covariance is the inverse curvature of the log-likelihood with its priors. It tells of noise in the counts
        alone, and not of what the model of camera and patient lacks, which is most of the error.

        Raises:
            RegistrationError: no projections, hardly a row near the heart that the map covers, or an implausible pose.
        """
        started = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_unusable(fixed, moving)
        acquisition = study.acquisition
        if acquisition is None:
            raise RegistrationError(
                "a reconstructed SPECT without its projections",
                "projections, with whose counts this registrar compares",
                "give the projections, or choose another registrar",
            )
        start, warnings = self._start(study)
        heart = find_left_ventricle(fixed, moving.resampled(fixed.grid, start))
        climb = _Climb(
            self,
            rebinned(acquisition, self.rebin, self.view_step if acquisition.n_views >= _MANY_VIEWS else 1),
            study.maps,
            study.outline,
            heart.centre_mm,
        )
        top = climb.run(start)
        pose = top.candidate.ct_from_spect
        refuse_result(pose, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        return Registration(
            pose,
            fixed.grid.centre_mm,
            self.kind,
            "left as it was" if pose == RigidTransform.identity() else "moved",
            top.evidence,
            covariance_about(pose, top.covariance, heart.centre_mm, fixed.grid.centre_mm),
            time.perf_counter() - started,
            notes=(_note(top.evidence), *((heart.note,) if heart.note else ())),
            warnings=(*warnings, *_warnings(top.evidence)),
        )

    def _start(self, study: PreparedStudy) -> tuple[RigidTransform, tuple[str, ...]]:
        if self.start == "scanner-position":
            return RigidTransform.identity(), ()
        return started_by(self.mutual_information, study)


@plain_dataclass(frozen=True, eq=False)
class _Top:
    """Result of one maximisation."""

    candidate: Candidate
    covariance: Float[np.ndarray, "6 6"]
    evidence: dict[str, float]


@plain_dataclass(frozen=True, eq=False)
class _Climb:
    """One registration at work: its settings and what does not change from step to step."""

    settings: ProfileLikelihood
    acquisition: Acquisition
    maps: AttenuationMaps
    outline: Volume
    heart_mm: Triple

    def run(self, start: RigidTransform) -> _Top:
        """Climb from a pose, the scatter made anew at each place."""
        candidate, evaluations, n_steps, moved_mm = Candidate(start), 0, 0, 0.0
        for differences in self.settings.steps:
            profile, rows_mm = self._profile(candidate)
            step = self._step(profile, candidate, differences)
            before, candidate = candidate, self._at(candidate, step.point)
            evaluations, n_steps = evaluations + step.evaluations, n_steps + 1
            moved_mm = self._heart_moved_mm(before, candidate)
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
        return _Top(candidate, (covariance + covariance.T) / 2, evidence)

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

    def _step(self, profile: LikelihoodProfile, candidate: Candidate, differences: tuple[float, float]) -> Step:
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

        step = newton_step(height, origin[free], whole[free])
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

    def _heart_moved_mm(self, before: Candidate, after: Candidate) -> float:
        places = (candidate.ct_from_spect.apply(self.heart_mm) for candidate in (before, after))
        return float(np.linalg.norm(np.subtract(*places)))


def _note(evidence: dict[str, float]) -> str:
    return (
        f"log-likelihood of the projections {evidence['gain_over_scanner_position']:+.0f} above the scanner position, "
        f"{evidence['gain_over_start']:+.0f} above the start; {evidence['newton_steps']:.0f} steps, the last "
        f"{evidence['last_step_mm']:.1f} mm at the heart; lung {evidence['lung_per_cm']:+.3f} 1/cm, "
        f"table {100 * evidence['table_share']:+.0f} %"
    )


def _warnings(evidence: dict[str, float]) -> tuple[str, ...]:
    warnings = []
    if evidence["rows_mm"] < _FEW_MM:
        warnings.append(f"the map covers only {evidence['rows_mm']:.0f} mm of the projections around the heart")
    if evidence["gain_over_start"] <= 0.0:
        warnings.append("no pose explained the projections better than the start")
    # half a pixel of a usual cardiac SPECT
    if evidence["last_step_mm"] > 3.4:
        warnings.append(f"the last step still moved the heart by {evidence['last_step_mm']:.1f} mm")
    return tuple(warnings)
