"""Registration by trained networks that predict the rigid parameters from both images."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.geometry import RigidTransform, Volume
from mureg.registration.base import Registration, refuse_result, refuse_unusable
from mureg.registration.card import UNIT_MM, Card
from mureg.registration.inputs import network_inputs
from mureg.registration.near_heart import ABLATED, NearHeart
from mureg.registration.onnx_networks import Networks, kept_network
from mureg.registration.weights import card_notes, is_name, weights_path
from mureg.study import PreparedStudy


def _as_weights(weights: Path | str) -> Path | str:
    """A name of weights stays text; a file is a path, of which results record the name alone."""
    return weights if isinstance(weights, str) and is_name(weights) else Path(weights)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NetworkRegistrar:
    """Registration by trained networks, which predict the rigid parameters of the pose from both images.

    The card of the weights says what the input of the networks is. Those for the whole field, as in the paper, predict
    the pose from the scanner position. Those for a crop around the heart correct the pose of mutual information: then
    this is the registrar near-heart with these weights.

    Attributes:
        weights: near-heart or another name of `mureg weights`, or an .onnx file with its JSON card beside it, as
            mureg train and mureg finetune write them.
        passes: number of predictions; from the second one on of the residual, with the map at the pose so far
            (default: as the card says for the whole field, 2 around the heart).
        ablated: replace the SPECT input by ones (ablation). The prediction then comes from the map alone
            (leakage). Always on for weights trained that way.
        largest_shift_mm: refuse a result that shifts the map by more than this (mm).
        largest_angle_deg: refuse a result that rotates the map by more than this (degrees).
    """

    weights: Annotated[Path | str, AfterValidator(_as_weights)]
    passes: Annotated[int | None, Field(ge=1, le=20)] = None
    ablated: bool = False
    largest_shift_mm: Annotated[float, Field(gt=0)] = 120.0
    largest_angle_deg: Annotated[float, Field(gt=0)] = 45.0
    kind: Literal["network"] = "network"

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; works on images alone. Float32, the same digits each time."""
        start = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_unusable(fixed, moving)
        networks, card = kept_network(weights_path(self.weights))
        if card.around == "heart":
            return self._around_heart().register(study)
        ablated = self.ablated or card.ablated
        ct_from_spect, steps = self._predict(networks, card, fixed, moving, ablated)
        centre_mm = fixed.grid.centre_mm
        refuse_result(ct_from_spect, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        shifts_mm = [sum(mm**2 for mm in step.six(centre_mm)[0]) ** 0.5 for step in steps]
        evidence = {
            "passes": float(len(steps)),
            "last_step_mm": shifts_mm[-1],
            "last_step_deg": steps[-1].rotation_deg,
        }
        warnings = card_notes(card, max(shifts_mm), max(step.rotation_deg for step in steps))
        return Registration(
            ct_from_spect,
            centre_mm,
            self.kind,
            "moved",
            evidence,
            seconds=time.perf_counter() - start,
            notes=_notes(card, ablated),
            warnings=(*warnings, *((ABLATED,) if ablated else ())),
            weights_sha256=card.weights_sha256,
        )

    def _around_heart(self) -> NearHeart:
        """The registrar for networks whose input is a crop around the heart."""
        registrar = NearHeart(
            weights=str(self.weights),
            ablated=self.ablated,
            largest_shift_mm=self.largest_shift_mm,
            largest_angle_deg=self.largest_angle_deg,
        )
        return registrar if self.passes is None else replace(registrar, passes=self.passes)

    def _predict(
        self, networks: Networks, card: Card, fixed: Volume, moving: Volume, ablated: bool
    ) -> tuple[RigidTransform, list[RigidTransform]]:
        """The pose, and the motion of each pass: ``ct_from_spect = ct_from_moved @ moved_from_spect``."""
        grid, centre_mm = card.grid.grid(fixed.grid), fixed.grid.centre_mm
        ct_from_spect, steps = RigidTransform.identity(), []
        for _ in range(self.passes or card.passes):
            spect, mu = network_inputs(fixed, moving, grid, ct_from_spect)
            if ablated:
                spect = np.ones_like(spect)
            six = networks.predicted([(spect, mu)])[0].mean(0)
            steps.append(RigidTransform.from_six(UNIT_MM * six[:3], six[3:], centre_mm))
            ct_from_spect = ct_from_spect @ steps[-1]
        return ct_from_spect, steps


def _notes(card: Card, ablated: bool) -> tuple[str, ...]:
    heart = card.validation.get("heart_mm")
    figure = "" if heart is None else f"; {heart:.1f} mm mean error at the heart on validation patients"
    return (
        f"a {card.kind} network, weights {card.weights_sha256[:12]}, trained with mureg {card.version or 'unknown'}"
        f"{figure}{'; its SPECT input was ablated' if ablated else ''}{', in training too' if card.ablated else ''}",
    )
