"""Weights of networks on disk: written as ONNX and checked against PyTorch, read back into the networks of PyTorch."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from mureg.errors import RefusedError, UnreadableInputError, UsageError
from mureg.files.atomic import writing
from mureg.registration.card import Card, Table, card_path, read_weights, weights_files, with_hash
from mureg.registration.networks import NETWORK_CATALOGUE, NetworkSettings, initialised, n_parameters
from mureg.registration.networks.together import Together
from mureg.registration.onnx_networks import OnnxNetworks, network_of
from mureg.training.onnx_graph import graph_of, halved, state_in, with_weights

OLD = ".safetensors"
"""Of weights that mureg 0.1.0 wrote."""

_AGREEMENT = 1e-5
"""Largest difference of the runtime's answers from PyTorch's, relative to the larger of 1 and the largest answer.

As in docs/decisions, 20: a hundred times the rounding of single precision."""


def save_network(path: Path | str, module: nn.Module, card: Card) -> Card:
    """Write weights in half precision and their card, each whole or not at all.

    Args:
        path: ends in .onnx; of several networks the others lie beside it, see `weights_files`.
        module: as made by the settings on the card (several: `Together`); it is left as it is.
        card: its `weights_sha256` and `parameters` are filled in.

    Returns:
        The card as written.

    Raises:
        UsageError: a network that cannot be exported, a folder that cannot be written.
        RefusedError: onnxruntime answers differently from PyTorch with the same weights in half precision.
    """
    path, members = Path(path), _members(module)
    contents = tuple(
        with_weights(_graph(member, table, card.grid.shape), member.state_dict())
        for member, table in zip(members, (card.network, *card.others), strict=True)
    )
    _require_agreement(members, contents, card)
    final_card, card_content = with_hash(replace(card, parameters=sum(map(n_parameters, members))), contents)
    for file, content in zip(weights_files(path, len(contents)), contents, strict=True):
        _write(file, content)
    _write(card_path(path), card_content)
    return final_card


def read_network(weights: Path | str) -> tuple[nn.Module, Card]:
    """The network of PyTorch that a file of weights holds, in evaluation mode; several as `Together`.

    Args:
        weights: .onnx, or .safetensors that mureg 0.1.0 wrote, with its card beside it.

    Raises:
        UnreadableInputError: weights or card missing, damaged, or not of each other.
    """
    weights = Path(weights)
    contents, card = read_weights(weights, in_one_file=weights.suffix == OLD)
    members = [initialised(settings, seed=0) for settings in settings_on(card)]
    try:
        if weights.suffix == OLD:
            (Together(members) if card.others else members[0]).load_state_dict(load(contents[0]))
        else:
            for member, content in zip(members, contents, strict=True):
                member.load_state_dict(state_in(content, weights.name))
    except (SafetensorError, RuntimeError) as problem:
        raise UnreadableInputError(
            f"{weights.name} does not fit a {card.kind} network ({str(problem).strip().splitlines()[0]})",
            "weights of that network",
            "use the mureg that trained it",
        ) from problem
    return (Together(members) if card.others else members[0]).eval(), card


def settings_on(card: Card) -> tuple[NetworkSettings, ...]:
    """The settings of each network. Raises `UnreadableInputError` for one that this mureg does not have."""
    return tuple(_settings(table) for table in (card.network, *card.others))


def require_exportable(settings: NetworkSettings, table: Table, grid_shape: tuple[int, int, int]) -> None:
    """Refuse a network that cannot be written, before it is trained. Raises `UsageError`."""
    _graph(initialised(settings, seed=0), table, grid_shape)


def _settings(network: Table) -> NetworkSettings:
    try:
        settings: NetworkSettings = NETWORK_CATALOGUE.make(network, imports=False)
    except UsageError as problem:
        raise UnreadableInputError(
            f"weights of a network that cannot be made: {problem.found}",
            problem.expected,
            "use the mureg that trained it, with the package of its network installed or imported",
        ) from problem
    return settings


def _members(module: nn.Module) -> list[nn.Module]:
    return list(module.members) if isinstance(module, Together) else [module]


_GRAPHS: dict[tuple[object, ...], ModelProto] = {}
"""Exporting takes seconds and does not depend on the weights: once for each network in a process."""


def _graph(module: nn.Module, table: Table, grid_shape: tuple[int, int, int]) -> ModelProto:
    tensors = tuple((name, tuple(value.shape)) for name, value in module.state_dict().items())
    key = json.dumps(table, sort_keys=True), grid_shape, tensors
    if key not in _GRAPHS:
        _GRAPHS[key] = graph_of(module, grid_shape, str(table.get("kind", "")))
    return _GRAPHS[key]


def _require_agreement(members: Sequence[nn.Module], contents: Sequence[bytes], card: Card) -> None:
    """Refuse files that do not answer as PyTorch does with the same weights in half precision."""
    chance, shape = torch.Generator().manual_seed(1), card.grid.shape
    # images as networks see them: of mean 1, and up to soft tissue in 1/cm
    spect, mu = (factor * torch.rand(shape, generator=chance) for factor in (2.0, 0.15))
    networks = OnnxNetworks(tuple(map(network_of, contents)), shape)
    answers = networks.predicted([(spect.numpy(), mu.numpy())])[0]
    for member, answer in zip(members, answers, strict=True):
        reference = copy.deepcopy(member).cpu().float().eval()
        reference.load_state_dict(halved(member.state_dict()))
        with torch.inference_mode():
            expected = reference(spect[None, None], mu[None, None])[0].double().numpy()
        apart = float(np.abs(answer - expected).max())
        if not apart <= _AGREEMENT * max(1.0, float(np.abs(expected).max())):
            raise RefusedError(
                f"onnxruntime's answer of a {card.kind} network is {apart:.2g} off PyTorch's",
                f"at most {_AGREEMENT:g} times the answer",
                "use operations that do the same in both, and weights that are finite in half precision",
            )


def _write(path: Path, content: bytes) -> None:
    with writing(path) as scratch:
        scratch.write_bytes(content)
