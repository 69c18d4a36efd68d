"""Files that mureg 0.1.0 wrote are read: cards, settings, training runs, tables of comparisons and batches.

The referees are files of that version: evidence/reproduction-short, and the fingerprints that it stored on the card.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import pytest
import tomli_w

from mureg.batch.folder import begin, check
from mureg.cli.algorithms import Tuning
from mureg.comparison.rows import MethodRow
from mureg.comparison.settings import read_settings, refuse_other_measurement
from mureg.comparison.table import ResultTable
from mureg.errors import UnreadableInputError, UsageError
from mureg.recon import Osem
from mureg.registration import REGISTRARS, NearHeart
from mureg.registration.card import read_card, shipped
from mureg.training.folder import refuse_another
from mureg.training.heart.recipe import as_table as recipe_table
from mureg.training.heart.recipe import load_recipe, recipe_from
from mureg.training.losses import RigidParameters
from mureg.training.settings import as_toml, load_settings

EVIDENCE = Path(__file__).parents[3] / "evidence" / "reproduction-short"
RUNS = sorted(EVIDENCE.glob("*/runs/*"))
FORMER_FINGERPRINTS = {
    "default": "e8f8676789a79f0eb7825a7d9ef944fcbca948e03a53fcdb003561b20bcc246a",
    "quick": "c904f459d6497fce269b37550ba461de166ea074b33570d3fc11412ef938cf7b",
}
"""Of the settings of near-heart, as the card in the package stated them under the former names."""
FORMER_KEYS = {
    "ablated": "blanked",
    "gains": "believed",
    "quick_errors": "errors_hurried",
    "quick_errors_grow_mm": "errors_hurried_grow_mm",
}
ADDED_SINCE = ("licence", "motion", "card_sha256")


def former_card(folder: Path) -> Path:
    """The shipped card of near-heart as it was written with the former names; returns the path of its weights."""
    card = json.loads(shipped("near-heart").with_suffix(".json").read_text("utf-8"))
    card = {FORMER_KEYS.get(key, key): value for key, value in card.items() if key not in ADDED_SINCE}
    card["calibrated_for"] |= FORMER_FINGERPRINTS
    card["loss"] = {"kind": "six-numbers"}
    (folder / "w.json").write_text(json.dumps(card), "utf-8")
    return folder / "w.onnx"


def test_there_are_runs_with_and_without_spect() -> None:
    assert sum("blanked" in run.name for run in RUNS) == 2
    assert len(RUNS) == 12


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.parts[-3]}-{run.name}")
def test_card_and_settings_of_a_former_run(run: Path, tmp_path) -> None:
    """The folder goes on with the settings it has, and their hash is over the names that they were written with."""
    card, settings = read_card(run / "best.onnx"), load_settings(str(run / "settings.toml"))
    without_spect = run.name.endswith("-blanked")
    assert (card.ablated, settings.input.ablated) == (without_spect, without_spect)
    former = settings.identity() | ({"input": {"blanked": True}} if without_spect else {})
    assert settings.sha256 == hashlib.sha256(tomli_w.dumps(former).encode()).hexdigest()
    shutil.copy(run / "settings.toml", tmp_path)
    refuse_another(settings, tmp_path)


def test_a_former_card_keeps_its_gains_its_covariances_and_its_calibration(tmp_path) -> None:
    former, now = read_card(former_card(tmp_path)), read_card(shipped("near-heart"))
    assert former.gains == now.gains == (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert former.quick_errors == now.quick_errors != ()
    assert former.quick_errors_grow_mm == now.quick_errors_grow_mm == 0.25
    assert former.loss == {"kind": "rigid-parameters"}
    for registrar in (NearHeart(), NearHeart().quick_mode()):
        assert registrar._calibrated_for(former) == registrar._calibrated_for(now) != {}
    assert NearHeart(passes=3)._calibrated_for(former) == {}


def test_the_settings_that_the_card_was_measured_with_are_those_of_now() -> None:
    """The values are unchanged: under the former names they have the former fingerprints."""
    for name, registrar in (("default", NearHeart()), ("quick", NearHeart().quick_mode())):
        assert registrar.settings_sha256(former=True) == FORMER_FINGERPRINTS[name]
        assert registrar.settings_sha256() != FORMER_FINGERPRINTS[name]


def test_a_card_with_a_name_twice_is_refused(tmp_path) -> None:
    weights = former_card(tmp_path)
    card = json.loads((tmp_path / "w.json").read_text("utf-8"))
    (tmp_path / "w.json").write_text(json.dumps(card | {"gains": [1.0] * 6}), "utf-8")
    with pytest.raises(UnreadableInputError, match=r"w\.json is no card"):
        read_card(weights)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("looks = 5\nblanked = true", None, {"crops": 5, "ablated": True}),
        ('kind = "near-heart"\nlooks = 5', None, {"crops": 5}),
        ('kind = "projection"\nstart = "headers"', None, {"start": "scanner-position"}),
        ('kind = "learned"\nweights = "a.onnx"\nblanked = true', None, {"ablated": True}),
        ('start = "headers"', "projection", {"start": "scanner-position"}),
    ],
)
def test_settings_of_a_registrar(tmp_path, text: str, kind: str | None, expected: dict[str, object]) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[registrar]\n{text}\n", "utf-8")
    registrar = Tuning(file).algorithms(kind).registrar
    assert {name: getattr(registrar, name) for name in expected} == expected


@pytest.mark.parametrize("text", ["looks = 5\ncrops = 5", 'kind = "mutual-information"\nlooks = 5'])
def test_a_name_twice_or_of_another_registrar_is_refused(tmp_path, text: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[registrar]\n{text}\n", "utf-8")
    with pytest.raises(UsageError, match=r"there is no setting registrar\.looks"):
        Tuning(file).algorithms()


def test_the_former_name_of_the_loss_keeps_the_hash_of_its_run(tmp_path) -> None:
    """As for the input: the tables of mureg 0.1.0 are made here by hand."""
    table = tomllib.loads((RUNS[0] / "settings.toml").read_text("utf-8"))
    table = {**table, "loss": {"kind": "six-numbers"}, "input": {"blanked": False}}
    (tmp_path / "settings.toml").write_text(tomli_w.dumps(table), "utf-8")
    settings = load_settings(str(tmp_path / "settings.toml"))
    assert settings.loss == RigidParameters()
    former = settings.identity() | {"loss": {"kind": "six-numbers"}}
    assert settings.sha256 == hashlib.sha256(tomli_w.dumps(former).encode()).hexdigest()
    assert "rigid-parameters" in as_toml(settings)


def test_changes_in_a_former_recipe() -> None:
    table = recipe_table(load_recipe())
    for network in table["networks"]:
        network["changes"]["input"] = {"blanked": True}
    recipe = recipe_from(table)
    assert all(recipe.settings(network, network.stages[0]).input.ablated for network in recipe.networks)


@pytest.mark.parametrize("level", ["easy", "clinical"])
def test_settings_of_a_former_comparison(level: str) -> None:
    file = EVIDENCE / level / "settings.toml"
    written = tomllib.loads(file.read_text("utf-8"))["measurement"]["osem"]
    settings = read_settings(file)
    assert settings.measurement.reconstructor == Osem(**{k: v for k, v in written.items() if k != "kind"})
    refuse_other_measurement(file.parent, settings)


def test_settings_of_a_former_comparison_with_registrars(tmp_path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[near_heart]\nlooks = 5\n[projection]\nstart = "headers"\n', "utf-8")
    settings = read_settings(file)
    assert (settings.near_heart, settings.projection) == (
        NearHeart(crops=5),
        REGISTRARS["projection"](start="scanner-position"),
    )


def test_rows_of_a_former_comparison_go_on_with_the_names_of_now(tmp_path) -> None:
    """Nothing but names changes in the file, and what is asked for by its settings now is there."""
    source, path = EVIDENCE / "clinical" / "cases.csv", tmp_path / "cases.csv"
    shutil.copy(source, path)
    table = ResultTable(path, MethodRow)
    former, now = (list(csv.DictReader(file.read_text("utf-8").splitlines())) for file in (source, path))
    assert len(former) == len(now) == len(table.rows) > 1000
    renamed = {before["method"]: after["method"] for before, after in zip(former, now, strict=True)}
    assert {before: after for before, after in renamed.items() if before != after} == {
        "headers": "unregistered",
        **{
            f"{name} (SPECT blanked)": f"{name} (SPECT ablated)"
            for name in ("densenet", "densenet-dusfe", "densenet-nonlocal", "dvnet", "msreg")
        },
        "densenet-dusfe-blanked (trained blanked)": "densenet-dusfe-blanked (trained with ablated SPECT)",
    }
    for before, after in zip(former, now, strict=True):
        settings = json.loads(before.pop("settings"))
        if "blanked" in settings:
            settings["ablated"] = settings.pop("blanked")
        assert after.pop("settings") == json.dumps(settings, sort_keys=True)
        del before["method"], after["method"]
        assert {key: _value(cell) for key, cell in before.items()} == {key: _value(cell) for key, cell in after.items()}
    cohort, case = now[0]["cohort"], now[0]["case"]
    assert table.get((cohort, case, "unregistered", "{}")) is not None
    again = path.read_bytes()
    ResultTable(path, MethodRow)
    assert path.read_bytes() == again


def test_a_former_batch_goes_on(tmp_path) -> None:
    former = {"kind": "near-heart", "looks": 3, "blanked": False}
    begin(tmp_path, {"registrar": former, "fast": False})
    check(tmp_path, {"registrar": {"kind": "near-heart", "crops": 3, "ablated": False}, "fast": False}, [])
    with pytest.raises(UsageError, match=r"registrar\.crops = 3"):
        check(tmp_path, {"registrar": {"kind": "near-heart", "crops": 5, "ablated": False}, "fast": False}, [])


def _value(cell: str) -> str | float:
    """A number as such: 0.0 and 0 are one."""
    try:
        return float(cell)
    except ValueError:
        return cell
