"""The distance of the thoracic vertebrae along the spine: a scale that every chest carries, whatever its header says.

Rib heads and transverse processes stand out beside the spinal canal once for every vertebra. Their brightness along
the spine is compared with waves of all lengths; a wave grows towards the feet as vertebrae do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mureg.attenuation.body import PIECE_OF_LUNG, TISSUE_ABOVE, filled
from mureg.attenuation.hu_to_mu import MU_WATER_PER_CM
from mureg.attenuation.spine import find_spine
from mureg.geometry import Quantity, Volume
from mureg.geometry.morphology import Mask

Numbers = npt.NDArray[np.float64]

_BONE_PER_CM_AND_HU = 1.1e-4
"""Attenuation of bone over that of water at 140.5 keV for each HU above 0, the middle of the published tables."""
_LUNG_BELOW_PER_CM = 0.077
"""Half of the attenuation of water."""
_BESIDE_MM, _BEHIND_MM = (24.0, 40.0), (-20.0, 14.0)
"""Where rib heads and transverse processes lie, from the middle of the canal to both sides and to the back."""
_DIM_HU, _BRIGHT_HU = 100.0, 600.0
"""Above soft tissue; and no more for the densest cortical bone, so that few voxels do not decide. Chosen."""
_LENGTHS_MM, _SLICES_A_WAVE = (10.0, 70.0), 2.3
"""Hold the distance in adults (23 to 29 mm) by headers that are wrong by a factor of 2 either way, and rivals; a wave
needs more than two slices (sampling theorem)."""
_GROWTHS = (0.0, 0.012, 0.024, 0.036, 0.048)
"""By how much a vertebra is lower than the next one below: none, as in test objects, to 5 %; 3 % between T5 and T12 in
Panjabi et al., Spine 1991;16:888-901."""
_TREND = 0.55
"""Sigma of the trend that is taken out before, in lengths of the wave; chosen."""
_AT_VERTEBRA = 4.0
"""The distance is stated so many vertebrae above the lowest slice with lung, about T8; at the lowest vertebra where the
CT ends above the base of the lungs."""
_LEAST_STRENGTH, _LEAST_LEAD, _LEAST_EVIDENCE, _FEWEST_VERTEBRAE = 0.3, 1.8, 12.0, 5.0
"""Set on thirteen patients (docs/concepts/decision.md)."""


@dataclass(frozen=True)
class VertebralSpacing:
    """What the vertebrae of a chest say.

    Attributes:
        mm: distance of neighbouring thoracic vertebrae (about T8) along z, by the slice spacing of the header.
        strength: share of the variation beside the spine that the wave explains, 0 to 1.
        rival: that of the best wave of another length.
    """

    mm: float
    strength: float
    rival: float


def vertebral_spacing(body: Volume) -> VertebralSpacing | None:
    """Measure the distance of the thoracic vertebrae; None where it cannot be measured.

    It cannot be measured from fewer than five vertebrae, too few slices a vertebra, or a pattern that is not clear.

    Args:
        body: attenuation of the body alone, 1/cm, its indices in patient order (`AttenuationMaps.body`).
    """
    mu = np.asarray(body, dtype=np.float32)
    spacing = np.asarray(body.grid.spacing_mm)
    inside = filled(mu > TISSUE_ABOVE[Quantity.MU_PER_CM])
    lung = _slices_with_lung(mu, inside)
    body_slices = np.flatnonzero(inside.any((0, 1)))
    if not lung.any() or len(body_slices) == 0:
        return None
    base = int(lung.argmax())
    brightness = _beside_spine((mu - MU_WATER_PER_CM) / _BONE_PER_CM_AND_HU, inside, spacing, np.cumsum(lung) == 0)
    at_vertebra = _AT_VERTEBRA if base > body_slices[0] else 0.0
    return _best_wave(brightness[max(base - 1, body_slices[0]) : body_slices[-1] + 1], float(spacing[2]), at_vertebra)


def _slices_with_lung(mu: npt.NDArray[np.float32], inside: Mask) -> Mask:
    """Which slices hold a part of a lung; gas in the bowel is smaller."""
    pieces, n = ndimage.label(ndimage.binary_erosion(inside & (mu < _LUNG_BELOW_PER_CM)))
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)
    sizes[0] = 0
    return np.asarray(((sizes > PIECE_OF_LUNG * sizes.max()) & (sizes > 0))[pieces].any((0, 1)))


def _beside_spine(hu: npt.NDArray[np.float32], inside: Mask, spacing_mm: Numbers, lumbar: Mask) -> Numbers:
    """Mean brightness [z] of the bone to both sides of the spinal canal."""
    canal = find_spine(hu, inside, spacing_mm, lumbar).canal
    x = np.abs((np.arange(hu.shape[0])[:, None, None] - canal[:, 0]) * spacing_mm[0])
    y = (np.arange(hu.shape[1])[None, :, None] - canal[:, 1]) * spacing_mm[1]
    beside = (x >= _BESIDE_MM[0]) & (x <= _BESIDE_MM[1]) & (y >= _BEHIND_MM[0]) & (y <= _BEHIND_MM[1])
    bone = np.clip(hu, _DIM_HU, _BRIGHT_HU) - _DIM_HU
    return np.asarray(np.where(beside, bone, 0.0).sum((0, 1)) / np.maximum(beside.sum((0, 1)), 1), dtype=np.float64)


def _best_wave(brightness: Numbers, slice_mm: float, at_vertebra: float) -> VertebralSpacing | None:
    """The wave that explains a profile best, its length at one of the vertebrae; None where none stands out."""
    shortest = max(_LENGTHS_MM[0], _SLICES_A_WAVE * slice_mm)
    if shortest >= _LENGTHS_MM[1]:
        return None
    # steps of 1 %: a tenth of what separates two patterns
    lengths = np.exp(np.arange(np.log(shortest), np.log(_LENGTHS_MM[1]), 0.01))
    strengths = np.array([_strengths(brightness, slice_mm / length) for length in lengths])
    at_place = lengths[:, None] * (1.0 - at_vertebra * np.asarray(_GROWTHS))
    best = np.unravel_index(strengths.argmax(), strengths.shape)
    strength, mm = float(strengths[best]), float(at_place[best])
    reach_mm = len(brightness) * slice_mm
    # waves that differ by less than one period over the whole profile, or by 12 %, are the same pattern
    another = (np.abs(1.0 / at_place - 1.0 / mm) * reach_mm > 1.0) & (np.abs(np.log(at_place / mm)) > 0.12)
    rival = float(strengths[another].max(initial=0.0))
    is_clear = strength >= max(_LEAST_STRENGTH, _LEAST_LEAD * rival, _LEAST_EVIDENCE / max(len(brightness), 1))
    return VertebralSpacing(mm, strength, rival) if is_clear and reach_mm >= _FEWEST_VERTEBRAE * mm else None


def _strengths(brightness: Numbers, slices_per_wave: float) -> Numbers:
    """Share of a profile's variation that a wave explains, for every growth.

    Args:
        brightness: from the lowest slice upwards.
        slices_per_wave: slice spacing as a share of the lowest wave's length.
    """
    trend = ndimage.gaussian_filter1d(brightness, _TREND / slices_per_wave, mode="nearest")
    detail = brightness - trend
    height = np.arange(len(brightness), dtype=np.float64) * slices_per_wave
    waves = np.exp(-2j * np.pi * np.array([_vertebra_at(height, growth) for growth in _GROWTHS]))
    return np.asarray(2.0 * np.abs(waves @ detail) ** 2 / max(len(detail) * float(detail @ detail), 1e-9))


def _vertebra_at(height: Numbers, growth: float) -> Numbers:
    """Number of vertebrae up to a height, in units of the lowest one, where each is lower than the one below."""
    if growth == 0.0:
        return height
    return np.asarray((1.0 - np.sqrt(np.maximum(1.0 - 2.0 * growth * height, 0.05))) / growth)
