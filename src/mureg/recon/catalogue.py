"""Every reconstruction by name. One that comes with mureg is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SkipValidation

from mureg.catalogue import Catalogue
from mureg.recon.base import Reconstructor
from mureg.recon.osem import Osem

RECONSTRUCTIONS: dict[str, type] = {Osem.kind: Osem}

RECONSTRUCTION_CATALOGUE = Catalogue("reconstruction", "mureg.reconstructions", "reconstruct", RECONSTRUCTIONS)


def reconstruction_named(name: str) -> type[Any]:
    """The class of a reconstruction: a kind of mureg, an entry point ``mureg.reconstructions``, or by its module.

    Raises:
        UsageError: see `Catalogue.class_of`.
    """
    return RECONSTRUCTION_CATALOGUE.class_of(name)


def reconstruction_from(table: dict[str, Any]) -> Reconstructor:
    """The reconstruction that a table of settings with its `kind` describes; see `Catalogue.make`."""
    reconstructor: Reconstructor = RECONSTRUCTION_CATALOGUE.make(table)
    return reconstructor


def _from_table(value: Any) -> Any:
    return RECONSTRUCTION_CATALOGUE.make({"kind": Osem.kind, **value}) if isinstance(value, Mapping) else value


AnyReconstructor = Annotated[Reconstructor, SkipValidation, BeforeValidator(_from_table)]
"""Field of a settings class: a reconstruction, or its table with `kind`."""
