"""The default registrar: mutual information for the transverse pose of the chest, networks for the pose of the heart.

Mutual information of the whole images finds the transverse pose of the chest. Its axial shift is wrong by five to ten
millimetres, because a breath moves lungs and liver by more than the heart. A breath also rotates the heart against the
chest. The networks see crops of 22 cm around the heart of both images at that pose, and predict the residual motion.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.files.former_names import with_former_names
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HEART_MM, HeartLocation, find_left_ventricle, find_left_ventricles
from mureg.jobs.threads import in_threads
from mureg.notes import Note, Rank
from mureg.registration.base import Registration, covariance_about, refuse_result, refuse_unusable
from mureg.registration.card import UNIT_MM, Card, refuse_around, shipped
from mureg.registration.confidence import settings_sha256
from mureg.registration.inputs import network_inputs
from mureg.registration.mutual_information import MutualInformation, starts_by
from mureg.registration.network import ABLATED
from mureg.registration.onnx_networks import Images, Networks, kept_network
from mureg.study import PreparedStudy

Six = Float[np.ndarray, " 6"]

SHIPPED = "shipped"
_WAY = 3
"""Passes of the axial correction from each start (docs/concepts/near-heart.md)."""
_MET_MM = 6.8
"""Results of the two starts agree up to one pixel of a usual cardiac SPECT."""
_STEP_OFF_MM = 5.0
"""Distance of neighbouring crops (docs/concepts/near-heart.md)."""
_SPREAD_MM = 6.8
"""Predictions that differ by more than one pixel lead to a warning (docs/concepts/decision.md)."""
_TURN_MM_PER_DEG = 0.4
"""Contribution of each degree of rotation of the heart against the chest to the dispersion (docs/decisions, 14)."""
_IDENTICAL_MM = 0.001
"""Answers of several networks and crops that differ by less are copies of one another."""
_ALONG = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
"""The axial shift alone."""

_COARSE = MutualInformation(
    starts=3, finish=1, sampling=0.125, voxel_mm=13.6, shrink_factors=(1,), smoothing_mm=(10.0,)
)
"""On 13.6 mm: docs/decisions, 10; points: docs/concepts/classical-registration.md, last table."""
_FINE = MutualInformation(starts=1, finish=1, sampling=0.25, shrink_factors=(1,), smoothing_mm=(8.0,))
"""The same table. The card was calibrated with both."""


def _as_text(weights: object) -> object:
    return str(weights) if isinstance(weights, Path) else weights


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NearHeart:
    """Mutual information of the whole images, then networks on a crop around the heart.

    There are two starts: mutual information with all parameters free, and with the axial shift fixed at the scanner
    position. A network corrects the axial shift of each. If the two results differ, the one with the smaller shift of
    the heart is used, and their distance is reported.

    Attributes:
        weights: weights file (.onnx) made by mureg train near-heart; "shipped" for the networks of the package.
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
    coarse: MutualInformation = _COARSE
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
        start, heart, apart_mm, warnings = self._start(study, networks, card, ablated)
        refined = refined_pose(
            fixed, moving, start, networks, card, passes=self.passes, crops=self.crops, ablated=ablated, heart=heart
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
            warnings=(*warnings, *((ABLATED,) if ablated else ())),
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
    ) -> tuple[RigidTransform, HeartLocation, float, tuple[str, ...]]:
        """Start of the final passes, the heart, the distance of the two results there (mm), and warnings."""
        fixed, moving = study.uncorrected, study.body
        starts, warnings = starts_by(self.coarse, study)
        body = moving.coarsened(card.grid.spacing_mm)
        hearts = find_left_ventricles(fixed, [body.resampled(fixed.grid, start) for start in starts])
        way = partial(refined_pose, fixed, moving, networks=networks, card=card, passes=_WAY, crops=1, ablated=ablated)
        ends = in_threads(
            lambda begin: way(begin[0], heart=begin[1], axial_alone=True), list(zip(starts, hearts, strict=True))
        )
        moves = [_distance_mm(end.ct_from_spect, RigidTransform.identity(), end.heart.centre_mm) for end in ends]
        nearest = ends[int(np.argmin(moves))]
        apart_mm = max(_distance_mm(end.ct_from_spect, nearest.ct_from_spect, nearest.heart.centre_mm) for end in ends)
        # where both results agree, the free one has the better transverse pose
        trusted_end = ends[0] if apart_mm <= _MET_MM else nearest
        pose = trusted_end.ct_from_spect
        return self.fine.across(fixed, moving, pose) if self.finish else pose, trusted_end.heart, apart_mm, warnings


def _distance_mm(first: RigidTransform, second: RigidTransform, place_mm: Triple) -> float:
    return float(np.linalg.norm(first.apply(place_mm) - second.apply(place_mm)))


