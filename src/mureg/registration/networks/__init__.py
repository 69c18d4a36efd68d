"""Networks that predict rigid parameters from two images. A network is one file here and one line in the catalogue."""

from typing import Any

from mureg.catalogue import Catalogue
from mureg.errors import UsageError
from mureg.registration.networks.base import UNIT_MM, NetworkSettings, initialised, n_parameters
from mureg.registration.networks.dense import Dense, DenseNet
from mureg.registration.networks.dusfe import DenseNetDusfe, Dusfe
from mureg.registration.networks.dvnet import DvNet
from mureg.registration.networks.msreg import MsReg
from mureg.registration.networks.nonlocal_attention import CrossAttention, DenseNetNonLocal

NETWORKS: dict[str, type[NetworkSettings]] = {
    DenseNet.kind: DenseNet,
    DenseNetNonLocal.kind: DenseNetNonLocal,
    DenseNetDusfe.kind: DenseNetDusfe,
    DvNet.kind: DvNet,
    MsReg.kind: MsReg,
}
"""Settings of every network that comes with mureg, by kind: the contract tests read this."""


NETWORK_CATALOGUE = Catalogue("network", "mureg.networks", "build", NETWORKS)


def network_named(kind: str) -> type[Any]:
    """The class of a network's settings: a kind of mureg, an entry point ``mureg.networks``, or by its module.

    Raises:
        UsageError: see `Catalogue.class_of`.
    """
    return NETWORK_CATALOGUE.class_of(kind)


def preset(kind: str, size: str) -> NetworkSettings:
    """Settings of a network as in the paper, or small enough for a CPU.

    Args:
        kind: see `network_named`.
        size: ``paper`` for 80 x 80 x 40 voxels of 6.8 mm and the paper's widths; ``small`` for 32 x 32 x 32 voxels of
            13.6 mm and fewer channels.

    Raises:
        UsageError: there is no such network or size.
    """
    settings: type[NetworkSettings] = network_named(kind)
    if size not in ("paper", "small"):
        raise UsageError(f"no preset of size {size!r}", "paper or small", "choose one of these")
    if size == "small" and not hasattr(settings, "small"):
        raise UsageError(
            f"the network {kind} has no preset of size 'small'", "a class method small", "give its settings themselves"
        )
    return settings() if size == "paper" else settings.small()


__all__ = [
    "NETWORKS",
    "NETWORK_CATALOGUE",
    "UNIT_MM",
    "CrossAttention",
    "Dense",
    "DenseNet",
    "DenseNetDusfe",
    "DenseNetNonLocal",
    "Dusfe",
    "DvNet",
    "MsReg",
    "NetworkSettings",
    "initialised",
    "n_parameters",
    "network_named",
    "preset",
]
