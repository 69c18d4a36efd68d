"""Safety checks that can be switched off by name: options that register and batch share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """Inputs that are refused otherwise.

    Attributes:
        phantom: the CT shows a test object, not a chest: skip the check of its HU.
        allow_corrected_spect: accept a SPECT that is already attenuation-corrected; the result says so first.
        allow_derived: accept a series that mureg wrote, such as a moved CT.
    """

    phantom: bool = False
    allow_corrected_spect: bool = False
    allow_derived: bool = False

    def as_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `mureg.io.read_study`."""
        return {
            "phantom": self.phantom,
            "allow_corrected_spect": self.allow_corrected_spect,
            "allow_derived": self.allow_derived,
        }
