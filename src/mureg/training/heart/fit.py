"""Training of the networks at the heart, stage after stage, and the file that holds them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from mureg.cohort.folds import load_folds
from mureg.errors import UsageError
from mureg.registration.card import Card, read_card, refuse_around
from mureg.registration.networks import initialised
from mureg.registration.networks.together import Together
from mureg.registration.weights import weights_path
from mureg.training.examples import Examples
from mureg.training.folder import BEST, LAST
from mureg.training.heart.crops import crop_files, divide_by_patient, patient_of, read_crops
from mureg.training.heart.limit import TimeLimit
from mureg.training.heart.recipe import NetworkRecipe, Recipe
from mureg.training.loop import train
from mureg.training.motion_size import joined
from mureg.training.parallel import Team
from mureg.training.progress import Report
from mureg.training.settings import TrainingSettings
from mureg.training.weights import read_network, save_network

Sets = tuple[Examples, Examples]


def stage_folder(folder: Path, network: NetworkRecipe, number: int) -> Path:
    """The training run of a stage, counted from 0; `folder` holds all networks."""
    return folder / network.name / f"stage-{number + 1}"


def train_networks(recipe: Recipe, crops: Path, folder: Path, team: Team, limit: TimeLimit, report: Report) -> bool:
    """Train every stage of every network that is not finished.

    Args:
        recipe: says which.
        crops: folder of the crop sets, all of them complete.
        folder: of the networks.
        team: device.
        limit: no epoch begins that would exceed it; one is always trained.
        report: receives the progress.

    Returns:
        Whether all are finished.

    Raises:
        UsageError: a crop set of fewer than two patients; a folder that holds another run.
        UnreadableInputError: damaged crops or weights.
    """
    sets: dict[str, Sets] = {}
    for network, number in recipe.stages():
        stage, place = network.stages[number], stage_folder(folder, network, number)
        weights, begin_from = _start(folder, network, number)
        settings = recipe.settings(network, stage, begin_from)
        if _is_finished(place, settings):
            continue
        if limit.over:
            return False
        if weights is not None:
            _require_same_layers(weights, settings, network)
        if stage.crops not in sets:
            sets = {stage.crops: _sets(crops / stage.crops, recipe, settings.grid.spacing_mm)}
        report.say(f"network {network.name}, stage {number + 1} of {len(network.stages)}")
        outcome = train(
            settings,
            *sets[stage.crops],
            place,
            team=team,
            weights=weights,
            minutes=limit.remaining_minutes,
            report=report,
        )
        limit.note_work()
        if not outcome.finished:
            return False
    return True


def joined_network(recipe: Recipe, folder: Path) -> tuple[nn.Module, Card]:
    """All networks of a recipe, with a card that states no covariance.

    Raises:
        UnreadableInputError: a network is missing or damaged.
    """
    last = [stage_folder(folder, network, len(network.stages) - 1) / BEST for network in recipe.networks]
    networks, cards = zip(*map(read_network, last), strict=True)
    trained_on = {**cards[0].trained_on, "recipe_sha256": recipe.sha256}
    card = replace(cards[0], around="heart", gains=recipe.calibration.gains, trained_on=trained_on)
    if len(networks) == 1:
        return networks[0], card
    validation = {f"heart_mm_{number}": card.validation["heart_mm"] for number, card in enumerate(cards, 1)}
    trained_on = {"networks": [card.trained_on for card in cards], "recipe_sha256": recipe.sha256}
    tables = tuple(card.network for card in cards[1:])
    motion = joined([card.motion for card in cards])
    card = replace(card, others=tables, motion=motion, trained_on=trained_on, validation=validation)
    return Together(networks), card


def save_networks(recipe: Recipe, networks: Path, weights: Path) -> None:
    """Write `joined_network` and its card."""
    module, card = joined_network(recipe, networks)
    save_network(weights, module, card)


def _start(folder: Path, network: NetworkRecipe, number: int) -> tuple[Mapping[str, Tensor] | None, str]:
    """The weights from which a stage begins, and their SHA-256; None and "" for random ones."""
    if number == 0:
        return _weights_of(network) if network.begins_from else (None, "")
    module, card = read_network(stage_folder(folder, network, number - 1) / BEST)
    return module.state_dict(), card.weights_sha256


def _weights_of(network: NetworkRecipe) -> tuple[Mapping[str, Tensor], str]:
    """Weights of one of the networks of a file, and a hash that names both.

    Raises:
        UsageError: there is no such network, or its settings are not those of the recipe.
    """
    path = weights_path(network.begins_from)
    module, card = read_network(path)
    refuse_around(card, "heart", path.name)
    parts = list(module.members) if isinstance(module, Together) else [module]
    if network.begins_with > len(parts):
        raise UsageError(
            f"network {network.begins_with} of {path.name}", f"1 to {len(parts)}", "correct begins_with in the recipe"
        )
    return parts[network.begins_with - 1].state_dict(), f"{card.weights_sha256}/{network.begins_with}"


def _require_same_layers(weights: Mapping[str, Tensor], settings: TrainingSettings, network: NetworkRecipe) -> None:
    shapes = {name: value.shape for name, value in initialised(settings.network, settings.seed).state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise UsageError(
            f"network {network.name} with other layers than the weights that it begins from",
            "the same settings of the network",
            "correct network or begins_from in the recipe",
        )


def _is_finished(place: Path, settings: TrainingSettings) -> bool:
    """Whether the run in a folder is this stage and went to its end.

    Raises:
        UsageError: it is another run.
        UnreadableInputError: its weights are damaged.
    """
    if not (place / LAST).exists():
        return False
    card = read_card(place / LAST)
    if card.trained_on.get("settings_sha256") != settings.sha256:
        raise UsageError(
            f"{place.parent.name}/{place.name} holds a run with other settings, or one begun from other weights",
            "the run that was begun here",
            "choose another output",
        )
    return int(card.trained_on.get("samples", 0)) >= settings.samples


def _sets(folder: Path, recipe: Recipe, spacing_mm: float) -> Sets:
    files = crop_files(folder)
    if recipe.left_out_fold is not None:
        left_out = load_folds()[recipe.left_out_fold]
        files = [path for path in files if not left_out.holds(patient_of(path))]
    training, validation = divide_by_patient(files, recipe.validation_every)
    return read_crops(training, spacing_mm), read_crops(validation, spacing_mm)
