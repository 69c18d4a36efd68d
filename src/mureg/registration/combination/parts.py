"""What the registrars that are combined say of one study."""

from __future__ import annotations

from dataclasses import dataclass

from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.geometry.target_error import target_registration_error_mm
from mureg.heart.find import HEART_MM
from mureg.registration.base import Registration
from mureg.registration.combination.indicators import indicators_of
from mureg.registration.combination.rule import CombinedPose, PoseEstimate
from mureg.registration.likelihood.climb import Maximum
from mureg.study import PreparedStudy

NETWORKS, FIELDS, LIKELIHOOD = "near-heart", "gradient-fields", "projection"
"""Kinds of the registrars that are combined, as in `mureg.registration.catalogue`."""
TRANSVERSE = "mutual-information-across"
"""Mutual information across the body, at the axial position of the likelihood or else of the networks: it says nothing
of the axial position."""
_AXIAL_STARTS_MM = (-20.0, -10.0, 10.0, 20.0)
"""Further starts of the likelihood: the networks err most along the body, by up to 18 mm in a patient."""
_WORDS = {
    NETWORKS: "networks at the heart",
    FIELDS: "gradient fields",
    LIKELIHOOD: "the likelihood of the projections",
    TRANSVERSE: "mutual information across the body",
}


@dataclass(frozen=True, eq=False)
class Parts:
    """What each registrar says of a study.

    Attributes:
        networks: registration by networks at the heart.
        gradient_fields: pose by gradient fields; None where they gave none.
        likelihood: maximum of the likelihood of the projections; None where there is none.
        transverse: pose by mutual information across the body; None where there is none.
        notes: why a registrar gave no pose, one sentence each.
    """

    networks: Registration
    gradient_fields: RigidTransform | None
    likelihood: Maximum | None
    transverse: RigidTransform | None = None
    notes: tuple[str, ...] = ()

    @property
    def heart_mm(self) -> Triple:
        """Where the networks saw the heart, in SPECT space."""
        x, y, z = (self.networks.evidence[name] for name in HEART_MM)
        return x, y, z

    @property
    def poses(self) -> dict[str, RigidTransform]:
        """The pose of each registrar that gave one, the networks first."""
        poses = {NETWORKS: self.networks.ct_from_spect}
        if self.gradient_fields is not None:
            poses[FIELDS] = self.gradient_fields
        if self.likelihood is not None:
            poses[LIKELIHOOD] = self.likelihood.candidate.ct_from_spect
        if self.transverse is not None:
            poses[TRANSVERSE] = self.transverse
        return poses

    @property
    def axial(self) -> RigidTransform:
        """The pose whose axial position is the best of a single registrar."""
        return self.networks.ct_from_spect if self.likelihood is None else self.likelihood.candidate.ct_from_spect

    def starts(self) -> list[RigidTransform]:
        """Poses from which the likelihood may climb: those of the others, and the first one shifted along the body."""
        poses = list(self.poses.values())
        shifts = (RigidTransform.from_six((0.0, 0.0, z), (0.0, 0.0, 0.0), self.heart_mm) for z in _AXIAL_STARTS_MM)
        return [*poses, *(poses[0] @ shift for shift in shifts)]

    def estimates(self, study: PreparedStudy) -> list[PoseEstimate]:
        """What the rule takes: poses, the likelihood's own covariance, and indicators."""
        indicators = indicators_of(study, self.networks.evidence, self.poses, self.heart_mm)
        own = {LIKELIHOOD: None if self.likelihood is None else self.likelihood.covariance}
        return [PoseEstimate(kind, pose, own.get(kind), indicators[kind]) for kind, pose in self.poses.items()]

    def evidence(self, answer: CombinedPose) -> dict[str, float]:
        """Figures of the networks, how far each pose lies from the combined one at the heart (mm), and its weight."""
        evidence = dict(self.networks.evidence)
        for kind, distance_mm in self._distances_mm(answer).items():
            name = kind.replace("-", "_")
            evidence |= {f"{name}_apart_mm": distance_mm, f"{name}_axial_weight": answer.weights[kind]}
        if self.likelihood is not None:
            # the second way to find the pose is then the likelihood, whatever the starts of the networks did
            between = self.networks.ct_from_spect, self.likelihood.candidate.ct_from_spect
            evidence["disagreement_mm"] = target_registration_error_mm(*between, self.heart_mm)
            evidence["lung_per_cm"] = self.likelihood.candidate.lung_per_cm
            evidence["table_share"] = self.likelihood.candidate.table_share
        return evidence

    def note(self, answer: CombinedPose) -> str:
        """One sentence: how far each registrar ended from the combined pose, and its weight along the body."""
        distances_mm = self._distances_mm(answer)
        parts = [
            f"{_WORDS[kind]} {distance_mm:.1f} mm away ({100 * answer.weights[kind]:.0f} %)"
            for kind, distance_mm in distances_mm.items()
        ]
        return f"one pose of {len(parts)} registrars (distance at the heart, weight along the body): {', '.join(parts)}"

    def _distances_mm(self, answer: CombinedPose) -> dict[str, float]:
        return {
            kind: target_registration_error_mm(pose, answer.ct_from_spect, self.heart_mm)
            for kind, pose in self.poses.items()
        }
