"""Whether the values of a CT are HU: the two peaks that every chest CT has, air and soft tissue, are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from mureg.errors import UnitsError
from mureg.geometry import Quantity, Volume

AIR_HU = (-1060.0, -960.0)
"""Where the peak of air must lie: -1000 HU by definition, with room for scanners whose air lies at -1024 and noise."""

SOFT_TISSUE_HU = (-120.0, 80.0)
"""Where soft tissue must lie: fat at -110, water at 0, muscle and organs up to 70 HU."""

# The shares and widths below were chosen, then checked: 22 real CTs are read and their damaged copies are refused
# (docs/reference/inputs.md, HU are measured).
LOWEST_HU = -1500
"""Lower than noise and offsets bring air (-1000 HU): padding, such as -2000 or -3024."""
_HIGHEST = 4000
"""Above what 12 bits hold with an intercept of -1024 (3071 HU)."""
_SMOOTHING_HU = 8.0  # sigma; chosen
_SAMPLES = 4_000_000  # voxels: the least of the shares below, 0.002, is then 8000 of them
_PLATEAU_SHARE = 0.01  # of the known voxels with exactly the lowest value
_PLATEAU_RATIO = 5.0  # and so many times more than have any one of the values right above it
_NEAR_PLATEAU_HU = 60.0  # from padding to the peak of air: -1024 to -1000 and noise
_MOST_PADDING = 10.0  # times the voxels in the peak of air; a cylinder of a field in a square has 0.3
_PEAK_SHARE = 0.002  # of the known voxels within 20 HU
_PEAK_HALF_WIDTH = 20  # HU; chosen
_SOFT_SHARE = 0.10  # of what is denser than lung
_LOW_EDGE_HU = (-1300.0, -850.0)  # lung, trachea or bowel of a field without any air around the body
_LOW_EDGE_PERCENTILE = 0.005  # one voxel in 20,000: single ones may be artefacts
_SHIFTED_AIR_HU = (-990.0, -960.0)
"""Air at -976 HU, where an intercept of -1000 in place of -1024 puts it, with room for noise."""
_SHIFTED_SHARE = 0.05  # of the known voxels: only air around the body says where air lies
_MUCH_DENSER = 0.05  # of the voxels: not water with a few inserts in it

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HuScale:
    """The peaks of a CT's known voxels.

    Attributes:
        air_hu: the lowest peak.
        air_share: share of the known voxels within 20 HU of it.
        low_edge_hu: the lowest values but for one voxel in 20,000.
        soft_hu: soft tissue; where nothing is near its place, the highest peak above air.
        soft_share: share of what is denser than lung that lies where soft tissue must.
        clipped_hu: the lowest value, where so many voxels have exactly that value that the range was cut there.
        denser_share: share of the known voxels at least 500 HU above the lowest peak.
    """

    air_hu: float
    air_share: float
    low_edge_hu: float
    soft_hu: float
    soft_share: float
    clipped_hu: float | None
    denser_share: float

    @property
    def has_air(self) -> bool:
        """Whether the lowest peak is air, or a field without air around the body holds lung, trachea or bowel gas."""
        if AIR_HU[0] <= self.air_hu <= AIR_HU[1]:
            return True
        is_cut = self.clipped_hu is not None and self.clipped_hu > AIR_HU[1]
        return self.air_hu > AIR_HU[1] and not is_cut and _LOW_EDGE_HU[0] <= self.low_edge_hu <= _LOW_EDGE_HU[1]

    @property
    def has_soft_tissue(self) -> bool:
        """Whether a good part of what is denser than lung lies where soft tissue must."""
        return self.soft_share >= _SOFT_SHARE

    @property
    def is_shifted(self) -> bool:
        """Whether air lies where an intercept of -1000 in place of -1024 puts it, and nothing lies lower."""
        shifted = _SHIFTED_AIR_HU[0] <= self.air_hu <= _SHIFTED_AIR_HU[1]
        # nothing below air but rounding
        return shifted and self.air_share >= _SHIFTED_SHARE and self.low_edge_hu >= -1002.0


def hu_scale(volume: Volume) -> HuScale:
    """Measure the peaks in the known voxels of a CT in HU, padding left out; see `peaks_of`."""
    values = volume.values
    return peaks_of(values[~volume.outside] if volume.outside is not None else values)


def peaks_of(hu: npt.NDArray[Any]) -> HuScale:
    """Measure the peaks of voxels that are known, of any shape.

    A value that very many voxels share at the lower end of the range is padding that no header declared if the peak of
    air lies right above it; otherwise the range was cut there, and that value is the lowest peak.

    Raises `UnitsError` where no voxel is known.
    """
    hu = hu.ravel()
    hu = hu[:: max(1, hu.size // _SAMPLES)]
    hu = hu[(hu >= LOWEST_HU) & (hu <= _HIGHEST)]
    if not hu.size:
        raise UnitsError("a CT without a known voxel between -1500 and 4000", "a chest", "export the series again")
    counts = np.bincount(np.rint(hu).astype(np.int64) - LOWEST_HU, minlength=_HIGHEST - LOWEST_HU + 1).astype(float)
    plateau = _plateau(counts)
    air = _lowest_peak(counts)
    if plateau is not None:
        above = _lowest_peak(counts[plateau + 1 :])
        air = plateau
        if above is not None and above < _NEAR_PLATEAU_HU:
            peak = plateau + 1 + above
            is_padding = counts[plateau] <= _MOST_PADDING * _around(counts[plateau + 1 :], above)
            air = peak if is_padding else plateau
    if air is None:
        air = int(np.flatnonzero(counts)[0])
    soft, soft_share = _soft_tissue(counts, air)
    total = counts.sum()
    return HuScale(
        air_hu=float(air + LOWEST_HU),
        air_share=float(_around(counts, air) / total),
        low_edge_hu=float(np.percentile(hu, _LOW_EDGE_PERCENTILE, method="higher")),
        soft_hu=float(soft + LOWEST_HU),
        soft_share=soft_share,
        clipped_hu=None if plateau is None else float(plateau + LOWEST_HU),
        denser_share=float(counts[air + 500 :].sum() / total),
    )


def require_hu_scale(volume: Volume, *, phantom: bool = False) -> tuple[str, ...]:
    """Refuse a CT whose values are not HU; return what is odd about its scale, one sentence each.

    Args:
        volume: a CT read as HU.
        phantom: a test object and no chest: it may lack air or soft tissue, not have both in the wrong place.

    Raises:
        UnitsError: air or soft tissue is not where it must be; the sentence names both values and the likely cause.
    """
    if volume.quantity is not Quantity.HU:
        raise UnitsError(f"a CT in {volume.quantity.unit}", "HU", "pass the CT as HU")
    scale = hu_scale(volume)
    if phantom:
        return _phantom(scale)
    if not (scale.has_air and scale.has_soft_tissue):
        raise _refusal(scale, "; for a test object that is no chest give --phantom")
    if scale.is_shifted:
        return (
            f"air in the CT lies at {scale.air_hu:.0f} HU, not at -1000, and soft tissue at {scale.soft_hu:.0f} HU: "
            "the rescale intercept was probably -1000 in place of -1024, which makes all "
            "attenuation 2 % too high",
        )
    return ()


def _phantom(scale: HuScale) -> tuple[str, ...]:
    water_alone = SOFT_TISSUE_HU[0] <= scale.air_hu <= SOFT_TISSUE_HU[1] and scale.denser_share <= _MUCH_DENSER
    if not (water_alone or AIR_HU[0] <= scale.air_hu <= AIR_HU[1]):
        raise _refusal(scale, "")
    return (
        f"the CT was given as a phantom: peaks at {scale.air_hu:.0f} and {scale.soft_hu:.0f} HU, "
        "not checked against a chest",
    )


def _refusal(scale: HuScale, also: str) -> UnitsError:
    cause, remedy = _cause(scale)
    return UnitsError(
        f"CT values with air at {scale.air_hu:.0f} and soft tissue at {scale.soft_hu:.0f}, which are not HU ({cause})",
        "air near -1000 HU and soft tissue between -120 and 80 HU",
        remedy + also,
    )


def _cause(scale: HuScale) -> tuple[str, str]:
    """What probably happened to the values, and what to do about it."""
    # air and soft tissue (0 to 70 HU) with an offset of 1000 or 1024, and room for noise
    if 900 <= scale.soft_hu <= 1150 and -100 <= scale.air_hu <= 150:
        return (
            "probably stored values, HU + 1024 or HU + 1000",
            "export the series with its rescale intercept, or subtract the offset before use",
        )
    if scale.clipped_hu is not None and AIR_HU[1] < scale.clipped_hu >= scale.air_hu - 2.0:
        # so low it may be air by a lost slope as well: -500 HU for one half
        or_slope = ", or the rescale slope is lost" if scale.clipped_hu <= -300.0 else ""
        return (
            f"probably cut to a display window that begins at {scale.clipped_hu:.0f}{or_slope}",
            "export the original series and no copy made for display",
        )
    # a slope of 0.2 or more: below that, air cannot be told from soft tissue
    if AIR_HU[1] < scale.air_hu < -200 or (not scale.has_air and scale.has_soft_tissue):
        factor = scale.air_hu / -1000.0
        return (
            f"probably multiplied by {factor:.2g}: the rescale slope is lost or wrong",
            "export the series with its rescale slope",
        )
    return "rescale slope or intercept lost, or no chest", "export the series with its rescale slope and intercept"


def _plateau(counts: Counts) -> int | None:
    """Index of the lowest value where far more voxels have exactly that value than have its neighbours."""
    lowest = int(np.flatnonzero(counts)[0])
    beside = counts[lowest + 1 : lowest + 21]  # 20 HU, as many as a peak has on either side
    occupied = beside[beside > 0]
    usual = float(np.median(occupied)) if occupied.size else 0.0
    is_plateau = counts[lowest] >= _PLATEAU_SHARE * counts.sum() and counts[lowest] > _PLATEAU_RATIO * usual
    return lowest if is_plateau else None


def _lowest_peak(counts: Counts) -> int | None:
    """Index of the lowest maximum of the smoothed histogram that holds enough voxels; None where there is none.

    A histogram that falls from its first value on has its peak there: reflection keeps smoothing from moving it.
    """
    total = counts.sum()
    if total == 0:
        return None
    smooth = gaussian_filter1d(counts, _SMOOTHING_HU, mode="reflect")
    before = np.concatenate([[-np.inf], smooth[:-1]])
    after = np.concatenate([smooth[1:], [-np.inf]])
    for peak in np.flatnonzero((smooth > before) & (smooth >= after)):
        if _around(counts, int(peak)) >= _PEAK_SHARE * total:
            return int(peak)
    return None


def _around(counts: Counts, index: int) -> float:
    return float(counts[max(0, index - _PEAK_HALF_WIDTH) : index + _PEAK_HALF_WIDTH + 1].sum())


def _soft_tissue(counts: Counts, air: int) -> tuple[int, float]:
    """Index of the peak of soft tissue, and the share of what is denser than lung that lies where it must."""
    air_hu = air + LOWEST_HU
    # 500 HU above air, half way to water; where air lies too high (a lost slope), -300 HU or close above it
    first = air_hu + 500 if air_hu > -100 else min(air_hu + 500, max(air_hu + 50, -300))
    smooth = gaussian_filter1d(counts, _SMOOTHING_HU, mode="constant")
    beyond_lung = counts[first - LOWEST_HU :]
    low, high = (int(v) - LOWEST_HU for v in SOFT_TISSUE_HU)
    inside: Any = counts[low : high + 1].sum() if first <= SOFT_TISSUE_HU[1] else 0.0
    share = float(inside / beyond_lung.sum()) if beyond_lung.sum() else 0.0
    if share >= _SOFT_SHARE:
        return low + int(smooth[low : high + 1].argmax()), share
    return first - LOWEST_HU + int(smooth[first - LOWEST_HU :].argmax()), share
