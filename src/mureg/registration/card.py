"""What is known about the weights of a network, and the files that hold both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import field, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from mureg.errors import UnreadableInputError, UsageError
from mureg.files.former_names import with_current_names
from mureg.registration.card_parts import Covariance, Length, MotionSize, Share
from mureg.registration.inputs import InputGrid
from mureg.registration.weight_values import refuse_unusable_values

Table = dict[str, Any]

UNIT_MM = 6.8
"""Unit of the three translations that a network gives, in mm: the paper's voxel, whatever the voxel of the input."""
SUFFIX = ".onnx"

_MOST_BYTES, _MOST_CARD_BYTES = 2**29, 2**20
"""A file of weights is at most 512 MiB (the largest network of the paper takes 23), a card 1 MiB (5 kB are usual)."""
_MOST_NETWORKS = 16
"""So that a damaged card does not make the program read more; three are shipped. A round value."""


def _not_too_many(tables: tuple[Table, ...]) -> tuple[Table, ...]:
    if len(tables) >= _MOST_NETWORKS:
        raise ValueError(f"{1 + len(tables)} networks, more than {_MOST_NETWORKS}")
    return tables


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Card:
    """What a file of weights is: enough to use it, and to know where it comes from.

    Attributes:
        network: settings of the network, with its `kind`.
        others: settings of further networks of the same kind, trained separately, each in a file of its own
            (`weights_files`); all are averaged.
        grid: lattice of its input.
        around: centre of its input: the centre of the SPECT's field, or the heart.
        ablated: the SPECT input was ablated (ones) in training, and always is in use.
        passes: number of predictions of a network for the whole field, from the second one on of the residual.
        loss: settings of the training loss, with its `kind`.
        licence: of the weights; "" if not stated.
        motion: size of the motions in training; None if not measured.
        trained_on: data and their fingerprint, cases, epochs, samples seen, seed, hash of the settings.
        validation: figures on validation patients, by name, mm.
        gains: gain (0 to 1) applied to each predicted parameter [tx, ty, tz, rx, ry, rz] at the heart.
        errors: 6x6 covariance of the residual errors of the rigid parameters (mm, degrees, about the heart) on patients
            used neither for training nor for the choice of weights; empty if not measured.
        errors_grow_mm: dispersion (mm) at which that covariance is four times as large; 0 for a constant covariance.
        quick_errors, quick_errors_grow_mm: the same two for quick mode.
        calibrated_for: fingerprints of the settings that the covariances were measured with, by name: `default` and
            `quick` of the registrar without its weights, `attenuation`, `reconstructor`.
        parameters: numbers that training changes, of all networks; 0 if not counted.
        version: of mureg.
        weights_sha256: of the bytes of the weights that this card belongs to, of all networks one after another.
        card_sha256: of all other entries of the card; "" on cards from before there was one.
    """

    network: Table
    grid: InputGrid
    others: Annotated[tuple[Table, ...], AfterValidator(_not_too_many)] = ()
    around: Literal["field", "heart"] = "field"
    ablated: bool = False
    passes: Annotated[int, Field(ge=1, le=20)] = 1
    loss: Table = field(default_factory=dict)
    licence: str = ""
    motion: MotionSize | None = None
    trained_on: Table = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    gains: tuple[Share, Share, Share, Share, Share, Share] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    errors: Covariance = ()
    errors_grow_mm: Length = 0.0
    quick_errors: Covariance = ()
    quick_errors_grow_mm: Length = 0.0
    calibrated_for: dict[str, str] = field(default_factory=dict)
    parameters: int = 0
    version: str = ""
    weights_sha256: str = ""
    card_sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_former_version(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        table = with_current_names(table, "card")
        loss = table.get("loss")
        return {**table, "loss": with_current_names(loss, "loss")} if isinstance(loss, dict) else table

    @model_validator(mode="after")
    def _of_one_grid(self) -> Card:
        for network in (self.network, *self.others):
            shape = network.get("shape", self.grid.shape)
            if tuple(shape) != self.grid.shape:
                raise ValueError(f"a network of {_in_words(shape)} voxels on a grid of {_in_words(self.grid.shape)}")
        return self

    @property
    def kind(self) -> str:
        """Kind of the network, as in the catalogue; "" if the card names none."""
        return str(self.network.get("kind", ""))

    def covariance(self, dispersion_mm: float, quick: bool = False) -> npt.NDArray[np.float64] | None:
        """6x6 covariance (mm, degrees) about the heart for this dispersion; None if uncalibrated."""
        errors, grow_mm = (
            (self.quick_errors, self.quick_errors_grow_mm) if quick else (self.errors, self.errors_grow_mm)
        )
        if not errors:
            return None
        factor = growth(dispersion_mm, grow_mm) if grow_mm else 1.0
        return factor * np.asarray(errors, dtype=np.float64)


_CARD = TypeAdapter(Card)


def _in_words(shape: Any) -> str:
    return " x ".join(map(str, shape))


def growth(dispersion_mm: float, grow_mm: float) -> float:
    """Factor of the covariance for a dispersion: 1 at 0, 4 at `grow_mm`."""
    return (1.0 + (dispersion_mm / grow_mm) ** 2) ** 2


def shipped(name: str) -> Path:
    """Path of weights that come with the package."""
    return Path(str(files("mureg") / "data" / "weights" / f"{name}{SUFFIX}"))


AROUND = {"field": "takes the whole field as input", "heart": "takes a crop around the heart as input"}
"""What the entry `around` of a card means, in words."""


def refuse_around(card: Card, expected: Literal["field", "heart"], name: str) -> None:
    """Refuse a network with another kind of input. Raises `UsageError`."""
    if card.around != expected:
        raise UsageError(
            f"{name} {AROUND[card.around]}",
            f"one that {AROUND[expected]}",
            "choose other weights, or the registrar network, which takes both",
        )


def card_path(weights: Path) -> Path:
    """Where the card of a file of weights lies."""
    return weights.with_suffix(".json")


def weights_files(weights: Path, networks: int) -> tuple[Path, ...]:
    """Where the networks of one set of weights lie: ``NAME.onnx``, ``NAME.2.onnx``, ``NAME.3.onnx`` ..."""
    paths = (weights.with_name(f"{weights.stem}.{number}{weights.suffix}") for number in range(2, networks + 1))
    return (weights, *paths)


def with_hash(card: Card, contents: tuple[bytes, ...]) -> tuple[Card, bytes]:
    """A card that names the hash of its weights and its own, and the bytes of its file."""
    card = replace(card, weights_sha256=_sha256(contents), card_sha256="")
    table = json.loads(_CARD.dump_json(card))
    as_bytes = _CARD.dump_json(replace(card, card_sha256=_card_sha256(table)), indent=2)
    return _CARD.validate_json(as_bytes), as_bytes + b"\n"


def _card_sha256(table: Table) -> str:
    """Hash of all entries of a card but its own hash; the order of the entries and the layout do not count."""
    others = {name: value for name, value in table.items() if name != "card_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_card(weights: Path) -> Card:
    """The card of a file of weights.

    Raises:
        UnreadableInputError: the card is missing, damaged, or was changed after it was written.
    """
    path = card_path(weights)
    content = _bytes(path, "the card that mureg train wrote beside the weights", _MOST_CARD_BYTES)
    try:
        card = _CARD.validate_json(content)
    except ValidationError as problem:
        raise UnreadableInputError(
            f"{path.name} is no card of a network ({problem.errors()[0]['msg']})",
            "the card that mureg train wrote beside the weights",
            "copy both files again",
        ) from problem
    if card.card_sha256 and card.card_sha256 != _card_sha256(json.loads(content)):
        raise UnreadableInputError(
            f"{path.name} was changed after it was written: its entries do not have the checksum that it states",
            "the card that mureg train wrote beside the weights",
            "copy both files again",
        )
    return card


def read_weights(weights: Path, *, in_one_file: bool = False) -> tuple[tuple[bytes, ...], Card]:
    """The bytes of each file of weights and their card, checked to belong to each other.

    Args:
        weights: file of the first network.
        in_one_file: it holds all networks of the card, as in mureg 0.1.0.

    Raises:
        UnreadableInputError: weights or card missing, damaged, too large, or not of each other; weights that are not
            finite or all zero.
    """
    first = _bytes(weights, "a file of weights that mureg train wrote", _MOST_BYTES)
    card = read_card(weights)
    networks = 1 if in_one_file else 1 + len(card.others)
    other_paths = weights_files(weights, networks)[1:]
    contents = (
        first,
        *(_bytes(path, f"one file for each of {networks} networks", _MOST_BYTES) for path in other_paths),
    )
    if _sha256(contents) != card.weights_sha256:
        raise UnreadableInputError(
            f"{weights.name} is not the file that {card_path(weights).name} describes",
            "weights with the hash on their card",
            "copy the weights and their card again",
        )
    if not in_one_file:
        for path, content in zip(weights_files(weights, networks), contents, strict=True):
            refuse_unusable_values(content, path.name)
    return contents, card


def _sha256(contents: tuple[bytes, ...]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def _bytes(path: Path, expected: str, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as problem:
        raise UnreadableInputError(
            f"{path.name} cannot be read ({problem.strerror})", expected, "check the path"
        ) from problem
    if len(content) > most:
        raise UnreadableInputError(f"{path.name} has more than {most >> 20} MiB", expected, "check the path")
    return content
