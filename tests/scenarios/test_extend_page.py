"""docs/how-to/extend.md does what it says: its blocks are run, and what they add is found."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import mureg
from mureg.cli import main
from mureg.comparison.methods import choose
from mureg.jobs.cores import set_thread_count
from mureg.recon import reconstruction_named
from mureg.registration import registrar_from, registrar_named
from mureg.registration.networks import network_named
from mureg.sample import sample_folder
from support.plug_in import installed

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "extend.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)


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
