"""Settings: what ships, what is read back, what is refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mureg.errors import UsageError
from mureg.registration.networks import NETWORKS
from mureg.simulate.misalignment import CLINICAL, PAPER
from mureg.training.heart.recipe import recipe_from
from mureg.training.settings import FINETUNE, SHIPPED, as_toml, load_settings, read_table, settings_from
from support.toy_pairs import toy_settings


def test_what_is_written_is_read_back(tmp_path) -> None:
    settings = toy_settings(
        motion={"kind": "redrawn", "range": "clinical"}, augmentation={"flip": True}, samples=7, epochs=0
    )
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(settings), "utf-8")
    assert load_settings(str(path)) == settings
    assert "epochs" not in tomllib.loads(as_toml(settings))


def test_ranges_of_motion_have_names_or_numbers() -> None:
    own = {"translation_mm": [1.0, 2.0, 3.0], "angles_deg": [4.0, 5.0, 6.0]}
    for said, meant in (("paper", PAPER), ("clinical", CLINICAL)):
        assert toy_settings(motion={"kind": "redrawn", "range": said}).motion.range == meant
    assert toy_settings(motion={"kind": "redrawn", "range": own}).motion.range.angles_deg == (4.0, 5.0, 6.0)


def test_where_the_data_lie_and_how_long_it_takes_do_not_make_another_run() -> None:
    settings = toy_settings()
    assert toy_settings(epochs=9, data={"cases": "elsewhere"}).sha256 == settings.sha256
    assert toy_settings(seed=2).sha256 != settings.sha256
    assert (
        toy_settings(input={"ablated": False}).sha256 == settings.sha256 != toy_settings(input={"ablated": True}).sha256
    )
    assert toy_settings(data={"split_seed": 4}).sha256 != settings.sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 3}, "colour"),
        ({"network": {"kind": "psychic"}}, "psychic"),
        ({"network": {"kind": "tiny", "depth": 3}}, "depth"),
        ({"network": {"kind": "tiny", "preset": "huge"}}, "huge"),
        ({"grid": {"shape": [8, 8, 8], "spacing_mm": 10.0}}, "takes .12, 12, 12. voxels"),
        ({"epochs": 0}, "epochs or samples"),
        ({"samples": 5}, "epochs or samples"),
        ({"motion": {"kind": "redrawn", "range": "wild"}}, "wild"),
        ({"motion": {"kind": "none"}}, "motion"),
        ({"loss": {"kind": "l2"}}, "loss"),
        ({"augmentation": {"gain": 2.0}}, "gain"),
        ({"data": {"cases": "a", "train": "b", "validation": "c"}}, "cases, or train"),
        ({"data": {"train": "b"}}, "go together"),
        ({"data": {"shares": [0.5, 0.2, 0.2]}}, "add up to 1"),
        ({"optimiser": {"learning_rate": 0}}, "learning_rate"),
    ],
)
def test_a_mistake_is_named(change, said) -> None:
    with pytest.raises(UsageError, match=said) as refusal:
        toy_settings(**change)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_none(tmp_path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("= 3")
    for name in ("small-ish", str(tmp_path), str(broken)):
        with pytest.raises(UsageError, match="small, paper"):
            load_settings(name)


@pytest.mark.skipif("densenet-dusfe" not in NETWORKS, reason="no such network")
def test_the_paper_as_it_says() -> None:
    paper = load_settings("paper")
    assert (paper.epochs, paper.batch, paper.loss.kind) == (300, 4, "rigid-parameters")
    assert (paper.optimiser.kind, paper.optimiser.learning_rate) == ("adam", 5e-5)
    assert (paper.optimiser.betas, paper.optimiser.decay) == ((0.5, 0.99), 0.99)
    assert paper.motion.kind == "as-in-the-case"
    assert paper.grid.shape == (64, 64, 64)
    assert paper.grid.spacing_mm == 6.8


@pytest.mark.skipif("densenet-dusfe" not in NETWORKS, reason="no such network")
@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_what_ships_can_be_read_with_every_network(name, kind) -> None:
    table = read_table(name)
    common = {key: value for key, value in table["network"].items() if key != "dense"}  # widths of one family
    settings = settings_from(table, name, {"network": {**common, "kind": kind}})
    assert settings.network.kind == kind
    assert settings_from(tomllib.loads(as_toml(settings)), name) == settings


def test_the_settings_for_finetuning_name_no_network() -> None:
    table = read_table(FINETUNE)
    assert not {"network", "grid"} & table.keys()
    with_network = {"network": {"kind": "tiny"}, "grid": {"shape": [12, 12, 12], "spacing_mm": 10.0}}
    assert settings_from(table, FINETUNE, with_network).motion.range == CLINICAL


def test_the_settings_on_the_page_are_settings() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "train.md").read_text(encoding="utf-8")
    block, recipe = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert recipe_from(tomllib.loads(recipe), "train.md").grid_settings.network.kind == "densenet-dusfe"
    settings = settings_from(tomllib.loads(block), "train.md")
    assert settings.augmentation.shift_mm == (10.0, 10.0, 10.0)
    assert settings.optimiser.clip == 20.0
