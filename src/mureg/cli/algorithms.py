"""The settings of every algorithm of one study, from defaults, a TOML file and single changes."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMap
from mureg.catalogue import Catalogue
from mureg.errors import UsageError
from mureg.files.former_names import with_current_names
from mureg.files.settings import Table
from mureg.files.validation import merged, nearest, split_change, validated, with_changes
from mureg.io.plain_text import read_text
from mureg.recon import RECONSTRUCTIONS, Osem, Reconstructor
from mureg.recon.catalogue import RECONSTRUCTION_CATALOGUE
from mureg.registration import REGISTRARS, Combination, NearHeart, NetworkRegistrar, Registrar
from mureg.registration.catalogue import REGISTRAR_CATALOGUE
from mureg.spect import Physics

LOG = logging.getLogger("mureg.cli")

Changes = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE"), tyro.conf.UseAppendAction]
"""The option ``--set``, which may be given several times."""
RegistrarName = Annotated[str | None, tyro.conf.arg(metavar="{" + ",".join((*REGISTRARS, NetworkRegistrar.kind)) + "}")]
WeightsName = Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")]
ReconstructorName = Annotated[str | None, tyro.conf.arg(metavar="{" + ",".join(RECONSTRUCTIONS) + "}")]


@dataclass(frozen=True)
class Algorithms:
    """The settings of every step from the projections to the decision.

    Attributes:
        registrar: registration of the attenuation map to the SPECT.
        reconstructor: reconstruction of the projections.
        physics: effects of the camera that the corrected reconstruction models.
        attenuation: making of the attenuation map.
        decision: limits of the decision.
    """

    registrar: Registrar = field(default_factory=Combination)
    reconstructor: Reconstructor = field(default_factory=Osem)
    physics: Physics = field(default_factory=Physics)
    attenuation: AttenuationMap = field(default_factory=AttenuationMap)
    decision: Thresholds = field(default_factory=Thresholds)

    def sections(self) -> dict[str, Any]:
        """The settings by the name of their table."""
        return {section.name: getattr(self, section.name) for section in fields(self)}

    def tables(self) -> dict[str, Table]:
        """The settings as nested dictionaries."""
        return {
            name: _CATALOGUES[name].catalogue.table_of(settings) if name in _CATALOGUES else asdict(settings)
            for name, settings in self.sections().items()
        }


@dataclass(frozen=True)
class _Choice:
    """A table whose algorithm is chosen by its kind: by an option of the same name, or in the file."""

    catalogue: Catalogue
    default: str


_CATALOGUES = {
    "registrar": _Choice(REGISTRAR_CATALOGUE, Combination.kind),
    "reconstructor": _Choice(RECONSTRUCTION_CATALOGUE, Osem.kind),
}
_CLASSES: dict[str, type] = {"physics": Physics, "attenuation": AttenuationMap, "decision": Thresholds}
_SECTIONS = (*_CATALOGUES, *_CLASSES)


@dataclass(frozen=True)
class Tuning:
    """Settings of the algorithms, for the verbs that have them.

    Attributes:
        settings: TOML file of algorithm settings, from mureg settings or from beside a result (default: none).
        changes: change one setting, such as physics.resolution=false; repeatable; takes precedence over --settings.
        reconstructor: reconstruction method (default: osem, or that of --settings); also the name of one of another
            installed package, or package.module:Class.
    """

    settings: Path | None = None
    changes: Changes = ()
    reconstructor: ReconstructorName = None

    def algorithms(
        self, registrar: str | None = None, sections: Sequence[str] = _SECTIONS, weights: str | None = None
    ) -> Algorithms:
        """Every setting: the defaults, changed by the file, changed by ``--set``.

        Args:
            registrar: as ``--registrar`` names it; None for that of the file, or the default.
            sections: tables that ``--set`` may change.
            weights: as ``--weights`` names them; without a registrar they are those of the registrar network.

        Raises:
            UsageError: a file that is missing or no TOML, an algorithm, table or setting that does not exist, or a
                value that does not fit.
        """
        where = "--set" if self.settings is None else f"settings file {self.settings.name}"
        table = {} if self.settings is None else read_tables(self.settings)
        _refuse_unknown_tables(table, where)
        _refuse_changes(self.changes, sections)
        if weights is not None and registrar is None and "kind" not in table.get("registrar", {}):
            registrar = NetworkRegistrar.kind
        for name, kind in (("registrar", registrar), ("reconstructor", self.reconstructor)):
            _choose(table, name, kind)
        if weights is not None:
            table["registrar"] = _with_weights(table["registrar"], weights)
        new_table = with_changes(table, self.changes)
        _require_weights(new_table["registrar"])
        return algorithms_of(new_table, "--set" if new_table != table else where)


def _choose(tables: dict[str, Table], name: str, kind: str | None) -> None:
    """Write the kind that an option names, or that of the file, or the default, into its table."""
    table, catalogue = tables.get(name, {}), _CATALOGUES[name].catalogue
    if kind is not None:
        catalogue.class_of(kind)
    chosen_kind = catalogue.current(kind or str(table.get("kind", _kind_without_name(table, name))))
    if catalogue.current(str(table.get("kind", chosen_kind))) != chosen_kind:
        LOG.warning("--%s %s: the settings of another %s in the file are not used", name, chosen_kind, name)
        table = {}
    tables[name] = {**with_current_names(table, chosen_kind), "kind": chosen_kind}


def _kind_without_name(table: Table, name: str) -> str:
    """The kind of a table that names none: the default; near-heart, the former default, where its settings tell so."""
    former = {field.name for field in fields(NearHeart)}
    if name == "registrar" and not set(table) <= {field.name for field in fields(Combination)}:
        return NearHeart.kind if set(with_current_names(table, NearHeart.kind)) <= former else _CATALOGUES[name].default
    return _CATALOGUES[name].default


def _with_weights(table: Table, weights: str) -> Table:
    """A table of a registrar with the weights that an option names. Raises `UsageError` for one without networks."""
    if table["kind"] == Combination.kind:
        return {**table, "near_heart": {**table.get("near_heart", {}), "weights": weights}}
    if table["kind"] not in (NetworkRegistrar.kind, NearHeart.kind):
        raise UsageError(
            f"--weights with the registrar {table['kind']}",
            f"the registrar {NetworkRegistrar.kind}, {NearHeart.kind} or {Combination.kind}",
            "leave --weights out, or choose one of these with --registrar",
        )
    return {**table, "weights": weights}


def _require_weights(table: Table) -> None:
    if table["kind"] == NetworkRegistrar.kind and not table.get("weights"):
        raise UsageError(
            f"the registrar {NetworkRegistrar.kind} without weights",
            "a name or file of weights",
            "add --weights; mureg weights lists them",
        )


def algorithms_of(tables: Mapping[str, Table], where: str) -> Algorithms:
    """Settings from plain tables. Raises `UsageError` for the first mistake; see `Tuning.algorithms`."""
    defaults = Algorithms().tables()
    algorithms: dict[str, Any] = {
        name: _CATALOGUES[name].catalogue.make(table, where=where, prefix=name)
        if name in _CATALOGUES
        else validated(_CLASSES[name], merged(defaults[name], table), where, name)
        for name, table in tables.items()
    }
    return Algorithms(**algorithms)


def algorithms_from(path: Path) -> Algorithms:
    """The settings in ``settings.toml``; what it leaves out keeps its default.

    Raises:
        UsageError: the file is missing or holds something that is no setting.
    """
    return Tuning(path).algorithms()


def read_tables(path: Path) -> dict[str, Table]:
    """The tables of a TOML file. Raises `UsageError` where there are none."""
    try:
        tables = tomllib.loads(read_text(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not TOML: " + str(problem)
        raise UsageError(
            f"settings file {path.name} cannot be read ({str(reason).splitlines()[0]})",
            "a TOML file of settings",
            "write one with: mureg settings > settings.toml",
        ) from problem
    return tables


def _refuse_unknown_tables(tables: Mapping[str, Any], where: str) -> None:
    for name, table in tables.items():
        if name not in _SECTIONS:
            raise UsageError(
                f"{where}: there is no table [{name}]", nearest(name, _SECTIONS), "mureg settings lists every setting"
            )
        if not isinstance(table, dict):
            raise UsageError(
                f"{where}: {name} is a single value", f"a table [{name}]", "mureg settings lists every setting"
            )


def _refuse_changes(changes: Sequence[str], sections: Sequence[str]) -> None:
    """Refuse a change that names no table of these, or the kind of an algorithm."""
    for change in changes:
        path, _ = split_change(change)
        if path[0] not in sections or len(path) < 2:
            raise UsageError(
                f"--set {change}: there is no setting {'.'.join(path)}",
                f"a setting in {nearest(path[0], sections)}",
                "mureg settings lists every setting",
            )
        if path[-1] == "kind":
            remedy = f"choose the {path[0]} with --{path[0]}" if path[0] in _CATALOGUES else "leave it out"
            raise UsageError(f"--set {change}: kind is not a setting", "a setting of the algorithm", remedy)
