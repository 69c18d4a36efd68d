"""The learned prior: mutual information lays the chest, then a network looks at the heart alone.

Mutual information of the whole images is good to half a millimetre across the body and a fraction of a degree, but
slides along it: lungs and liver, which a breath moves by more than the heart, pull it by five to ten millimetres. The
network sees 22 cm around the heart of both images, as they lie after that, and says what is left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.registration.base import Registration, covariance_about, refuse_result, refuse_unusable
from mureg.registration.confidence import CALIBRATED
from mureg.registration.heart import HeartLocation, find_left_ventricle
from mureg.registration.inputs import network_inputs
from mureg.registration.learned import Card, load_network, refuse_around, shipped
from mureg.registration.mutual_information import MutualInformation, started_by
from mureg.registration.networks import UNIT_MM
from mureg.spect import Acquisition
from mureg.spect.attenuation import AttenuationMaps

Six = Float[np.ndarray, " 6"]

SHIPPED = "shipped"
_STEP_OFF_MM = 5.0
_SPREAD_MM = 6.8


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NearHeart:
    """Mutual information, then a network that looks at the neighbourhood of the heart.

    Attributes:
        weights: path of a network trained by benchmarks/heart_network.py; "shipped" for the one in the package.
        mutual_information: settings of the start.
        passes: how often the network looks, each time through the pose found so far.
        looks: in each pass, from so many places a few mm apart; their mean counts, and their spread tells of doubt.
        blanked: show it ones instead of the SPECT.
        largest_shift_mm: a result that moves the map farther is refused as implausible.
        largest_angle_deg: a result that turns the map farther is refused as implausible.
    """

    weights: str = SHIPPED
    mutual_information: MutualInformation = MutualInformation()
    passes: Annotated[int, Field(ge=1, le=10)] = 2
    looks: Annotated[int, Field(ge=1, le=7)] = 7
    blanked: bool = False
    largest_shift_mm: Annotated[float, Field(gt=0)] = 120.0
    largest_angle_deg: Annotated[float, Field(gt=0)] = 45.0
    kind: Literal["near-heart"] = "near-heart"

    def register(
        self,
        fixed: Volume,
        moving: Volume,
        acquisition: Acquisition | None = None,
        maps: AttenuationMaps | None = None,
    ) -> Registration:
        """See `Registrar.register`; works on images alone. Two runs give the same digits.

        The covariance is what was left on patients that neither training nor choice had seen, as the card says, wider
        where the looks disagree.
        """
        started = time.perf_counter()
        refuse_unusable(fixed, moving)
        module, card = _network(self.weights)
        start, warnings = started_by(self.mutual_information, fixed, moving)
        seen = look_at(fixed, moving, start, module, card, passes=self.passes, looks=self.looks, blanked=self.blanked)
        pose, centre_mm = seen.ct_from_spect, fixed.grid.centre_mm
        refuse_result(pose, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        spread_mm = float(np.linalg.norm(seen.spread[:3]))
        covariance = card.covariance(spread_mm)
        evidence = {
            "moved_from_start_mm": float(np.linalg.norm(seen.step[:3])),
            "moved_from_start_deg": float(np.linalg.norm(seen.step[3:])),
            "spread_of_looks_mm": spread_mm,
            "heart_confidence": seen.heart.confidence,
            CALIBRATED: float(covariance is not None),
            **dict(zip(("heart_x_mm", "heart_y_mm", "heart_z_mm"), seen.heart.centre_mm, strict=True)),
        }
        if spread_mm > _SPREAD_MM:
            warnings = (*warnings, f"the looks at the heart disagree by {spread_mm:.0f} mm")
        return Registration(
            pose,
            centre_mm,
            self.kind,
            "moved",
            evidence,
            None if covariance is None else covariance_about(pose, covariance, seen.heart.centre_mm, centre_mm),
            time.perf_counter() - started,
            notes=(seen.note(card), *((seen.heart.note,) if seen.heart.note else ())),
            warnings=(*warnings, *(("the network was shown no SPECT",) if self.blanked else ())),
            weights_sha256=card.weights_sha256,
        )


@plain_dataclass(frozen=True, eq=False)
class Seen:
    """What a network said of the neighbourhood of a heart.

    Attributes:
        ct_from_spect: the pose.
        heart: where the ventricle was found, with the map as it lay at the start.
        step: small motion about the heart that was added to the start, mm and degrees.
        spread: of the looks of the last pass, standard deviations, mm and degrees.
    """

    ct_from_spect: RigidTransform
    heart: HeartLocation
    step: Six
    spread: Six

    def note(self, card: Card) -> str:
        """In a sentence."""
        x, y, z = self.step[:3]
        return (
            f"mutual information, then {x:+.1f}, {y:+.1f}, {z:+.1f} mm by a {card.kind} network at the heart "
            f"(weights {card.weights_sha256[:12]}), its looks {np.linalg.norm(self.spread[:3]):.1f} mm apart"
        )


def look_at(
    fixed: Volume,
    moving: Volume,
    start: RigidTransform,
    module: nn.Module,
    card: Card,
    *,
    passes: int,
    looks: int,
    blanked: bool = False,
) -> Seen:
    """Let a network correct a pose.

    Args:
        fixed: uncorrected SPECT.
        moving: map of the body, 1/cm, full extent.
        start: ``ct_from_spect`` to begin with; within a few mm across the body and a few cm along it.
        module: gives six numbers a pair, of the small motion that comes before the pose, about the middle of what it
            sees: ``ct_from_spect = start @ small``.
        card: of the network; its grid is laid around the heart.
        passes, looks: see `NearHeart`.
        blanked: show ones instead of the SPECT.
    """
    spacing_mm = card.grid.spacing_mm
    emission, body = fixed.coarsened(spacing_mm), moving.coarsened(spacing_mm)
    heart = find_left_ventricle(fixed, body.resampled(fixed.grid, start))
    pose, spread = start, np.zeros(6)
    for _ in range(passes):
        said = []
        for middle in _places(heart.centre_mm, looks):
            grid = Grid.centred(card.grid.shape, (spacing_mm,) * 3, middle, fixed.grid.frame_of_reference)
            spect, mu = network_inputs(emission, body, grid, pose)
            six = _six(module, torch.ones_like(spect) if blanked else spect, mu)
            # all about one point, or they could not be averaged
            small = RigidTransform.from_six(UNIT_MM * six[:3], six[3:], middle)
            said.append(np.concatenate(small.six(heart.centre_mm)))
        mean, spread = np.mean(said, axis=0) * card.believed, np.std(said, axis=0)
        pose = pose @ RigidTransform.from_six(mean[:3], mean[3:], heart.centre_mm)
    step = np.concatenate((start.inverse() @ pose).six(heart.centre_mm))
    return Seen(pose, heart, step, spread)


def _places(heart_mm: Triple, n: int) -> Iterator[Triple]:
    """The heart, and places a little to all sides of it."""
    offsets = [(0.0, 0.0, 0.0), *(sign * _STEP_OFF_MM * axis for axis in np.eye(3) for sign in (1, -1))]
    for offset in offsets[:n]:
        x, y, z = np.asarray(heart_mm) + offset
        yield float(x), float(y), float(z)


def _six(module: nn.Module, spect: Float[Tensor, "x y z"], mu: Float[Tensor, "x y z"]) -> npt.NDArray[np.float64]:
    device = next((p.device for p in module.parameters()), spect.device)
    with torch.inference_mode():
        six = module(spect.to(device)[None, None], mu.to(device)[None, None])[0]
    answer: npt.NDArray[np.float64] = six.double().cpu().numpy()
    return answer


def weights_file(weights: str) -> Path:
    """Where the weights lie that a setting names."""
    return shipped("near-heart") if weights == SHIPPED else Path(weights)


@lru_cache(maxsize=2)
def _network(weights: str) -> tuple[nn.Module, Card]:
    """The network asked for, or the shipped one; kept for the next case.

    Raises:
        UsageError: a network that looks at the whole field.
    """
    path = weights_file(weights)
    module, card = load_network(path)
    refuse_around(card, "heart", path.name)
    return module, card