@plain_dataclass(frozen=True, eq=False)
class RefinedPose:
    """Correction of a pose by networks on crops around the heart.

    Attributes:
        ct_from_spect: the corrected pose.
        heart: position of the ventricle, found with the map at the start.
        spread: standard deviations over crops and networks of the last pass, mm and degrees.
        turned_deg: rotation of the map by the last pass, degrees.
        answers: number of predictions in the last pass: networks times crops.
    """

    ct_from_spect: RigidTransform
    heart: HeartLocation
    spread: Six
    turned_deg: float
    answers: int

    def note(self, card: Card, apart_mm: float) -> str:
        """One sentence for the notes: networks, weights, and how far the starts and the predictions differ."""
        networks = f"{1 + len(card.others)} {card.kind} networks" if card.others else f"a {card.kind} network"
        return (
            f"mutual information of the images, {networks} at the heart (weights {card.weights_sha256[:12]}); the "
            f"two starts ended {apart_mm:.1f} mm apart, the last predictions differ by "
            f"{np.linalg.norm(self.spread[:3]):.1f} mm"
        )


def refined_pose(
    fixed: Volume,
    moving: Volume,
    start: RigidTransform,
    networks: Networks,
    card: Card,
    *,
    passes: int,
    crops: int,
    axial_alone: bool = False,
    ablated: bool = False,
    heart: HeartLocation | None = None,
) -> RefinedPose:
    """Correct a pose with a network, or with the mean of several.

    Every pass but the last applies the axial component only: the transverse predictions were trained at the pose of
    mutual information, and a second pass would apply the same correction again.

    Args:
        fixed: uncorrected SPECT.
        moving: map of the body, 1/cm, full extent.
        start: ``ct_from_spect`` to begin with; accurate to a few mm transversely and a few cm axially.
        networks: predict the rigid parameters of a small motion about the middle of the crop, applied before the pose:
            ``ct_from_spect = start @ small``.
        card: card of the network; its grid is centred on the heart.
        passes, crops: see `NearHeart`.
        axial_alone: apply the axial component in the last pass, too, for which one network is enough; otherwise that
            pass applies all parameters, each with its gain on the card.
        ablated: replace the SPECT input by ones (ablation).
        heart: its position in the SPECT; if not given, found with the map at the start.
    """
    spacing_mm = card.grid.spacing_mm
    emission, body = fixed.coarsened(spacing_mm), moving.coarsened(spacing_mm)
    heart = heart or find_left_ventricle(fixed, body.resampled(fixed.grid, start))
    pose, spread, turned_deg, predictions = start, np.zeros(6), 0.0, list[Six]()
    for remaining in reversed(range(passes)):
        middles = list(_places(heart.centre_mm, crops))
        inputs = [_crop(emission, body, pose, card, middle, ablated) for middle in middles]
        predictions = [
            # all about one point, or they could not be averaged
            np.concatenate(RigidTransform.from_six(UNIT_MM * six[:3], six[3:], middle).six(heart.centre_mm))
            for middle, sixes in zip(middles, networks.predicted(inputs, first_alone=axial_alone), strict=True)
            for six in sixes
        ]
        spread = np.std(predictions, axis=0)
        mean = np.mean(predictions, axis=0) * (_ALONG if axial_alone or remaining else card.gains)
        turned_deg = float(np.linalg.norm(mean[3:]))
        pose = pose @ RigidTransform.from_six(mean[:3], mean[3:], heart.centre_mm)
    return RefinedPose(pose, heart, spread, turned_deg, len(predictions))


def _places(heart_mm: Triple, n: int) -> Iterator[Triple]:
    """The centre of the heart, and points around it."""
    offsets = [(0.0, 0.0, 0.0), *(sign * _STEP_OFF_MM * axis for axis in np.eye(3)[::-1] for sign in (1, -1))]
    for offset in offsets[:n]:
        x, y, z = np.asarray(heart_mm) + offset
        yield float(x), float(y), float(z)


def _crop(emission: Volume, body: Volume, pose: RigidTransform, card: Card, middle: Triple, ablated: bool) -> Images:
    """Both images around a place, the map at a pose."""
    grid = Grid.centred(card.grid.shape, (card.grid.spacing_mm,) * 3, middle, emission.grid.frame_of_reference)
    spect, mu = network_inputs(emission, body, grid, pose)
    return np.ones_like(spect) if ablated else spect, mu


def weights_file(weights: str) -> Path:
    """Path of the weights that a setting names."""
    return shipped("near-heart") if weights == SHIPPED else Path(weights)


def _networks(weights: str) -> tuple[Networks, Card]:
    """The networks of a setting; `UsageError` for networks whose input is the whole field."""
    path = weights_file(weights)
    networks, card = kept_network(path)
    refuse_around(card, "heart", path.name)
    return networks, card
