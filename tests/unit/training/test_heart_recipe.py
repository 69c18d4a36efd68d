"""The recipe: what the shipped networks were made by, and which recipes are refused."""

from __future__ import annotations

import json
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest

from mureg.errors import UsageError
from mureg.registration.card import card_path
from mureg.registration.weights import SHIPPED, weights_path
from mureg.training.heart.recipe import as_toml, load_recipe, recipe_from
from support.tiny_recipe import STAGE, TABLE, tiny_recipe

CARD = json.loads(card_path(weights_path(SHIPPED)).read_text("utf-8"))
LAST_RECIPE = Path(__file__).parents[3] / "benchmarks" / "evidence" / "recipes" / "population.toml"
"""Of the last training of the shipped networks."""


def test_the_shipped_recipe_has_the_settings_that_the_shipped_card_was_written_with() -> None:
    """The card keeps a hash of every setting of the last stage of each network."""
    recipe = load_recipe(str(LAST_RECIPE))
    assert len(recipe.networks) == len(CARD["trained_on"]["networks"]) == 3
    for network, trained_on in zip(recipe.networks, CARD["trained_on"]["networks"], strict=True):
        stage = network.stages[-1]
        assert (stage.seed, stage.samples) == (trained_on["seed"], trained_on["samples"])
        assert recipe.settings(network, stage, trained_on["begin_from"]).sha256 == trained_on["settings_sha256"]
    growths = [recipe.settings(one, one.stages[0]).network.dense.growth for one in recipe.networks]
    assert growths == [one["dense"]["growth"] for one in (CARD["network"], *CARD["others"])]
    assert list(recipe.calibration.gains) == CARD["gains"]
    assert recipe.calibration.dispersion_mm == CARD["errors_grow_mm"]
    assert recipe.calibration.quick_dispersion_mm == CARD["quick_errors_grow_mm"]


def test_the_shipped_recipe_has_the_cases_that_the_shipped_card_counts() -> None:
    """Each case is an emission with three CTs; every fourteenth patient, from the first, validates."""
    recipe = load_recipe(str(LAST_RECIPE))
    crops = recipe.crop_set(recipe.networks[0].stages[-1].crops)
    assert sum(crops.populations.values()) == 480
    for trained_on in CARD["trained_on"]["networks"]:
        patients = trained_on["patients"]
        everyone = patients + len(range(0, patients + patients // recipe.validation_every, recipe.validation_every))
        assert everyone - len(range(0, everyone, recipe.validation_every)) == patients
        assert trained_on["cases"] % (3 * crops.per_case) == 0
        assert trained_on["cases"] <= 480 * 3 * crops.per_case


def test_the_former_recipe_is_what_the_last_one_begins_from() -> None:
    last, former = load_recipe(str(LAST_RECIPE)), load_recipe()
    for number, (network, before) in enumerate(zip(last.networks, former.networks, strict=True), 1):
        assert (network.name, network.begins_with) == (before.name, number)


def test_a_recipe_comes_back_from_its_toml() -> None:
    for recipe in (load_recipe(), tiny_recipe()):
        assert recipe_from(tomllib.loads(as_toml(recipe))) == recipe
        assert recipe_from(tomllib.loads(as_toml(recipe))).sha256 == recipe.sha256


def test_a_recipe_from_a_file_and_none(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(tiny_recipe()), "utf-8")
    assert load_recipe(str(path)) == tiny_recipe()
    with pytest.raises(UsageError, match=r"nothing\.toml"):
        load_recipe(str(tmp_path / "nothing.toml"))


def changed(path: str, value: object) -> dict:
    table = deepcopy(TABLE)
    level: object = table
    *names, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for name in names:
        level = level[name]  # type: ignore[index]
    level[last] = value  # type: ignore[index]
    return table


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("crops.1.name", "near", "two entries for one crop set"),
        ("networks.0.stages.0.crops", "none", "no crop set named 'none'"),
        ("calibration.groups.0.first", 2, "both crops 'near' and the calibration"),
        ("calibration.groups.0.first", 0, "both crops 'near' and the calibration"),
        ("networks.0.name", "../other", "networks.0.name"),
        ("networks.1.changes", {"grid": {"shape": [12, 12, 12], "spacing_mm": 5.0}, **{"network": {"kind": "tiny"}}},
         "differ in kind, grid or input"),
        ("networks.1.changes", {**TABLE["networks"][1]["changes"], "input": {"ablated": True}}, "differ in kind"),
        ("networks.1.stages", [], "stages"),
        ("crops.0.populations", {"tiny": 0}, "populations"),
        ("crops.0.starts", {"kind": "nowhere"}, "starts"),
        ("training", "none-such", "none-such"),
        ("validation_every", 1, "validation_every"),
    ],
)  # fmt: skip
def test_recipes_that_are_refused(path, value, words) -> None:
    with pytest.raises(UsageError, match=words):
        recipe_from(changed(path, value))


def test_every_other_case_may_calibrate() -> None:
    groups = [{"population": "tiny", "first": 0, "n": 3, "step": 3}]
    recipe = recipe_from(changed("calibration.groups", groups))
    assert list(recipe.calibration.groups[0].numbers) == [0, 3, 6]
    with pytest.raises(UsageError, match="both crops"):
        recipe_from(changed("calibration.groups", [{**groups[0], "step": 2}]))


def test_calibration_cases_right_beside_those_of_the_crops_are_accepted() -> None:
    """Crops are of cases 1 and 2."""
    assert recipe_from(changed("calibration.groups.0.first", 3)).calibration.groups[0].first == 3


def test_a_stage_is_the_training_settings_with_the_changes_of_its_network() -> None:
    recipe = tiny_recipe()
    settings = recipe.settings(recipe.networks[0], recipe.networks[0].stages[1], "ab")
    assert settings.network.norm
    assert settings.optimiser.learning_rate == STAGE["learning_rate"]
    assert settings.optimiser.betas == (0.9, 0.99)  # of the settings named near-heart
    assert (settings.samples, settings.epochs, settings.seed, settings.begin_from) == (12, 0, 4, "ab")
