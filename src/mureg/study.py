"""One patient visit, and many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mureg.errors import UsageError
from mureg.geometry import Quantity, Volume
from mureg.spect.acquisition import Acquisition
from mureg.spect.corrections import HuToMu, choose_conversion, mu_map


@dataclass(frozen=True)
class Source:
    """Where an input came from, without a patient's name: kind, number of files, SHA-256 over their bytes."""

    kind: Literal["spect", "ct", "mu", "transform"]
    files: int
    sha256: str


@dataclass(frozen=True)
class Ct:
    """A CT volume and what its header says of the tube.

    Attributes:
        volume: in HU, on its own grid; padding and truncated corners marked as outside.
        manufacturer, model: of the scanner, "" where unknown.
        kvp: tube voltage, None where unknown.
        notes: every guess made while reading, one sentence each.
    """

    volume: Volume
    manufacturer: str = ""
    model: str = ""
    kvp: float | None = None
    notes: tuple[str, ...] = ()

    def conversion(self) -> tuple[HuToMu, str]:
        """How HU become attenuation for this scanner and voltage, and a sentence on the guess made, "" for none."""
        return choose_conversion(self.manufacturer, self.model, self.kvp)

    def mu(self) -> tuple[Volume, str]:
        """The CT's voxels as attenuation (1/cm at 140.5 keV), table and contrast medium included; and that sentence."""
        conversion, note = self.conversion()
        return mu_map(self.volume, conversion), note


@dataclass(frozen=True)
class Study:
    """One patient visit: the emission and the attenuation side.

    Attributes:
        spect: projections, or a reconstructed uncorrected volume where no projections exist.
        attenuation: a CT, or a ready attenuation map in 1/cm.
        patient: pseudonym that keeps all visits of one person together in a split, "" where unknown.
        sources: what was read.
        notes: guesses made while reading that belong to neither side alone, one sentence each.
    """

    spect: Acquisition | Volume
    attenuation: Ct | Volume
    patient: str = ""
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.attenuation, Volume) and self.attenuation.quantity is not Quantity.MU_PER_CM:
            raise UsageError(
                f"an attenuation map in {self.attenuation.quantity.unit}",
                "1/cm",
                "convert it, or pass a Ct in HU",
            )
        if isinstance(self.spect, Volume) and self.spect.quantity not in (Quantity.ACTIVITY, Quantity.COUNTS):
            raise UsageError(
                f"a SPECT volume in {self.spect.quantity.unit}",
                "counts or activity",
                "pass the emission image",
            )
