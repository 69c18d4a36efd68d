"""Small networks stand in the catalogue while training is tested."""

from __future__ import annotations

import pytest

from mureg.registration.networks import NETWORKS
from support.tiny_network import ALL


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch) -> None:
    for kind, settings in ALL.items():
        monkeypatch.setitem(NETWORKS, kind, settings)
