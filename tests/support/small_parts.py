"""What makes training at the heart quick enough for a test: small networks, and a known heart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mureg.heart.find import HeartLocation
from mureg.registration import refined_pose
from mureg.registration.networks import NETWORKS
from mureg.training.heart import crops
from support.tiny_network import ALL

HEART = HeartLocation((38.0, -32.0, 12.0), 1.0)
"""Its finder is tested elsewhere, and takes seconds."""


@contextmanager
def small_parts() -> Iterator[None]:
    """Small networks by name, and `HEART` wherever crops and registration look for the heart."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, settings in ALL.items():
            patch.setitem(NETWORKS, kind, settings)
        for module in (crops, refined_pose):
            patch.setattr(module, "find_left_ventricle", lambda *_: HEART)
        yield
