"""Registration by a trained network, and the file that holds one: weights in safetensors, their card in JSON beside."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mureg.errors import UnreadableInputError, UsageError
from mureg.files.validation import mistake
from mureg.geometry import RigidTransform, Volume
from mureg.notes import Note, Rank
from mureg.registration.base import Registration, refuse_result, refuse_unusable
from mureg.registration.inputs import InputGrid, network_inputs
from mureg.registration.networks import NETWORK_CATALOGUE, UNIT_MM, NetworkSettings, initialised
from mureg.study import PreparedStudy

Table = dict[str, Any]
ABLATED = Note("the SPECT input of the network was ablated: the pose does not depend on the SPECT", Rank.CHANGES_ANSWER)
_READY = 16
"""Networks that are kept ready."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Card:
    """What a file of weights is: enough to use it, and to know where it comes from.

    Attributes:
        network: settings of the network, with its `kind`.
        others: settings of further networks of the same kind in the file, trained separately; all are averaged.
        grid: lattice of its input.
        around: centre of its input: the centre of the SPECT's field, or the heart.
        blanked: the SPECT input was ablated (ones) in training, and always is in use.
        loss: settings of the training loss, with its `kind`.
        trained_on: data and their fingerprint, cases, epochs, samples seen, seed, hash of the settings.
        validation: figures on validation patients, by name, mm.
        believed: gain (0 to 1) applied to each predicted parameter [tx, ty, tz, rx, ry, rz] at the heart.
        errors: 6x6 covariance of the residual errors of the rigid parameters (mm, degrees, about the heart) on patients
            used neither for training nor for the choice of weights; empty if not measured.
        errors_grow_mm: dispersion (mm) at which that covariance is four times as large; 0 for a constant covariance.
        errors_hurried, errors_hurried_grow_mm: the same two for quick mode.
        calibrated_for: fingerprints of the settings that the covariances were measured with, by name: `default` and
            `quick` of the registrar without its weights, `attenuation`, `reconstructor`.
        version: of mureg.
        weights_sha256: of the file of weights that this card belongs to.
    """

    network: Table
    grid: InputGrid
    others: tuple[Table, ...] = ()
    around: Literal["field", "heart"] = "field"
    blanked: bool = False
    loss: Table = field(default_factory=dict)
    trained_on: Table = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    believed: tuple[float, float, float, float, float, float] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    errors: tuple[tuple[float, ...], ...] = ()
    errors_grow_mm: float = 0.0
    errors_hurried: tuple[tuple[float, ...], ...] = ()
    errors_hurried_grow_mm: float = 0.0
    calibrated_for: dict[str, str] = field(default_factory=dict)
    version: str = ""
    weights_sha256: str = ""

    @property
    def kind(self) -> str:
        """Kind of the network, as in the catalogue; "" if the card names none."""
        return str(self.network.get("kind", ""))

    def covariance(self, dispersion_mm: float, hurried: bool = False) -> npt.NDArray[np.float64] | None:
        """6x6 covariance (mm, degrees) about the heart for this dispersion; None if uncalibrated."""
        errors, grow_mm = (
            (self.errors_hurried, self.errors_hurried_grow_mm) if hurried else (self.errors, self.errors_grow_mm)
        )
        if not errors:
            return None
        factor = growth(dispersion_mm, grow_mm) if grow_mm else 1.0
        return factor * np.asarray(errors, dtype=np.float64)

    def settings(self) -> tuple[NetworkSettings, ...]:
        """The settings of each network. Raises `UnreadableInputError` for one that this mureg does not have."""
        return tuple(map(self._settings, (self.network, *self.others)))

    def _settings(self, network: Table) -> NetworkSettings:
        try:
            settings: NetworkSettings = NETWORK_CATALOGUE.made(network, imports=False)
        except UsageError as problem:
            raise UnreadableInputError(
                f"weights of a network that cannot be made: {problem.found}",
                problem.expected,
                "use the mureg that trained it, with the package of its network installed or imported",
            ) from problem
        except ValidationError as problem:
            reason, _ = mistake(problem, NETWORK_CATALOGUE.named(self.kind, imports=False))
            raise UnreadableInputError(
                f"settings of the network {self.kind} that do not fit ({reason})",
                "the settings it was trained with",
                "use the mureg that trained it",
            ) from problem
        return settings


