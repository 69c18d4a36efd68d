"""Inputs that are refused unless they are asked for by name: options that register and batch share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """What may be read that is refused otherwise.

    Attributes:
        phantom: the CT shows a test object, such as a cylinder of water, and no chest: its HU are not checked against
            those of air and soft tissue in a chest.
        allow_corrected_spect: register a SPECT that is corrected for attenuation already; the result says so first.
        allow_derived: register a series that mureg wrote, such as a moved CT, where it is named or alone in its folder.
    """

    phantom: bool = False
    allow_corrected_spect: bool = False
    allow_derived: bool = False

    def as_arguments(self) -> dict[str, Any]:
        """For `mureg.io.read_study`."""
        return {
            "phantom": self.phantom,
            "allow_corrected_spect": self.allow_corrected_spect,
            "allow_derived": self.allow_derived,
        }
