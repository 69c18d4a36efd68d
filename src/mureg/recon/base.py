"""Interface of a reconstruction."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from mureg.geometry import Volume
from mureg.spect import Acquisition, SystemModel


@runtime_checkable
class Reconstructor(Protocol):
    """A reconstruction algorithm; the object is its frozen settings."""

    @property
    def kind(self) -> str:
        """The name under which it is chosen."""
        ...

    def reconstruct(self, acquisition: Acquisition, system: SystemModel) -> Volume:
        """Estimate the activity (counts per voxel and view) on `system.grid` from the photopeak counts."""
        ...
