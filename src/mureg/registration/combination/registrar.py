"""The default registrar: networks at the heart, gradient fields and the likelihood of the projections in one pose.

Networks follow the heart through any breath, but may lay the map wrong by a constant of the patient. The likelihood has
no such error, but follows chest and liver where the CT was taken at another depth of breath, and fails where the CT
cuts the body. Mutual information, misleading along the body, is precise across it. A learned rule weighs them in each
study (docs/concepts/combination.md).
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from mureg.errors import RegistrationError
from mureg.jobs.threads import beside
from mureg.registration.base import Registration, covariance_about, refuse_result
from mureg.registration.combination.parts import Parts
from mureg.registration.combination.rule import Rule, combined, shipped_rule
from mureg.registration.confidence import settings_sha256
from mureg.registration.gradient_fields import GradientFields
from mureg.registration.likelihood.projection import ProfileLikelihood
from mureg.registration.near_heart import NearHeart
from mureg.study import PreparedStudy

_LIKELIHOOD = ProfileLikelihood(steps=((8.0, 5.0), (6.0, 4.0), (4.0, 2.5)), full_hessians=0, passes=12)
"""A third of the time of the registrar `projection`, with no larger error (docs/concepts/combination.md)."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Combination:
    """Networks at the heart, gradient fields and the likelihood of the projections, weighted by a learned rule.

    Where there are no projections, or the likelihood finds no pose, the other two remain, with a wider covariance.

    Attributes:
        near_heart: settings of the networks at the heart; a study that they refuse is refused.
        gradient_fields: settings of gradient fields.
        likelihood: settings of the likelihood of the projections.
        with_gradient_fields, with_likelihood: whether each takes part.
    """

    near_heart: NearHeart = NearHeart()
    gradient_fields: GradientFields = GradientFields()
    likelihood: ProfileLikelihood = _LIKELIHOOD
    with_gradient_fields: bool = True
    with_likelihood: bool = True
    kind: Literal["combination"] = "combination"

    def quick_mode(self) -> NearHeart:
        """Quick mode: the networks alone, see `NearHeart.quick_mode`."""
        return self.near_heart.quick_mode()

    def preload(self) -> None:
        """Load networks and libraries before the first study."""
        self.near_heart.preload()

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`. Two runs give the same digits.

        The covariance is that of the rule, measured on anatomies that were left out.

        Raises:
            RegistrationError: the networks refuse the study, or the combined pose is implausible.
        """
        started = time.perf_counter()
        fixed, body = study.uncorrected, study.body
        parts = self.parts(study)
        rule = shipped_rule()
        answer = combined(rule, parts.estimates(study), parts.heart_mm)
        pose, centre_mm = answer.ct_from_spect, fixed.grid.centre_mm
        refuse_result(pose, fixed, body, self.near_heart.largest_shift_mm, self.near_heart.largest_angle_deg)
        return Registration(
            pose,
            centre_mm,
            self.kind,
            "moved",
            parts.evidence(answer),
            covariance_about(pose, answer.covariance, parts.heart_mm, centre_mm),
            time.perf_counter() - started,
            notes=(parts.note(answer), *parts.networks.notes, *parts.notes),
            warnings=parts.networks.warnings,
            weights_sha256=parts.networks.weights_sha256,
            calibrated_for=self._calibrated_for(rule, parts.networks),
        )

    def parts(self, study: PreparedStudy) -> Parts:
        """What each registrar that takes part says of a study."""
        fields = beside(lambda: self.gradient_fields.register(study)) if self.with_gradient_fields else None
        networks = self.near_heart.register(study)
        gradient_fields, likelihood, notes = None, None, list[str]()
        if fields is not None:
            try:
                gradient_fields = fields().ct_from_spect
            except RegistrationError as refusal:
                notes.append(f"gradient fields gave no pose: {refusal}")
        parts = Parts(networks, gradient_fields, None)
        if self.with_likelihood and study.acquisition is not None:
            try:
                likelihood = self.likelihood.maximise(study, parts.heart_mm, parts.starts())
            except RegistrationError as refusal:
                notes.append(f"the likelihood of the projections gave no pose: {refusal}")
        parts = replace(parts, likelihood=likelihood)
        try:
            transverse = self.near_heart.fine.across(study.uncorrected, study.body, parts.axial)
        except RegistrationError as refusal:
            transverse = None
            notes.append(f"mutual information across the body gave no pose: {refusal}")
        return replace(parts, transverse=transverse, notes=tuple(notes))

    def settings_sha256(self) -> str:
        """Fingerprint of these settings without the weights, which have their own."""
        return settings_sha256(asdict(replace(self, near_heart=replace(self.near_heart, weights=""))))

    def _calibrated_for(self, rule: Rule, networks: Registration) -> dict[str, str]:
        """Settings of the other steps that the covariance was measured with; empty for other settings or weights."""
        measured = rule.calibrated_for
        same = measured.get("registrar") == self.settings_sha256()
        if not (same and measured.get("weights") == networks.weights_sha256):
            return {}
        return {name: sha256 for name, sha256 in measured.items() if name not in ("registrar", "weights")}
