"""The registration in words and numbers, as the quality picture states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mureg.geometry import Grid
from mureg.geometry.rigid import Triple
from mureg.pipeline import Outcome
from mureg.registration import Registration

_TOWARD = (
    ("to the patient's left", "to the patient's right"),
    ("to the back", "to the front"),
    ("to the head", "to the foot"),
)


@dataclass(frozen=True)
class Displacement:
    """How far the anatomy of the map was moved at one place.

    Attributes:
        mm: along x (left), y (back), z (head).
        pixels: the same in SPECT voxels.
    """

    mm: Triple
    pixels: Triple

    @property
    def length_mm(self) -> float:
        """How far altogether."""
        return float(np.linalg.norm(self.mm))

    @property
    def length_pixels(self) -> float:
        """How far altogether, in SPECT voxels."""
        return float(np.linalg.norm(self.pixels))

    @property
    def toward(self) -> tuple[str, str, str]:
        """Where to, axis by axis: "to the patient's left"."""
        x, y, z = (way[0] if mm >= 0 else way[1] for mm, way in zip(self.mm, _TOWARD, strict=True))
        return x, y, z

    def words(self) -> list[str]:
        """One line per axis: "9.0 mm to the patient's left (1.3 pixels)"."""
        return [
            f"{abs(mm):.1f} mm {toward} ({abs(pixels):.1f} pixels)"
            for mm, toward, pixels in zip(self.mm, self.toward, self.pixels, strict=True)
        ]


def displacement_at(registration: Registration, point_mm: npt.ArrayLike, spect_grid: Grid) -> Displacement:
    """How the map's anatomy at a point moved when it was laid onto the SPECT.

    ``ct_from_spect`` maps SPECT points to CT points, so anatomy that the headers put at q is seen at
    ``ct_from_spect.inverse()`` of q: the map moves by the inverse of the registration.

    Args:
        registration: the pose.
        point_mm: q, where the headers put the anatomy, LPS+.
        spect_grid: whose voxels are the pixels.
    """
    point = np.asarray(point_mm, dtype=np.float64)
    moved = registration.ct_from_spect.inverse().apply(point) - point
    per_mm = np.linalg.norm(np.linalg.inv(spect_grid.affine[:3, :3]), axis=0)
    pixels = moved * per_mm
    return Displacement(_triple(moved), _triple(pixels))


def six_numbers(registration: Registration) -> list[str]:
    """The shift, angles and centre exactly as registration.json holds them, rounded."""

    def row(values: Triple, style: str) -> str:
        return "   ".join(f"{axis} {value:{style}}" for axis, value in zip("xyz", values, strict=True))

    return [
        f"shift_mm     {row(registration.shift_mm, '+.1f')}",
        f"angles_deg   {row(registration.angles_deg, '+.1f')}",
        f"centre_mm    {row(registration.centre_mm, '.1f')}",
    ]


def shortened(sentence: str, width: int) -> str:
    """The beginning of a sentence, cut between words."""
    if len(sentence) <= width:
        return sentence
    return sentence[: width - 1].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def _triple(values: npt.NDArray[np.float64]) -> Triple:
    x, y, z = values
    return float(x), float(y), float(z)


def corrected_for(outcome: Outcome) -> str:
    """Which effects the corrected image models, in words."""
    if outcome.spect_corrected is None:
        return "nothing: no corrected image was made"
    effects, physics = ["attenuation"], outcome.provenance.settings.get("physics", {})
    scatter = physics.get("scatter", "none")
    if physics.get("resolution"):
        effects.append("resolution")
    effects.append("no scatter" if scatter == "none" else f"scatter ({scatter.replace('-', ' ')})")
    return ", ".join(effects)


_ONLY_WITH_FILTER = {"fwhm_mm": "gaussian", "cutoff_per_cm": "butterworth", "order": "butterworth"}


def reconstruction_in_words(settings: Mapping[str, object]) -> str:
    """An algorithm and those of its settings that took part: none of a filter that is off, no limit of 0."""
    used = {}
    for name, value in settings.items():
        of_filter = _ONLY_WITH_FILTER.get(name)
        if name == "kind" or (of_filter is not None and of_filter != settings.get("post_filter")):
            continue
        if (name, value) in (("post_filter", "none"), ("stop_below", 0.0)):
            continue
        used[name] = value
    named = ", ".join(f"{name} {value}" for name, value in used.items())
    kind = settings.get("kind", "reconstruction")
    return f"{kind} ({named})" if named else str(kind)
