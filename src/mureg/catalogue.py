"""Algorithms by name: those of mureg, those of other packages (entry points), and any class by its module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import Enum
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from mureg.errors import UsageError
from mureg.files.settings import Table
from mureg.files.validation import merged, nearest, validated


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Classes of one sort, each chosen by its `kind`.

    Attributes:
        noun: what one of them is called in messages.
        group: of the entry points by which other packages add theirs; the name of an entry point is the `kind`.
        method: that each must have, beside `kind`.
        shipped: those that come with mureg; one line for each.
        former: names of mureg 0.1.0, and the names now.
    """

    noun: str
    group: str
    method: str
    shipped: Mapping[str, type[Any]]
    former: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Every kind that is installed, those of mureg first; nothing is loaded."""
        return tuple(dict.fromkeys((*self.shipped, *sorted(point.name for point in self._points()))))

    def current(self, name: str) -> str:
        """The name now of what mureg 0.1.0 called otherwise."""
        return self.former.get(name, name)

    def class_of(self, name: str, *, imports: bool = True) -> type[Any]:
        """The class of a name.

        Args:
            name: a kind of mureg, the name of an entry point, or ``package.module:Class``.
            imports: load the module of ``package.module:Class``; otherwise it must be loaded already, as for names that
                come from files which others wrote.

        Raises:
            UsageError: no such name, two packages that claim it, a module that cannot be loaded, or a class that lacks
                `kind` or the method.
        """
        name = self.current(name)
        if name in self.shipped:
            return self.shipped[name]
        if ":" in name:
            return self._checked(self._by_module(name, imports=imports), name)
        points = {point.value: point for point in self._points() if point.name == name}
        if len(points) > 1:
            raise UsageError(
                f"two installed packages with a {self.noun} named {name!r} ({', '.join(sorted(points))})",
                "one package for each name",
                "uninstall one of them, or name the class itself as package.module:Class",
            )
        for point in points.values():
            return self._checked(self._loaded(point), name)
        raise UsageError(
            f"no {self.noun} named {name!r}",
            f"{nearest(name, self.names())}, or package.module:Class",
            "correct the name, or install the package that has it",
        )

    def make(self, table: Mapping[str, Any], *, imports: bool = True, where: str = "", prefix: str = "") -> Any:
        """The algorithm that a table of settings describes: its kind, or the name of its class, and its fields.

        Args:
            table: what is missing keeps its default, in nested tables the default of their place.
            imports: see `class_of`.
            where: place of the table for messages, such as "settings file a.toml"; the name of the algorithm if left
                out.
            prefix: dotted name of the table within that place.

        Raises:
            UsageError: as `class_of`, or settings that do not fit.
        """
        name = str(table.get("kind", ""))
        try:
            cls = self.class_of(name, imports=imports)
        except UsageError as problem:
            message = f"{where}: {problem.found}" if where else problem.found
            raise UsageError(message, problem.expected, problem.remedy) from problem
        place = where or f"the {self.noun} {name}"
        fields = {key: value for key, value in table.items() if key != "kind"}
        _refuse_unknown(cls, fields, place, prefix)
        try:
            TypeAdapter(cls)
        except PydanticSchemaGenerationError:  # no settings class: it checks its settings itself
            try:
                return cls(**fields)
            except (TypeError, ValueError) as problem:
                raise _do_not_fit(place, str(problem), "settings that fit together") from problem
        return validated(cls, _with_nested_defaults(cls, fields), place, prefix)

    def table_of(self, algorithm: Any) -> Table:
        """The settings of an algorithm as a table that `make` takes: plain values, paths as they are, nothing unset.

        `kind` is the one of the algorithm where that leads back to its class, else ``package.module:Class``.
        """
        table = {key: _plain(value) for key, value in settings_of(algorithm).items() if value is not None}
        return {**table, "kind": self.name_of(algorithm)}

    def name_of(self, algorithm: Any) -> str:
        """The name by which `class_of` gives the class of an algorithm."""
        cls, kind = type(algorithm), str(algorithm.kind)
        values = [point.value for point in self._points() if point.name == kind]
        by_module = f"{cls.__module__}:{cls.__qualname__}"
        return kind if self.shipped.get(kind) is cls or by_module in values else by_module

    def _points(self) -> Iterable[EntryPoint]:
        return entry_points(group=self.group)

    def _by_module(self, name: str, *, imports: bool) -> Any:
        module_name, _, path = name.partition(":")
        if not imports and module_name not in sys.modules:
            raise UsageError(
                f"a {self.noun} from the module {module_name}, which is not loaded",
                "a module that the program has imported, or an installed package that offers it by an entry point",
                f"import {module_name} first",
            )
        try:
            item: Any = import_module(module_name)
        except ModuleNotFoundError as problem:
            if problem.name is None or not f"{module_name}.".startswith(f"{problem.name}."):
                raise self._cannot_load(name, _reason(problem)) from problem
            raise self._cannot_load(name, f"there is no module {problem.name}") from problem
        except Exception as problem:  # whatever goes wrong in code that is not ours
            raise self._cannot_load(name, _reason(problem)) from problem
        for part in path.split("."):
            if not hasattr(item, part):
                raise self._cannot_load(name, f"there is no {part or 'class'} in {module_name}")
            item = getattr(item, part)
        return item

    def _loaded(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as problem:
            raise self._cannot_load(point.name, _reason(problem)) from problem

    def _cannot_load(self, name: str, reason: str) -> UsageError:
        return UsageError(
            f"the {self.noun} {name} cannot be loaded ({reason})",
            "package.module:Class of a package that Python can import",
            "correct the name, install the package, or add its folder to PYTHONPATH",
        )

    def _checked(self, item: Any, name: str) -> type[Any]:
        names = {
            key for cls in getattr(item, "__mro__", ()) for key in (*vars(cls), *vars(cls).get("__annotations__", ()))
        }
        absent = [needed for needed in ("kind", self.method) if needed not in names]
        if not isinstance(item, type) or absent:
            what = f"a class without {' and '.join(absent)}" if isinstance(item, type) else "no class"
            raise UsageError(
                f"{name} is {what}",
                f"a class with kind and {self.method}",
                "add what is missing, or name another class",
            )
        return item


def _do_not_fit(place: str, reason: str, expected: str) -> UsageError:
    return UsageError(f"{place}: {reason}", expected, "correct it; mureg settings lists every setting")


def _reason(problem: Exception) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())


def _refuse_unknown(cls: type[Any], fields: Table, place: str, prefix: str) -> None:
    """Refuse settings that a class does not have, which many would ignore, and those that it needs and are missing."""
    settings = _settings_of_class(cls)
    if settings is None:
        return
    dotted = {name: ".".join(part for part in (prefix, name) if part) for name in (*fields, *settings)}
    for name in fields:
        if name not in settings:
            raise _do_not_fit(place, f"there is no setting {dotted[name]}", nearest(name, settings))
    for name, is_required in settings.items():
        if is_required and name not in fields:
            raise _do_not_fit(place, f"{dotted[name]} is missing", "a value for it")


def _settings_of_class(cls: type[Any]) -> dict[str, bool] | None:
    """The names of the settings of a class, without its kind, and whether each is required; None where any is taken."""
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):  # a class in another language
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    own_parameters = {
        name: parameter
        for name, parameter in parameters.items()
        if name != "kind" and parameter.kind is not parameter.VAR_POSITIONAL
    }
    return {name: parameter.default is parameter.empty for name, parameter in own_parameters.items()}


def _with_nested_defaults(cls: type[Any], fields: Table) -> Table:
    """Fields whose nested tables are filled with the defaults of their place."""
    nested = {name: value for name, value in fields.items() if isinstance(value, Mapping)}
    if not nested:
        return fields
    try:
        defaults = settings_of(cls())
    except (TypeError, ValueError):  # it has required settings
        return fields
    return fields | merged({name: defaults[name] for name in nested if name in defaults}, nested)


def settings_of(algorithm: Any) -> Table:
    """The settings that an algorithm holds, by name: its fields, or the public attributes of a plain object."""
    if is_dataclass(algorithm) and not isinstance(algorithm, type):
        return asdict(algorithm)
    if isinstance(algorithm, BaseModel):
        return algorithm.model_dump()
    slots = [name for cls in type(algorithm).__mro__ for name in getattr(cls, "__slots__", ())]
    values = {name: getattr(algorithm, name) for name in slots if hasattr(algorithm, name)}
    values |= getattr(algorithm, "__dict__", {})
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _plain(value: Any) -> Any:
    """As TOML and JSON know it, paths and tuples left as they are; anything else by its words."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, list):
        return [*map(_plain, value)]
    if isinstance(value, Enum):
        return _plain(value.value)
    return value if isinstance(value, str | int | float | bool | PurePath) else str(value)
