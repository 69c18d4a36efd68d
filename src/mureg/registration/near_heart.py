"""The default registrar: mutual information for the transverse pose of the chest, networks for the pose of the heart.

Mutual information of the whole images finds the transverse pose of the chest. Its axial shift is wrong by five to ten
millimetres, because a breath moves lungs and liver by more than the heart. A breath also rotates the heart against the
chest. The networks see crops of 22 cm around the heart of both images at that pose, and predict the residual motion.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.files.former_names import with_former_names
from mureg.geometry import RigidTransform
from mureg.geometry.target_error import target_registration_error_mm
from mureg.heart.find import HEART_MM, find_left_ventricles
from mureg.jobs.threads import in_threads
from mureg.notes import Note, Rank
from mureg.registration.base import Registration, covariance_about, refuse_result, refuse_unusable
from mureg.registration.card import Card, refuse_around
from mureg.registration.confidence import settings_sha256
from mureg.registration.mutual_information import COARSE, MutualInformation
from mureg.registration.onnx_networks import Networks, kept_network
from mureg.registration.refined_pose import RefinedPose, refined_pose
from mureg.registration.starts import starts_by
from mureg.registration.weights import SHIPPED, card_notes, weights_path
from mureg.study import PreparedStudy

ABLATED = Note("the SPECT input of the network was ablated: the pose does not depend on the SPECT", Rank.CHANGES_ANSWER)

_WAY = 3
"""Passes of the axial correction from each start (docs/concepts/near-heart.md)."""
_MET_MM = 6.8
"""Results of the two starts agree up to one pixel of a usual cardiac SPECT."""
_SPREAD_MM = 6.8
"""Predictions that differ by more than one pixel lead to a warning (docs/concepts/decision.md)."""
_TURN_MM_PER_DEG = 0.4
"""Contribution of each degree of rotation of the heart against the chest to the dispersion (docs/decisions, 14)."""
_IDENTICAL_MM = 0.001
"""Answers of several networks and crops that differ by less are copies of one another."""

_FINE = MutualInformation(starts=1, finish=1, sampling=0.25, shrink_factors=(1,), smoothing_mm=(8.0,))
"""docs/concepts/classical-registration.md, last table. The card was calibrated with these and `COARSE`."""


def _as_text(weights: object) -> object:
    return str(weights) if isinstance(weights, Path) else weights


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NearHeart:
    """Mutual information of the whole images, then networks on a crop around the heart.

    There are two starts: mutual information with all parameters free, and with the axial shift fixed at the scanner
    position. A network corrects the axial shift of each. If the two results differ, the one with the smaller shift of
    the heart is used, and their distance is reported.

    Attributes:
        weights: weights file (.onnx) made by mureg train near-heart or mureg finetune; near-heart or "shipped" for the
            networks of the package.
        coarse: mutual information before the networks.
        fine: mutual information for the transverse refinement.
        finish: refine the transverse pose with fine mutual information before the final network passes.
        passes: number of final network passes; each starts from the pose of the pass before.
        crops: number of test-time crops in each pass, shifted axially by a few mm. The predictions of all
            crops and networks are averaged; their spread enters the uncertainty.
        ablated: replace the SPECT input of the networks by a constant image (ablation); always on for networks trained
            that way.
        largest_shift_mm: refuse a result that shifts the map by more than this (mm).
        largest_angle_deg: refuse a result that rotates the map by more than this (degrees).
    """

    weights: Annotated[str, BeforeValidator(_as_text)] = SHIPPED
    coarse: MutualInformation = COARSE
    fine: MutualInformation = _FINE
    finish: bool = True
    passes: Annotated[int, Field(ge=1, le=10)] = 2
    crops: Annotated[int, Field(ge=1, le=7)] = 3
    ablated: bool = False
    largest_shift_mm: Annotated[float, Field(gt=0)] = 120.0
    largest_angle_deg: Annotated[float, Field(gt=0)] = 45.0
    kind: Literal["near-heart"] = "near-heart"

    def quick_mode(self) -> NearHeart:
        """Quick mode: one crop, one pass, and no transverse refinement."""
        return replace(self, finish=False, passes=1, crops=1)

    def preload(self) -> None:
        """Load the networks and the library that runs them."""
        _networks(self.weights)

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; works on images alone. Two runs give the same digits.

        The covariance is that of the residual errors on held-out patients, from the card. It grows with the
        dispersion: the spread of the predictions and the rotation of the heart against the chest. Quick mode has its
        own covariance.
        """
        started = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_unusable(fixed, moving)
        networks, card = _networks(self.weights)
        ablated = self.ablated or card.ablated
        start, trusted_end, apart_mm, warnings = self._start(study, networks, card, ablated)
        refined = refined_pose(
            fixed,
            moving,
            start,
            networks,
            card,
            passes=self.passes,
            crops=self.crops,
            ablated=ablated,
            heart=trusted_end.heart,
        )
        pose, centre_mm = refined.ct_from_spect, fixed.grid.centre_mm
        refuse_result(pose, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        spread_mm = float(np.linalg.norm(refined.spread[:3]))
        dispersion_mm = float(np.hypot(spread_mm, _TURN_MM_PER_DEG * refined.turned_deg))
        covariance = card.covariance(dispersion_mm, quick=not self.finish)
        evidence = {
            "disagreement_mm": apart_mm,
            "spread_of_crops_mm": spread_mm,
            "turned_deg": refined.turned_deg,
            "dispersion_mm": dispersion_mm,
            "heart_confidence": refined.heart.confidence,
            **dict(zip(HEART_MM, refined.heart.centre_mm, strict=True)),
        }
        if identical := refined.answers > 1 and spread_mm < _IDENTICAL_MM:
            count = refined.answers
            sentence = f"{count} network answers are identical to {_IDENTICAL_MM:g} mm: the weights may be damaged"
            warnings = (*warnings, Note(sentence, Rank.CHANGES_ANSWER))
        if spread_mm > _SPREAD_MM:
            sentence = f"the network predictions at the heart differ by {spread_mm:.0f} mm"
            warnings = (*warnings, Note(sentence, Rank.CHANGES_ANSWER))
        return Registration(
            pose,
            centre_mm,
            self.kind,
            "moved",
            evidence,
            None if covariance is None else covariance_about(pose, covariance, refined.heart.centre_mm, centre_mm),
            time.perf_counter() - started,
            notes=(refined.note(card, apart_mm), *((refined.heart.note,) if refined.heart.note else ())),
            warnings=(*warnings, *_notes_on(card, trusted_end, refined), *((ABLATED,) if ablated else ())),
            weights_sha256=card.weights_sha256,
            calibrated_for={} if covariance is None or identical else self._calibrated_for(card),
        )

    def settings_sha256(self, former: bool = False) -> str:
        """Fingerprint of these settings without the weights, which have their own; `former`: as mureg 0.1.0 took it."""
        settings = {name: value for name, value in asdict(self).items() if name != "weights"}
        return settings_sha256(with_former_names(settings, self.kind) if former else settings)

    def _calibrated_for(self, card: Card) -> dict[str, str]:
        """The settings of the other steps that the card's covariance was measured with; empty for other settings."""
        mode = "default" if self.finish else "quick"
        if card.calibrated_for.get(mode) not in (self.settings_sha256(), self.settings_sha256(former=True)):
            return {}
        return {name: sha256 for name, sha256 in card.calibrated_for.items() if name not in ("default", "quick")}

    def _start(
        self, study: PreparedStudy, networks: Networks, card: Card, ablated: bool
    ) -> tuple[RigidTransform, RefinedPose, float, tuple[str, ...]]:
        """Start of the final passes, the axial correction before it, the distance of its two results, and warnings."""
        fixed, moving = study.uncorrected, study.body
        starts, warnings = starts_by(self.coarse, study)
        body = moving.coarsened(card.grid.spacing_mm)
        hearts = find_left_ventricles(fixed, [body.resampled(fixed.grid, start) for start in starts])
        way = partial(refined_pose, fixed, moving, networks=networks, card=card, passes=_WAY, crops=1, ablated=ablated)
        ends = in_threads(
            lambda begin: way(begin[0], heart=begin[1], axial_alone=True), list(zip(starts, hearts, strict=True))
        )
        scanner = RigidTransform.identity()
        moves = [target_registration_error_mm(end.ct_from_spect, scanner, end.heart.centre_mm) for end in ends]
        nearest = ends[int(np.argmin(moves))]
        apart_mm = max(
            target_registration_error_mm(end.ct_from_spect, nearest.ct_from_spect, nearest.heart.centre_mm)
            for end in ends
        )
        # where both results agree, the free one has the better transverse pose
        trusted_end = ends[0] if apart_mm <= _MET_MM else nearest
        pose = trusted_end.ct_from_spect
        return self.fine.across(fixed, moving, pose) if self.finish else pose, trusted_end, apart_mm, warnings


def _notes_on(card: Card, *corrections: RefinedPose) -> tuple[Note, ...]:
    shift_mm = max(correction.largest_shift_mm for correction in corrections)
    return card_notes(card, shift_mm, max(correction.largest_angle_deg for correction in corrections))


def _networks(weights: str) -> tuple[Networks, Card]:
    """The networks of a setting; `UsageError` for networks whose input is the whole field."""
    path = weights_path(weights)
    networks, card = kept_network(path)
    refuse_around(card, "heart", path.name)
    return networks, card
