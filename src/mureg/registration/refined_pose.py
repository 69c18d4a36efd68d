"""Correction of a pose by networks on crops around the heart, as the default registrar and training's errors use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HeartLocation, find_left_ventricle
from mureg.registration.card import UNIT_MM, Card
from mureg.registration.inputs import network_inputs
from mureg.registration.onnx_networks import Images, Networks

Six = Float[np.ndarray, " 6"]

_STEP_OFF_MM = 5.0
"""Distance of neighbouring crops (docs/concepts/near-heart.md)."""
_ALONG = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
"""The axial shift alone."""


@dataclass(frozen=True, eq=False)
class RefinedPose:
    """Correction of a pose by networks on crops around the heart.

    Attributes:
        ct_from_spect: the corrected pose.
        heart: position of the ventricle, found with the map at the start.
        spread: standard deviations over crops and networks of the last pass, mm and degrees.
        turned_deg: rotation of the map by the last pass, degrees.
        answers: number of predictions in the last pass: networks times crops.
        largest_shift_mm, largest_angle_deg: length of the longest translation and the largest rotation of one pass.
    """

    ct_from_spect: RigidTransform
    heart: HeartLocation
    spread: Six
    turned_deg: float
    answers: int
    largest_shift_mm: float = 0.0
    largest_angle_deg: float = 0.0

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
    pose, spread, predictions, steps = start, np.zeros(6), list[Six](), list[Six]()
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
        steps.append(mean)
        pose = pose @ RigidTransform.from_six(mean[:3], mean[3:], heart.centre_mm)
    shifts_mm, turns_deg = (np.linalg.norm(np.array(steps)[:, part], axis=1) for part in (slice(3), slice(3, 6)))
    return RefinedPose(
        pose,
        heart,
        spread,
        float(turns_deg[-1]),
        len(predictions),
        largest_shift_mm=float(shifts_mm.max()),
        largest_angle_deg=float(turns_deg.max()),
    )


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
