"""Registration by what the camera measured: the pose whose map lets the projections be explained best.

For each candidate pose an activity of its own is estimated from the start, in a fixed number of passes, and the Poisson
log-likelihood that it reaches is the height of the pose: a profile likelihood, see docs/concepts/profile-likelihood.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.heart.find import find_left_ventricle
from mureg.registration.base import Registration, covariance_about, refuse_result, refuse_unusable
from mureg.registration.likelihood.climb import Climb, Maximum
from mureg.registration.likelihood.profile import rebinned
from mureg.registration.mutual_information import MutualInformation
from mureg.registration.starts import started_by
from mureg.spect import Acquisition, Physics
from mureg.study import PreparedStudy

Positive = Annotated[float, Field(gt=0)]

_MANY_VIEWS = 40
"""Between the 30 or 32 views of a short acquisition, which are all needed, and the 60 or 64 of a usual one."""
_FEW_MM = 60.0
"""Height of the rows below which a warning is given: less than a ventricle, 71 mm (docs/concepts/anatomies.md)."""


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
        full_hessians: number of first steps that take all second differences; later steps scale the cross terms of the
            step before, with a third of the evaluations. With 0 the first step takes typical correlations.
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
    full_hessians: Annotated[int, Field(ge=0)] = 4
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
        _projections(study)
        start, warnings = self._start(study)
        heart = find_left_ventricle(fixed, moving.resampled(fixed.grid, start))
        maximum = self.maximise(study, heart.centre_mm, [start])
        pose = maximum.candidate.ct_from_spect
        return Registration(
            pose,
            fixed.grid.centre_mm,
            self.kind,
            "left as it was" if pose == RigidTransform.identity() else "moved",
            maximum.evidence,
            covariance_about(pose, maximum.covariance, heart.centre_mm, fixed.grid.centre_mm),
            time.perf_counter() - started,
            notes=(_note(maximum.evidence), *((heart.note,) if heart.note else ())),
            warnings=(*warnings, *_warnings(maximum.evidence)),
        )

    def maximise(self, study: PreparedStudy, heart_mm: Triple, starts: Sequence[RigidTransform]) -> Maximum:
        """The maximum that is reached from the start with the highest likelihood.

        Args:
            study: with projections.
            heart_mm: about which the pose is estimated, and around which rows are used.
            starts: poses to begin with, one or more; the first decides which rows are compared.

        Raises:
            RegistrationError: see `register`.
        """
        acquisition = _projections(study)
        measured = rebinned(acquisition, self.rebin, self.view_step if acquisition.n_views >= _MANY_VIEWS else 1)
        climb = Climb(self, measured, study.maps, study.outline, heart_mm)
        maximum = climb.run(climb.best(starts))
        pose = maximum.candidate.ct_from_spect
        refuse_result(pose, study.uncorrected, study.body, self.largest_shift_mm, self.largest_angle_deg)
        return maximum

    def _start(self, study: PreparedStudy) -> tuple[RigidTransform, tuple[str, ...]]:
        if self.start == "scanner-position":
            return RigidTransform.identity(), ()
        return started_by(self.mutual_information, study)


def _projections(study: PreparedStudy) -> Acquisition:
    if study.acquisition is None:
        raise RegistrationError(
            "a reconstructed SPECT without its projections",
            "projections, with whose counts this registrar compares",
            "give the projections, or choose another registrar",
        )
    return study.acquisition


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
