"""``mureg weights``: the networks of the package, and files of networks, with what their cards say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.cli.common import parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.registration.card import AROUND, Card
from mureg.registration.onnx_networks import load_network
from mureg.registration.weights import NEAR_HEART, shipped_names, weights_path

_NOT_STATED = "not stated"


@dataclass(frozen=True)
class Weights:
    """List networks with their card: input, training, size of motion, licence, error, hash. Research use only.

    Attributes:
        files: names of networks of the package or .onnx files (default: all networks of the package).

    Example:
        mureg weights near-heart runs/first/best.onnx
    """

    files: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAME|FILE")] = ()
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)


OPTIONS = Weights


def main(arguments: Sequence[str]) -> int:
    """Read and check the weights, print their cards. Weights that no registrar would take are refused."""
    options = parse("weights", arguments, Weights)
    cards = {name: load_network(weights_path(name))[1] for name in options.files or shipped_names()}
    answer = {"weights": [_answer(name, card) for name, card in cards.items()], "use": RESEARCH_USE_ONLY}
    lines = [line for name, card in cards.items() for line in (*_lines(name, card), "")]
    options.messages.emit(answer, [*lines, RESEARCH_USE_ONLY])
    return 0


def _answer(name: str, card: Card) -> dict[str, Any]:
    size = card.motion
    return {
        "name": name,
        "network": card.kind,
        "networks": 1 + len(card.others),
        "parameters": card.parameters,
        "input": card.around,
        "grid": {"shape": list(card.grid.shape), "spacing_mm": card.grid.spacing_mm},
        "ablated": card.ablated,
        "passes": card.passes,
        "trained_on": card.trained_on,
        "largest_motion": None if size is None else {"mm": size.largest_shift_mm, "deg": size.largest_angle_deg},
        "validation": card.validation,
        "calibrated": sorted(name for name in card.calibrated_for if name in ("default", "quick")),
        "licence": card.licence or None,
        "version": card.version,
        "weights_sha256": card.weights_sha256,
        "card_sha256": card.card_sha256 or None,
    }


def _lines(name: str, card: Card) -> Iterator[str]:
    networks = f"{1 + len(card.others)} {card.kind} networks" if card.others else f"a {card.kind} network"
    ablated = ", its SPECT input ablated" if card.ablated else ""
    yield f"{name}: {networks}, {card.parameters:,} parameters{ablated}"
    shape = " x ".join(map(str, card.grid.shape))
    yield f"  input       {AROUND[card.around]}, {shape} voxels of {card.grid.spacing_mm:g} mm"
    yield f"  trained on  {_training(card)}; mureg {card.version or 'of unknown version'}"
    if left_out := card.trained_on.get("left_out"):
        yield f"  left out    {', '.join(map(str, left_out))}"
    size = card.motion
    yield "  motion      " + (
        _NOT_STATED
        if size is None
        else f"median {size.shift_mm:.0f} mm and {size.angle_deg:.0f} degrees, largest {size.largest_shift_mm:.0f} mm "
        f"and {size.largest_angle_deg:.0f} degrees"
    )
    yield f"  error       {_error(card.validation)}"
    if card.around == "heart":
        modes = " and ".join(mode for mode in ("default", "quick") if mode in card.calibrated_for)
        yield f"  interval    {f'calibrated for {modes} mode' if modes else 'not calibrated'}"
    yield f"  licence     {card.licence or _NOT_STATED}"
    yield f"  hash        {card.weights_sha256}"
    if not card.card_sha256:
        yield "  checksum    none on the card: a change of the card cannot be noticed"
    yield f"  use         mureg register --weights {name}" + (
        " (part of the default registrar)" if name == NEAR_HEART else ""
    )


def _training(card: Card) -> str:
    """Number of cases and patients, of one training or several."""
    trained_on, what = card.trained_on, "crops" if card.around == "heart" else "cases"
    parts = trained_on.get("networks") or [trained_on]
    sets = dict.fromkeys((part.get("cases", 0), part.get("patients", 0)) for part in parts)
    words = [f"{cases} {what} of {patients} patients" for cases, patients in sets if cases]
    begun = " after training on other patients" if all(part.get("begin_from") for part in parts) else ""
    return (" and ".join(words) or _NOT_STATED) + begun


def _error(validation: Mapping[str, float]) -> str:
    """Mean error at the heart on patients that were held out, of each network."""
    errors = [value for name, value in validation.items() if name == "heart_mm" or name.startswith("heart_mm_")]
    if not errors:
        return _NOT_STATED
    figures = ", ".join(f"{error:.1f}" for error in errors)
    return f"{figures} mm at the heart on patients that were held out from training"
