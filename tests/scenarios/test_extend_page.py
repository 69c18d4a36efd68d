"""docs/how-to/extend.md does what it says: its blocks are run, and what they add is found."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import mureg
from mureg.cli import main
from mureg.cli.algorithms import Tuning
from mureg.cli.common import parse
from mureg.comparison.methods import choose
from mureg.errors import UsageError
from mureg.jobs.cores import set_thread_count
from mureg.recon import reconstruction_from, reconstruction_named
from mureg.registration import registrar_from, registrar_named
from mureg.registration.card import read_card
from mureg.registration.networks import network_named
from mureg.sample import sample_folder
from mureg.spect.physics import WITHOUT
from support.chest_cases import CT_GRID, chest_spect, motion, write_chest_cohort
from support.phantoms import mu_volume
from support.plug_in import installed

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "extend.md"


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text("utf-8"), re.S | re.M)
    return [text for name, text in fenced if name == language]


def commands() -> list[list[str]]:
    """Every command of the page, as words."""
    return [line.split() for block in blocks("") for line in block.splitlines() if line.startswith("mureg ")]


MODULES = {match[1]: block for block in blocks("python") if (match := re.match(r"# (\w+)\.py\n", block))}
SCRIPTS = [block for block in blocks("python") if block not in MODULES.values()]
ENTRY_POINTS = {
    group: points
    for block in blocks("toml")
    for group, points in tomllib.loads(block)["project"]["entry-points"].items()
}


@pytest.fixture(autouse=True)
def added(tmp_path, monkeypatch):
    """The files of the page, where Python finds them; with the entry points of the page where a test asks for them."""
    (tmp_path / "package").mkdir()
    installed(tmp_path / "package", monkeypatch, MODULES, {}, "extended")
    yield
    for name in MODULES:
        sys.modules.pop(name, None)
    set_thread_count(1)


def test_the_page_has_what_this_test_runs() -> None:
    assert sorted(MODULES) == ["backprojection", "centre_of_mass", "means"]
    assert len(SCRIPTS) == 4
    assert len(commands()) == 5
    assert sorted(ENTRY_POINTS) == ["mureg.networks", "mureg.reconstructions", "mureg.registrars"]


def test_its_blocks_run_one_after_the_other(capsys) -> None:
    study = mureg.read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct")
    scope = {"study": study}
    for script in SCRIPTS:
        exec(compile(script, PAGE.name, "exec"), scope)
    answer, image = scope["answer"], scope["image"]
    assert answer.registration.registrar == "centre-of-mass"
    table = answer.provenance.settings["registrar"]
    assert table == {"threshold": 0.01, "kind": "centre_of_mass:CentreOfMass"}
    assert registrar_from(table) == scope["CentreOfMass"](threshold=0.01)
    expected = float(study.spect.photopeak_counts.sum())
    system, _ = mureg.Physics().system(study.spect, None)
    assert float(system.project(image.values).sum()) == pytest.approx(expected, rel=1e-3)
    assert "Registration(centre-of-mass: moved" in capsys.readouterr().out


def test_the_centre_of_the_emission_lies_on_the_centre_of_the_map_afterwards() -> None:
    """The direction of the pose, by a closed form: a block moved by a known distance."""
    grid = mureg.Grid.centred((20, 20, 20), (5.0, 5.0, 5.0))
    values = np.zeros(grid.shape)
    values[6:9, 10:14, 3:5] = 1.0
    fixed = mureg.Volume.from_numpy(values, grid, mureg.Quantity.ACTIVITY)
    moving = mureg.Volume.from_numpy(np.roll(values, (2, -3, 4), (0, 1, 2)), grid, mureg.Quantity.MU_PER_CM)
    found = registrar_named("centre_of_mass:CentreOfMass")().register(mureg.PreparedStudy.from_images(fixed, moving))
    np.testing.assert_allclose(found.shift_mm, (10.0, -15.0, 20.0), atol=1e-9)


def test_an_installed_package_is_found_by_the_names_of_its_entry_points(tmp_path, monkeypatch) -> None:
    (tmp_path / "other").mkdir()
    installed(tmp_path / "other", monkeypatch, {}, ENTRY_POINTS, "extended-with-names")
    assert registrar_named("centre-of-mass").__name__ == "CentreOfMass"
    assert network_named("means").__name__ == "Means"
    assert reconstruction_named("backprojection").__name__ == "Backprojection"
    (method,) = choose(["centre-of-mass"], {})
    assert (method.name, json.loads(method.settings)["threshold"]) == ("centre-of-mass", 0.0)


def test_its_commands_can_be_parsed() -> None:
    for _, verb, *words in commands():
        parse(verb, words, import_module(f"mureg.cli.{verb}").OPTIONS)


def test_the_command_line_takes_a_class_by_its_module_and_writes_it_down(tmp_path, capsys) -> None:
    spect, ct, out = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct"), tmp_path / "out"
    command = ["register", "--spect", spect, "--ct", ct, "-o", str(out), "--threads", "1"]
    assert main([*command, "--registrar", "centre_of_mass:CentreOfMas"]) == 2
    assert "the registrar centre_of_mass:CentreOfMas cannot be loaded" in capsys.readouterr().err
    assert not out.exists()
    quick = ["--set", "reconstructor.iterations=1"]
    assert main([*command, *quick, "--registrar", "centre_of_mass:CentreOfMass"]) == 0
    result = json.loads((out / "registration.json").read_text())
    assert result["registrar"] == "centre-of-mass"
    settings = tomllib.loads((out / "settings.toml").read_text())
    assert settings["registrar"] == {"threshold": 0.0, "kind": "centre_of_mass:CentreOfMass"}


POWER = ["--set", "reconstructor.power=2.0"]
BY_MODULE = ["--reconstructor", "backprojection:Backprojection", *POWER]


def test_a_study_is_registered_with_a_reconstruction_by_its_module(tmp_path, capsys) -> None:
    """In the order of the page: chosen by the option, written down, and read back from the file of the result."""
    spect, ct = str(sample_folder() / "spect.dcm"), str(sample_folder() / "ct")
    command = ["register", "--spect", spect, "--ct", ct, "--threads", "1", "--no-reconstruction"]
    command += ["--registrar", "centre_of_mass:CentreOfMass"]
    assert main([*command, *BY_MODULE, "-o", str(tmp_path / "one")]) == 0
    result = json.loads((tmp_path / "one" / "registration.json").read_text())
    recorded = {"power": 2.0, "kind": "backprojection:Backprojection"}
    assert result["provenance"]["settings"]["reconstructor"] == recorded
    assert "backprojection:Backprojection (power 2.0)" in (tmp_path / "one" / "report.html").read_text("utf-8")
    study = mureg.read_study(spect, ct=ct)
    expected = mureg.reconstruct(study.spect, None, reconstruction_from(recorded), WITHOUT)
    image = mureg.io.read_nifti(tmp_path / "one" / "spect_nac.nii.gz", "spect")
    np.testing.assert_allclose(image.values, expected.values, rtol=1e-5, atol=1e-5 * expected.values.max())

    again = ["reconstruct", "--projections", spect, "-o", str(tmp_path / "again.nii.gz"), "--threads", "1", "--json"]
    capsys.readouterr()
    assert (
        main([*again, "--settings", str(tmp_path / "one" / "settings.toml"), "--set", "physics.resolution=false"]) == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["provenance"]["settings"]["reconstructor"] == recorded
    assert "registrar" not in answer["provenance"]["settings"]


def test_a_batch_with_a_reconstruction_of_an_installed_package(tmp_path, monkeypatch) -> None:
    (tmp_path / "other").mkdir()
    installed(tmp_path / "other", monkeypatch, {}, ENTRY_POINTS, "extended-with-names")
    (tmp_path / "list.csv").write_text(
        f"name,spect,ct\none,{sample_folder() / 'spect.dcm'},{sample_folder() / 'ct'}\n", "utf-8"
    )
    out = tmp_path / "out"
    command = ["batch", str(tmp_path / "list.csv"), "-o", str(out), "--registrar", "centre-of-mass"]
    command += ["--no-reconstruction", "--reconstructor", "backprojection"]
    assert main([*command, *POWER]) == 0
    (result,) = out.rglob("registration.json")
    recorded = json.loads(result.read_text())["provenance"]["settings"]
    assert recorded["reconstructor"] == {"power": 2.0, "kind": "backprojection"}
    assert recorded["registrar"] == {"threshold": 0.0, "kind": "centre-of-mass"}
    assert main([*command, "--set", "reconstructor.power=3.0"]) == 2, "another reconstruction is another batch"


def test_the_settings_of_any_class_are_printed_and_read_back(tmp_path, capsys) -> None:
    assert main(["settings", "--registrar", "centre_of_mass:CentreOfMass", *BY_MODULE]) == 0
    (tmp_path / "all.toml").write_text(capsys.readouterr().out)
    algorithms = Tuning(tmp_path / "all.toml").algorithms()
    assert algorithms.registrar == registrar_named("centre_of_mass:CentreOfMass")()
    assert algorithms.reconstructor.power == 2.0
    assert type(algorithms.reconstructor) is reconstruction_named("backprojection:Backprojection")
    assert main(["settings", "--settings", str(tmp_path / "all.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reconstructor"]["kind"] == "backprojection:Backprojection"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--reconstructor", "osme"], "no reconstruction named 'osme'; expected one of osem, or package.module:Class"),
        (["--reconstructor", "no_such_place:Any"], "there is no module no_such_place"),
        (["--reconstructor", "backprojection:Backproject"], "there is no Backproject in backprojection"),
        (["--reconstructor", "centre_of_mass:CentreOfMass"], "a class without reconstruct"),
        ([*BY_MODULE, "--set", "reconstructor.powr=2"], "no setting reconstructor.powr; expected one of power"),
        (["--set", "reconstructor.kind=osem"], "choose the reconstructor with --reconstructor"),
        (["--set", "reconstructor.subset=3"], "no setting reconstructor.subset; expected one of subsets"),
    ],
)
def test_a_wrong_reconstruction_is_refused_in_one_sentence(words, problem, tmp_path, capsys) -> None:
    out = tmp_path / "out.nii.gz"
    assert main(["reconstruct", "--projections", str(sample_folder() / "spect.dcm"), "-o", str(out), *words]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert problem in sentence
    for leak in ("mureg.", "http", "pydantic", "Error", "__init__", "class '"):
        assert leak not in sentence, leak
    assert not out.exists()


def test_what_is_no_image_is_refused(monkeypatch) -> None:
    acquisition = mureg.read_study(sample_folder() / "spect.dcm", ct=sample_folder() / "ct").spect
    system, _ = WITHOUT.system(acquisition, None)
    zeros = mureg.Volume.from_numpy(np.zeros(system.grid.shape), system.grid, mureg.Quantity.ACTIVITY)
    other = mureg.Grid.centred(system.grid.shape, (5.0, 5.0, 5.0))
    for given, words in (
        (np.zeros(system.grid.shape), "gave an object of the class ndarray"),
        (mureg.Volume.from_numpy(np.zeros(other.shape), other, mureg.Quantity.ACTIVITY), "on another grid"),
    ):
        with pytest.raises(UsageError, match=words):
            mureg.reconstruct(acquisition, None, Gives(given), WITHOUT)
    assert mureg.reconstruct(acquisition, None, Gives(zeros), WITHOUT) is zeros


class Gives:
    """A reconstruction that gives what it was made with."""

    kind = "gives"

    def __init__(self, image: object) -> None:
        self.image = image

    def reconstruct(self, acquisition: mureg.Acquisition, system: mureg.SystemModel) -> object:
        return self.image


TRAINING = """epochs = 1
[network]
kind = "dvnet"
[grid]
shape = [12, 12, 12]
spacing_mm = 30.0
[motion]
kind = "redrawn"
range = "paper"
"""


@pytest.mark.usefixtures("remembered_ventricles")
def test_the_network_of_the_page_is_trained_and_its_weights_register(tmp_path, capsys) -> None:
    cohort, run = write_chest_cohort(tmp_path / "chests", 20), tmp_path / "run"
    (tmp_path / "mine.toml").write_text(TRAINING)
    network = [f"network.{change}" for change in ("kind=means:Means", "shape=[12,12,12]", "channels=4")]
    command = ["train", str(tmp_path / "mine.toml"), "--cohort", str(cohort), "-o", str(run), "--threads", "1"]
    assert main([*command, *(word for change in network for word in ("--set", change)), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    table = tomllib.loads((run / "settings.toml").read_text())["network"]
    assert table == {"shape": [12, 12, 12], "channels": 4, "weights": "he", "kind": "means:Means"}
    del sys.modules["means"]  # the weights need no code of the network
    found = mureg.register(
        chest_spect(), mu_volume(CT_GRID, motion(1)), mureg.NetworkRegistrar(weights=answer["weights"])
    )
    assert found.registrar == "network"
    assert found.weights_sha256 == read_card(Path(answer["weights"])).weights_sha256
    assert "means" not in sys.modules