_CARD = TypeAdapter(Card)


def growth(dispersion_mm: float, grow_mm: float) -> float:
    """Factor of the covariance for a dispersion: 1 at 0, 4 at `grow_mm`."""
    return (1.0 + (dispersion_mm / grow_mm) ** 2) ** 2


class Together(nn.Module):
    """Networks that were trained separately: the mean of their predictions, and each prediction."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(
        self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]
    ) -> Float[Tensor, "batch 6"]:
        """Mean of the predictions of all networks."""
        return self.each(spect, mu).mean(0)

    def each(
        self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]
    ) -> Float[Tensor, "member batch 6"]:
        """Predictions of each network, along the first axis."""
        return torch.stack([member(spect, mu) for member in self.members])


def shipped(name: str) -> Path:
    """Path of weights that come with the package."""
    return Path(str(files("mureg") / "data" / "weights" / f"{name}.safetensors"))


def refuse_around(card: Card, expected: Literal["field", "heart"], name: str) -> None:
    """Refuse a network with another kind of input. Raises `UsageError`."""
    if card.around != expected:
        sees = {"field": "takes the whole field as input", "heart": "takes a crop around the heart as input"}
        raise UsageError(
            f"{name} {sees[card.around]}", f"one that {sees[expected]}", "choose other weights or another registrar"
        )


def card_path(weights: Path) -> Path:
    """Where the card of a file of weights lies."""
    return weights.with_suffix(".json")


def save_network(path: Path | str, module: nn.Module, card: Card) -> Card:
    """Write weights and card, each whole or not at all; a card that does not fit its weights is refused when read.

    Args:
        path: ends in .safetensors.
        module: as made by the settings on the card (several: `Together`); its parameters and buffers are stored in the
            precision that they have, and come back in single precision.
        card: its `weights_sha256` is filled in.

    Returns:
        The card as written.
    """
    path = Path(path)
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    content = save(tensors)
    content_of_card = _CARD.dump_json(replace(card, weights_sha256=hashlib.sha256(content).hexdigest()), indent=2)
    _write(path, content)
    _write(card_path(path), content_of_card + b"\n")
    return _CARD.validate_json(content_of_card)


def load_network(weights: Path | str) -> tuple[nn.Module, Card]:
    """Read a network that is ready for use: evaluation mode, in main memory.

    Raises:
        UnreadableInputError: weights or card missing, damaged, or not of each other.
    """
    weights = Path(weights)
    content = _bytes(weights, "a .safetensors file that mureg train wrote")
    content_of_card = _bytes(card_path(weights), "the card that mureg train wrote beside the weights")
    try:
        card = _CARD.validate_json(content_of_card)
    except ValidationError as problem:
        raise UnreadableInputError(
            f"{card_path(weights).name} is no card of a network ({problem.errors()[0]['msg']})",
            "the card that mureg train wrote beside the weights",
            "copy both files again",
        ) from problem
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise UnreadableInputError(
            f"{weights.name} is not the file that {card_path(weights).name} speaks of",
            "weights with the hash on their card",
            "copy both files again",
        )
    members = [initialised(settings, seed=0) for settings in card.settings()]
    module = Together(members) if card.others else members[0]
    try:
        module.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as problem:
        raise UnreadableInputError(
            f"{weights.name} does not fit a {card.kind} network ({str(problem).strip().splitlines()[0]})",
            "weights of that network",
            "use the mureg that trained it",
        ) from problem
    return module.eval(), card


def _as_path(weights: Path | str) -> Path:
    return Path(weights)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NetworkRegistrar:
    """Registration by a trained network, which predicts the rigid parameters of the pose from both images.

    Attributes:
        weights: a .safetensors file, its JSON card beside it, as `mureg train` writes them.
        passes: number of predictions; from the second one on of the residual, with the map at the pose so far.
        blanked: replace the SPECT input by ones (ablation). The prediction then comes from the map alone
            (leakage). Always on for weights trained that way.
        largest_shift_mm: refuse a result that shifts the map by more (mm).
        largest_angle_deg: refuse a result that rotates the map by more (degrees).
    """

    weights: Annotated[Path | str, AfterValidator(_as_path)]
    passes: Annotated[int, Field(ge=1, le=20)] = 1
    blanked: bool = False
    largest_shift_mm: Annotated[float, Field(gt=0)] = 120.0
    largest_angle_deg: Annotated[float, Field(gt=0)] = 45.0
    kind: Literal["learned"] = "learned"

    def register(self, study: PreparedStudy) -> Registration:
        """See `Registrar.register`; of the projections only the device is used. Float32, the same digits each time."""
        started = time.perf_counter()
        fixed, moving = study.uncorrected, study.body
        refuse_unusable(fixed, moving)
        device = (fixed.values if study.acquisition is None else study.acquisition.counts).device
        weights = Path(self.weights)
        module, card = _ready(weights, _stamp(weights), device)
        refuse_around(card, "field", weights.name)
        blanked = self.blanked or card.blanked
        ct_from_spect, steps = self._predict(module, card.grid, fixed, moving, blanked)
        centre_mm = fixed.grid.centre_mm
        refuse_result(ct_from_spect, fixed, moving, self.largest_shift_mm, self.largest_angle_deg)
        evidence = {
            "passes": float(self.passes),
            "last_step_mm": sum(mm**2 for mm in steps[-1].six(centre_mm)[0]) ** 0.5,
            "last_step_deg": steps[-1].rotation_deg,
        }
        return Registration(
            ct_from_spect,
            centre_mm,
            self.kind,
            "moved",
            evidence,
            seconds=time.perf_counter() - started,
            notes=_notes(card, blanked),
            warnings=(ABLATED,) if blanked else (),
            weights_sha256=card.weights_sha256,
        )

    def _predict(
        self, module: nn.Module, input_grid: InputGrid, fixed: Volume, moving: Volume, blanked: bool
    ) -> tuple[RigidTransform, list[RigidTransform]]:
        """The pose, and the motion of each pass: ``ct_from_spect = ct_from_moved @ moved_from_spect``."""
        grid, centre_mm = input_grid.grid(fixed.grid), fixed.grid.centre_mm
        device = next((p.device for p in module.parameters()), fixed.values.device)
        ct_from_spect, steps = RigidTransform.identity(), []
        for _ in range(self.passes):
            spect, mu = network_inputs(fixed, moving, grid, ct_from_spect)
            if blanked:
                spect = torch.ones_like(spect)
            with torch.inference_mode():
                six = module(spect.to(device)[None, None], mu.to(device)[None, None])[0].double().cpu().numpy()
            steps.append(RigidTransform.from_six(UNIT_MM * six[:3], six[3:], centre_mm))
            ct_from_spect = ct_from_spect @ steps[-1]
        return ct_from_spect, steps


@lru_cache(maxsize=_READY)
def _ready(weights: Path, _stamp_of_it: tuple[int, int], device: torch.device) -> tuple[nn.Module, Card]:
    """A network on its device, kept for the next case; read anew when its file has changed."""
    module, card = load_network(weights)
    return module.to(device), card


def _stamp(weights: Path) -> tuple[int, int]:
    try:
        status = weights.stat()
    except OSError:  # reading it will say what is wrong
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _notes(card: Card, blanked: bool) -> tuple[str, ...]:
    heart = card.validation.get("heart_mm")
    figure = "" if heart is None else f"; {heart:.1f} mm mean error at the heart on validation patients"
    return (
        f"a {card.kind} network, weights {card.weights_sha256[:12]}, trained with mureg {card.version or 'unknown'}"
        f"{figure}{'; its SPECT input was ablated' if blanked else ''}{', in training too' if card.blanked else ''}",
    )


def _bytes(path: Path, expected: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise UnreadableInputError(
            f"{path.name} cannot be read ({problem.strerror})", expected, "check the path"
        ) from problem


def _write(path: Path, content: bytes) -> None:
    """Written beside its place and renamed."""
    scratch = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        scratch.replace(path)
    except OSError as problem:
        with suppress(OSError):  # where the folder is a file there is nothing to clear away
            scratch.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path.name} ({problem.strerror})", "a writable folder", "choose another output"
        ) from problem
