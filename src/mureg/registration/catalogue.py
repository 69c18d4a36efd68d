"""Every registrar by name. One that comes with mureg is one file and one line here."""

from __future__ import annotations

from typing import Any

from mureg.catalogue import Catalogue
from mureg.registration.base import Registrar
from mureg.registration.by_hand import PoseByHand
from mureg.registration.combination.registrar import Combination
from mureg.registration.gradient_fields import GradientFields
from mureg.registration.likelihood.projection import ProfileLikelihood
from mureg.registration.mutual_information import MutualInformation
from mureg.registration.near_heart import NearHeart
from mureg.registration.network import NetworkRegistrar

REGISTRARS: dict[str, type] = {
    kind.kind: kind for kind in (Combination, MutualInformation, NearHeart, ProfileLikelihood, GradientFields)
}
"""Those that can be used without further files, by kind: help, settings files, command line and contract tests."""

REGISTRAR_CATALOGUE = Catalogue(
    "registrar",
    "mureg.registrars",
    "register",
    REGISTRARS | {NetworkRegistrar.kind: NetworkRegistrar, PoseByHand.kind: PoseByHand},
    {"learned": NetworkRegistrar.kind},
)


def registrar_named(name: str) -> type[Any]:
    """The class of a registrar: a kind of mureg, an entry point ``mureg.registrars``, or ``package.module:Class``.

    Raises:
        UsageError: see `Catalogue.class_of`.
    """
    return REGISTRAR_CATALOGUE.class_of(name)


def registrar_from(table: dict[str, Any]) -> Registrar:
    """The registrar that a table of settings with its `kind` describes; see `Catalogue.make`."""
    registrar: Registrar = REGISTRAR_CATALOGUE.make(table)
    return registrar
