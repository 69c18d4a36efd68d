"""Everything a run needs to go on as if it had not been stopped, in one file that appears whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from mureg.errors import UnreadableInputError
from mureg.files.atomic import writing

STATE = "state.safetensors"

_WEIGHTS, _MOMENTS, _PROGRESS = "weights/", "optimiser/", "progress"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: how many are done.
        samples: cases seen, repetitions counted.
        seconds: spent in all sittings.
        best_epoch: with the lowest error on the validation set, 0 before the first.
        best_mm: that error.
    """

    epoch: int = 0
    samples: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_mm: float = float("inf")


def save_state(folder: Path, module: nn.Module, optimiser: Optimizer, progress: Progress) -> None:
    """Store weights, moments and progress. No pickle: tensors and one line of JSON."""
    names = _names(module, optimiser)
    tensors = {_WEIGHTS + name: value for name, value in module.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"{_MOMENTS}{names[index]}/{what}": value for what, value in moments.items()}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with writing(folder / STATE) as scratch:
        save_file(plain, scratch, {_PROGRESS: json.dumps(vars(progress))})


def load_state(folder: Path, module: nn.Module, optimiser: Optimizer) -> Progress:
    """Put weights and moments back where they were.

    Raises:
        UnreadableInputError: a damaged file, or one of another network.
    """
    try:
        with safe_open(folder / STATE, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            progress = Progress(**json.loads(file.metadata()[_PROGRESS]))
        weights = {name.removeprefix(_WEIGHTS): t for name, t in tensors.items() if name.startswith(_WEIGHTS)}
        module.load_state_dict(weights)
        _restore(optimiser, _names(module, optimiser), tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as problem:
        raise UnreadableInputError(
            f"{STATE} of {folder.name} cannot be used ({' '.join(str(problem).split())[:200]})",
            "the file as mureg train wrote it",
            "train in another folder",
        ) from problem
    return progress


def _restore(optimiser: Optimizer, names: list[str], tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for index, name in enumerate(names):
        prefix = f"{_MOMENTS}{name}/"
        moments = {full.removeprefix(prefix): t for full, t in tensors.items() if full.startswith(prefix)}
        if moments:
            state[index] = moments
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _names(module: nn.Module, optimiser: Optimizer) -> list[str]:
    """Names of the parameters in the optimiser's order."""
    name_of = {id(parameter): name for name, parameter in module.named_parameters()}
    return [name_of[id(parameter)] for group in optimiser.param_groups for parameter in group["params"]]
