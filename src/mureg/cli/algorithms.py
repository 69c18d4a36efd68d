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
from mureg.errors import UsageError
from mureg.files.settings import Table
from mureg.files.validation import merged, nearest, split_change, validated, with_changes
from mureg.io.plain_text import read_text
from mureg.recon import Osem
from mureg.registration import REGISTRARS, NearHeart, Registrar
from mureg.registration.catalogue import REGISTRAR_CATALOGUE, registrar_from
from mureg.spect import Physics

LOG = logging.getLogger("mureg.cli")

REGISTRAR = "registrar"
DEFAULT_REGISTRAR = NearHeart.kind

Changes = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE"), tyro.conf.UseAppendAction]
"""The option ``--set``, which may be given several times."""


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

    registrar: Registrar = field(default_factory=NearHeart)
    reconstructor: Osem = field(default_factory=Osem)
    physics: Physics = field(default_factory=Physics)
    attenuation: AttenuationMap = field(default_factory=AttenuationMap)
    decision: Thresholds = field(default_factory=Thresholds)

    def sections(self) -> dict[str, Any]:
        """The settings by the name of their table."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def tables(self) -> dict[str, Table]:
        """The settings as nested dictionaries."""
        tables = {name: asdict(settings) for name, settings in self.sections().items() if name != REGISTRAR}
        return {REGISTRAR: REGISTRAR_CATALOGUE.table_of(self.registrar), **tables}


@dataclass(frozen=True)
class Tuning:
    """Settings of the algorithms, for the verbs that have them.

    Attributes:
        settings: TOML file of algorithm settings, from mureg settings or from beside a result (default: none).
        changes: change one setting, such as registrar.passes=3; repeatable; takes precedence over --settings.
    """

    settings: Path | None = None
    changes: Changes = ()

    def algorithms(self, registrar: str | None = None, sections: Sequence[str] = ()) -> Algorithms:
        """Every setting: the defaults, changed by the file, changed by ``--set``.

        Args:
            registrar: kind of registrar that ``--registrar`` names; None for that of the file, or the default.
            sections: tables that ``--set`` may change; all of them where left out.

        Raises:
            UsageError: a file that is missing or no TOML, a registrar, table or setting that does not exist, or a
                value that does not fit.
        """
        where = "--set" if self.settings is None else f"settings file {self.settings.name}"
        table = {} if self.settings is None else read_tables(self.settings)
        _refuse_unknown_tables(table, where)
        kind = registrar or str(table.get(REGISTRAR, {}).get("kind", DEFAULT_REGISTRAR))
        if table.get(REGISTRAR, {}).get("kind", kind) != kind:
            LOG.warning("--registrar %s: the settings of another registrar in the file are not used", kind)
            del table[REGISTRAR]
        _refuse_changes(self.changes, sections or _SECTIONS)
        changed = with_changes(table, self.changes)
        where = "--registrar" if registrar is not None and registrar not in REGISTRAR_CATALOGUE.names() else where
        return algorithms_of(changed, kind, "--set" if changed != table else where)


_SECTIONS = tuple(one.name for one in fields(Algorithms))
_CLASSES: dict[str, type] = {
    "reconstructor": Osem,
    "physics": Physics,
    "attenuation": AttenuationMap,
    "decision": Thresholds,
}


def algorithms_of(tables: Mapping[str, Table], registrar: str, where: str) -> Algorithms:
    """Settings from plain tables. Raises `UsageError` for the first mistake; see `Tuning.algorithms`."""
    defaults = Algorithms().tables()
    others: dict[str, Any] = {
        name: validated(_CLASSES[name], merged(defaults[name], table), where, name)
        for name, table in tables.items()
        if name != REGISTRAR
    }
    return Algorithms(_registrar_of(tables.get(REGISTRAR, {}), registrar, where), **others)


def _registrar_of(table: Table, kind: str, where: str) -> Registrar:
    """A registrar of mureg, of another package, or by its module, with the settings of a table."""
    if kind in REGISTRARS:
        chosen: type[Any] = REGISTRARS[kind]
    else:
        if ":" not in kind and kind not in (names := REGISTRAR_CATALOGUE.names()):
            raise UsageError(
                f"{where}: there is no registrar {kind}",
                f"{nearest(kind, names)}, or package.module:Class",
                "see mureg register --help",
            )
        return registrar_from({**table, "kind": kind})
    registrar: Registrar = validated(chosen, merged(asdict(chosen()), table), where, REGISTRAR)
    return registrar


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
            remedy = "choose the registrar with --registrar" if path[0] == REGISTRAR else "leave it out"
            raise UsageError(f"--set {change}: kind is not a setting", "a setting of the algorithm", remedy)
