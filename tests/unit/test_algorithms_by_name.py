"""Algorithms by name: from mureg, from other packages, by their module; whoever wrote the class."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest
import tomli_w
from pydantic import BaseModel

import mureg
from mureg.catalogue import Catalogue
from mureg.errors import UnreadableInputError, UsageError
from mureg.recon import Osem, reconstruction_from, reconstruction_named
from mureg.registration import (
    REGISTRARS,
    MutualInformation,
    NearHeart,
    NetworkRegistrar,
    registrar_from,
    registrar_named,
)
from mureg.registration.card import Card, card_path
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import NETWORKS, initialised, network_named
from mureg.registration.onnx_networks import load_network
from mureg.training.weights import read_network, save_network
from support.plug_in import installed

HERE = "test_algorithms_by_name"
EMPTY = Catalogue("registrar", "mureg.registrars", "register", {})

OTHERS = """
class Stays:
    kind = "stays"
    def __init__(self, times=1): self.times = times
    def register(self, study): ...
class NoKind:
    def register(self, study): ...
class NoMethod:
    kind = "no-method"
a_function = print
"""
TINY = "from support.tiny_network import *\n"


@dataclass(frozen=True)
class Plain:
    """A dataclass of the standard library, which would ignore settings that it does not have."""

    steps: int = 3
    sizes: tuple[float, ...] = (4.0, 2.0)
    kind: Literal["plain"] = "plain"

    def register(self, study): ...


class Bare:
    """No dataclass at all."""

    kind = "bare"

    def __init__(self, steps: int = 3, path: Path | None = None) -> None:
        if steps < 1:
            raise ValueError("less than one step")
        self.steps, self.path, self._cache = steps, path, {}

    def register(self, study): ...


class Slotted:
    __slots__ = ("colour",)
    kind = "slotted"

    def __init__(self, colour: str = "red") -> None:
        self.colour = Enum("Colour", {"RED": colour}).RED

    def register(self, study): ...


class Model(BaseModel):
    steps: int = 3
    kind: str = "model"

    def register(self, study): ...


class TestNames:
    @pytest.mark.parametrize("kind", sorted(REGISTRARS))
    def test_what_comes_with_mureg_is_there_by_its_kind(self, kind) -> None:
        assert registrar_named(kind) is REGISTRARS[kind]
        assert registrar_from({"kind": kind}) == REGISTRARS[kind]()

    def test_the_three_catalogues(self) -> None:
        assert registrar_named("learned") is NetworkRegistrar, "settings files of older versions name it so"
        assert reconstruction_named("osem") is Osem
        assert network_named("dvnet") is NETWORKS["dvnet"]
        with pytest.raises(UsageError, match="no reconstruction named 'fbp'; expected one of osem, or package"):
            reconstruction_named("fbp")
        with pytest.raises(
            UsageError, match="no registrar named 'elastik'; expected one of combination, mutual-information"
        ):
            registrar_named("elastik")
        with pytest.raises(UsageError, match="no network named 'unet'"):
            network_named("unet")

    def test_settings_in_a_table(self) -> None:
        table = {"kind": "osem", "iterations": 3}
        assert reconstruction_from(table) == Osem(iterations=3)
        assert registrar_from({"kind": "learned", "weights": "a.onnx"}) == mureg.NetworkRegistrar("a.onnx")

    def test_an_entry_point(self, tmp_path, monkeypatch) -> None:
        installed(tmp_path, monkeypatch, {"others_1": OTHERS}, {"mureg.registrars": {"stays": "others_1:Stays"}}, "one")
        assert "others_1" not in sys.modules
        assert EMPTY.names() == ("stays",)
        assert "others_1" not in sys.modules, "a list of names loads nothing"
        stays = registrar_from({"kind": "stays", "times": 4})
        assert (type(stays).__name__, stays.times) == ("Stays", 4)
        assert EMPTY.table_of(stays) == {"times": 4, "kind": "stays"}

    def test_two_packages_that_claim_one_name(self, tmp_path, monkeypatch) -> None:
        for number, folder in enumerate(("one", "two")):
            (tmp_path / folder).mkdir()
            points = {"mureg.registrars": {"stays": f"others_{folder}:Stays", "near-heart": f"others_{folder}:Stays"}}
            installed(tmp_path / folder, monkeypatch, {f"others_{folder}": OTHERS}, points, f"package-{number}")
        with pytest.raises(UsageError, match=r"two installed packages .* \(others_one:Stays, others_two:Stays\)"):
            registrar_named("stays")
        assert registrar_named("near-heart") is NearHeart, "nobody takes the place of mureg's own"

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("others_3:NoKind", "others_3:NoKind is a class without kind; expected a class with kind and register"),
            ("others_3:NoMethod", "a class without register"),
            ("others_3:a_function", "no class"),
            ("others_3:Absent", "cannot be loaded"),
            ("no_such_module:Class", "cannot be loaded .* PYTHONPATH"),
            ("others_3:", "cannot be loaded"),
            (":Stays", "cannot be loaded"),
            ("breaks_3:Stays", "ZeroDivisionError"),
            ("subprocess:Popen", "a class without kind and register"),
        ],
    )
    def test_what_cannot_be_a_registrar_is_refused_in_one_sentence(self, name, words, tmp_path, monkeypatch) -> None:
        installed(tmp_path, monkeypatch, {"others_3": OTHERS, "breaks_3": "1 / 0"}, {}, "three")
        with pytest.raises(UsageError, match=words) as refusal:
            registrar_named(name)
        assert "\n" not in str(refusal.value)


class TestSettings:
    @pytest.mark.parametrize("kind", sorted(REGISTRARS))
    def test_those_of_mureg_are_as_before(self, kind) -> None:
        registrar = REGISTRARS[kind]()
        assert mureg.registration.catalogue.REGISTRAR_CATALOGUE.table_of(registrar) == asdict(registrar)

    @pytest.mark.parametrize(
        ("made", "table"),
        [
            (Plain(steps=5), {"steps": 5, "sizes": (4.0, 2.0), "kind": f"{HERE}:Plain"}),
            (Bare(7), {"steps": 7, "kind": f"{HERE}:Bare"}),
            (Slotted(), {"colour": "red", "kind": f"{HERE}:Slotted"}),
            (Model(steps=2), {"steps": 2, "kind": f"{HERE}:Model"}),
        ],
    )
    def test_any_class_can_be_written_down_and_made_again(self, made, table, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
        for cls in (Plain, Bare, Slotted, Model):
            monkeypatch.setattr(cls, "__module__", HERE)
        assert EMPTY.table_of(made) == table
        assert tomli_w.dumps(table)
        assert json.dumps(table)
        again = EMPTY.make(table)
        assert type(again) is type(made)
        assert EMPTY.table_of(again) == table

    @pytest.mark.parametrize(
        ("kind", "settings", "words"),
        [
            ("Plain", {"stepps": 5}, "there is no setting stepps; expected one of steps"),
            ("Bare", {"stepps": 5}, "there is no setting stepps; expected one of steps"),
            ("Bare", {"steps": 0}, "less than one step"),
        ],
    )
    def test_settings_that_do_not_fit(self, kind, settings, words, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
        with pytest.raises(UsageError, match=words):
            EMPTY.make({"kind": f"{HERE}:{kind}", **settings})

    def test_a_class_of_a_known_kind_that_is_not_the_known_class(self) -> None:
        @dataclass(frozen=True)
        class Pretender(MutualInformation):
            pass

        assert EMPTY.table_of(Pretender())["kind"].endswith(":TestSettings." + Pretender.__qualname__.split(".", 1)[1])


class TestWeights:
    """Cards come from others: they name a network, and never load code."""

    def test_a_network_of_another_package(self, tmp_path, monkeypatch) -> None:
        installed(tmp_path, monkeypatch, {"nets_4": TINY}, {"mureg.networks": {"tiny": "nets_4:Tiny"}}, "four")
        settings = network_named("tiny")()
        card = Card(network=asdict(settings), grid=InputGrid((12, 12, 12), 30.0))
        save_network(tmp_path / "w.onnx", initialised(settings, 1), card)
        module, card = read_network(str(tmp_path / "w.onnx"))
        assert (type(module).__name__, card.kind) == ("_Tiny", "tiny")

    def test_a_network_by_its_module_only_where_that_is_loaded(self, tmp_path, monkeypatch) -> None:
        installed(tmp_path, monkeypatch, {"nets_5": TINY}, {}, "five")
        settings = network_named("nets_5:Tiny")()
        card = Card(network=asdict(settings) | {"kind": "nets_5:Tiny"}, grid=InputGrid((12, 12, 12), 30.0))
        weights = tmp_path / "w.onnx"
        save_network(weights, initialised(settings, 1), card)
        assert read_network(weights)[1].kind == "nets_5:Tiny"
        monkeypatch.delitem(sys.modules, "nets_5")
        with pytest.raises(UnreadableInputError, match="from the module nets_5, which is not loaded"):
            read_network(weights)
        assert load_network(weights)[1].kind == "nets_5:Tiny", "onnxruntime needs no code of the network"
        assert "nets_5" not in sys.modules

    def test_a_card_that_names_a_dangerous_class(self, tmp_path) -> None:
        weights = tmp_path / "w.onnx"
        settings = NETWORKS["dvnet"].small()
        card = Card(network=asdict(settings), grid=InputGrid((32, 32, 32), 13.6))
        save_network(weights, initialised(settings, 1), card)
        table = json.loads(card_path(weights).read_text())
        marker = tmp_path / "harm"
        table["network"] = {"kind": "subprocess:Popen", "args": ["touch", str(marker)]}
        card_path(weights).write_text(json.dumps(table))
        with pytest.raises(UnreadableInputError, match="a class without kind and build"):
            read_network(weights)
        load_network(weights)  # of the network's settings onnxruntime needs none
        assert not marker.exists()
