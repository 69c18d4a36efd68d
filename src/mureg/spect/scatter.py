"""Scatter, always added to the model and never taken from the data.

Two kinds: simulated from the current activity and the map (its shape is what the pose hangs on), or estimated from
other energy windows as is usual in the clinic.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.errors import UsageError
from mureg.geometry import Array, Volume
from mureg.jobs.threads import in_threads
from mureg.spect.acquisition import Acquisition, EnergyWindow
from mureg.spect.collimator import FWHM_PER_SIGMA
from mureg.spect.compton import COMPTON_SHARE, LINE_KEV, Crystal, into_window, sphere
from mureg.spect.flux import incoming_flux
from mureg.spect.stages import band_matrix, gaussian_kernel, toward_detector
from mureg.spect.system import SystemModel, detector_order
from mureg.spect.views import ViewBlock

_COARSE_MM = 13.6
"""Two pixels of a usual cardiac SPECT; what that costs is measured in docs/concepts/scatter.md (Limits)."""
_SYSTEMS_KEPT = 2
"""Systems of which the coarse ones are kept: two images of a study are reconstructed side by side."""
_SLOPE = -0.75
"""Of the cubic kernel at a distance of one sample, as in PyTorch and OpenCV."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SimulatedScatter:
    """Single scatter by Klein-Nishina through the map, with a build-up for what scatters again.

    On a coarse grid, every voxel collects the activity that shines on it from every direction through the map (Watson,
    IEEE Trans Nucl Sci 2000, in the geometry of a parallel-hole camera). What is scattered from there towards each
    detector, with the loss of energy that decides whether it is counted, becomes a source of its own; it is weighted
    by the local map, attenuated and blurred by the ordinary projector, and spread onto the detector's pixels: scatter
    has no fine detail. Photons that scatter again are lost to the first order but not to the window: the deeper they
    start, the more of them are counted all the same, so the attenuation on the way out is taken as less than it is.

    Attributes:
        multiple: all orders of scatter over the first at the surface, in the photopeak window. This and the following
            three are fitted to a Monte Carlo (see docs/concepts/scatter.md).
        buildup: share of the attenuation on the way out that further scatter makes up for, in the photopeak window.
        multiple_lower: as `multiple`, in the lower window.
        buildup_lower: as `buildup`, in the lower window.
        amount: scale the result as the model says, or so that the counts it expects in a lower energy window are those
            measured there (needs an acquisition with such a window).
        directions: from which the light is collected.
        resolution: energy resolution of the crystal at 140.5 keV, as a share.
        refresh_after: iterations after which it is made anew.
    """

    multiple: Annotated[float, Field(ge=1, le=3)] = 1.06
    buildup: Annotated[float, Field(ge=0, lt=1)] = 0.125
    multiple_lower: Annotated[float, Field(ge=1, le=4)] = 1.225
    buildup_lower: Annotated[float, Field(ge=0, lt=1)] = 0.25
    amount: Literal["model", "windows"] = "model"
    directions: Annotated[int, Field(ge=20, le=5000)] = 192
    resolution: Annotated[float, Field(gt=0, lt=1)] = 0.10
    refresh_after: tuple[int, ...] = (1, 3)
    kind: Literal["simulated"] = "simulated"

    @property
    def balanced(self) -> bool:
        """Whether a reconstruction should scale it so that primary and scatter make up what was measured."""
        return self.amount == "model"

    def estimate(self, system: SystemModel, activity: Volume) -> Float[Array, "view row column"]:
        """See `mureg.spect.system.ScatterModel.estimate`.

        Raises:
            UsageError: the system has no attenuation map, or no lower window to set the amount by.
        """
        if system.mu is None:
            raise UsageError(
                "simulated scatter without an attenuation map",
                "a map to scatter in",
                "give a map or choose another scatter",
            )
        acquisition = system.acquisition
        photopeak = acquisition.windows[acquisition.photopeak]
        coarse = _coarse_system(system)
        passing = _passing(coarse, activity, sphere(self.directions))
        scattered = self._expected(coarse, passing, photopeak, (self.multiple, self.buildup), system)
        if self.amount == "windows":
            scattered = scattered * self._window_scale(system, coarse, passing, activity)
        return scattered

    def _expected(
        self,
        coarse: SystemModel,
        passing: Float[Array, "direction x y z"],
        window: EnergyWindow,
        orders: tuple[float, float],
        system: SystemModel,
    ) -> Float[Array, "view row column"]:
        assert coarse.mu is not None
        multiple, buildup = orders
        crystal, angles = Crystal(self.resolution), coarse.acquisition.angles_deg
        to_detector = np.column_stack([toward_detector(angles), np.zeros(len(angles))])
        cosine = -sphere(self.directions) @ to_detector.T  # directions point at where the light comes from
        # activity is in photopeak counts, of which the window takes a little less than all
        share = COMPTON_SHARE * multiple / float(crystal.accepted(LINE_KEV, coarse.acquisition.windows[0]))
        weights = (share * into_window(cosine, window, crystal)).astype(passing.dtype)
        towards = (weights.T @ passing.reshape(len(passing), -1)).reshape(-1, *passing.shape[1:])
        towards *= coarse.mu.values
        blocks = _leaving_blocks(coarse, buildup, towards.dtype.name)
        views = in_threads(lambda view: blocks[view].project(towards[view]), range(len(towards)))
        return _on_detector(detector_order(np.concatenate(views)), coarse.acquisition, system.acquisition)

    def _window_scale(
        self, system: SystemModel, coarse: SystemModel, passing: Float[Array, "direction x y z"], activity: Volume
    ) -> float:
        """Counts measured in the nearest lower window over those expected there."""
        acquisition, crystal = system.acquisition, Crystal(self.resolution)
        lower_index = lower_window(acquisition)
        window, photopeak = acquisition.windows[lower_index], acquisition.windows[acquisition.photopeak]
        orders = (self.multiple_lower, self.buildup_lower)
        scattered = float(self._expected(coarse, passing, window, orders, system).sum(dtype=np.float64))
        primary = float(system.project(activity.values).sum(dtype=np.float64))
        spill = float(crystal.accepted(LINE_KEV, window) / crystal.accepted(LINE_KEV, photopeak))
        measured = float(acquisition.counts[lower_index].sum(dtype=np.float64))
        return max(0.0, measured - spill * primary) / max(scattered, 1e-12)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class WindowScatter:
    """Scatter under the photopeak from neighbouring windows (Ogawa et al., IEEE Trans Med Imaging 1991).

    The counts per keV beside the photopeak bound a trapezium under it: lower and upper window for "triple"; the lower
    one alone, with nothing above, for "dual". Smoothed, since the windows hold few counts.

    Attributes:
        method: which windows to use.
        fwhm_mm: of the Gaussian that smooths the estimate.
    """

    method: Literal["dual", "triple"] = "dual"
    fwhm_mm: Annotated[float, Field(ge=0)] = 16.0
    refresh_after: tuple[int, ...] = (0,)
    kind: Literal["windows"] = "windows"

    @property
    def balanced(self) -> bool:
        """False: the energy windows measure the amount of scatter."""
        return False

    def estimate(self, system: SystemModel, activity: Volume) -> Float[Array, "view row column"]:
        """See `mureg.spect.system.ScatterModel.estimate`; the activity and the map are not used."""
        acquisition = system.acquisition
        photopeak = acquisition.windows[acquisition.photopeak]
        sides = [lower_window(acquisition)]
        if self.method == "triple":
            sides.append(upper_window(acquisition))
        per_kev = [acquisition.counts[side] / _width_kev(acquisition.windows[side]) for side in sides]
        estimate: Array = np.sum(per_kev, axis=0) * (_width_kev(photopeak) / 2.0)
        if self.fwhm_mm == 0:
            return estimate
        rows, columns = (
            band_matrix(gaussian_kernel((self.fwhm_mm / FWHM_PER_SIGMA / mm) ** 2), n).astype(estimate.dtype)
            for mm, n in zip(acquisition.pixel_mm, estimate.shape[1:], strict=True)
        )
        # near the edges part of the kernel leaves the detector: divide by what stays
        smooth: Array = (rows @ estimate @ columns) / (rows.sum(1)[:, None] * columns.sum(0))
        return smooth


def lower_window(acquisition: Acquisition) -> int:
    """Index of the window nearest below the photopeak; refused where there is none."""
    return _neighbour(acquisition, below=True)


def upper_window(acquisition: Acquisition) -> int:
    """Index of the window nearest above the photopeak; refused where there is none."""
    return _neighbour(acquisition, below=False)


def _neighbour(acquisition: Acquisition, *, below: bool) -> int:
    photopeak = acquisition.windows[acquisition.photopeak]
    middle = (photopeak.lower_kev + photopeak.upper_kev) / 2
    middles = {
        k: (window.lower_kev + window.upper_kev) / 2
        for k, window in enumerate(acquisition.windows)
        if k != acquisition.photopeak
    }
    candidates = {k: m for k, m in middles.items() if (m < middle) == below}
    if not candidates:
        raise UsageError(
            f"no energy window {'below' if below else 'above'} the photopeak among {len(acquisition.windows)}",
            "a scatter window",
            "choose simulated scatter or none",
        )
    return min(candidates, key=lambda k: abs(candidates[k] - middle))


def _width_kev(window: EnergyWindow) -> float:
    return window.upper_kev - window.lower_kev


def _passing(
    coarse: SystemModel, activity: Volume, directions: npt.NDArray[np.float64]
) -> Float[Array, "direction x y z"]:
    """Photons that pass the voxels of a coarse system from each direction, for each 1/cm of attenuation met."""
    assert coarse.mu is not None
    volume_cm3 = coarse.grid.voxel_volume_mm3 / 1000.0
    spread = activity.coarsened(coarse.grid.spacing_mm[0]).resampled(coarse.grid).values
    per_cm3 = spread / (activity.grid.voxel_volume_mm3 / 1000.0)
    spacing_cm = np.asarray(coarse.grid.spacing_mm) / 10.0
    flux = incoming_flux(per_cm3, coarse.mu.values.astype(per_cm3.dtype, copy=False), spacing_cm, directions)
    flux *= volume_cm3 / len(directions)
    return flux


@lru_cache(maxsize=_SYSTEMS_KEPT)
def _leaving_blocks(coarse: SystemModel, buildup: float, dtype: str) -> list[ViewBlock]:
    """The model of each view alone for what is scattered towards it; see `SimulatedScatter.buildup`."""
    assert coarse.mu is not None
    leaving = replace(coarse, mu=coarse.mu.with_values(coarse.mu.values * (1.0 - buildup)))
    return leaving.block(range(leaving.acquisition.n_views), np.empty(0, dtype)).singly()


@lru_cache(maxsize=_SYSTEMS_KEPT)
def _coarse_system(system: SystemModel) -> SystemModel:
    """The same orbit and map on pixels and voxels of about 13.6 mm; kept for the next estimate."""
    acquisition, mu = system.acquisition, system.mu
    assert mu is not None
    row_mm, column_mm = acquisition.pixel_mm
    by_row, by_column = (max(1, round(_COARSE_MM / mm)) for mm in (row_mm, column_mm))
    rows, columns = (-(-n // by) for n, by in zip(acquisition.counts.shape[2:], (by_row, by_column), strict=True))
    counts = np.zeros((1, acquisition.n_views, rows, columns), dtype=np.float32)
    coarse = replace(
        acquisition,
        counts=counts,
        windows=(acquisition.windows[acquisition.photopeak],),
        photopeak=0,
        pixel_mm=(row_mm * by_row, column_mm * by_column),
    )
    grid = coarse.grid()
    # where nothing is known the map holds what the attenuation uses there, so scatter uses it as well
    filled = replace(mu, outside=None).coarsened(_COARSE_MM / 2).coarsened(_COARSE_MM)
    on_grid = replace(filled.resampled(grid), outside=None)
    return SystemModel(coarse, grid, on_grid, system.collimator)


def _on_detector(
    coarse_views: Float[Array, "view row column"], coarse: Acquisition, fine: Acquisition
) -> Float[Array, "view fine_row fine_column"]:
    """Spread counts from coarse pixels onto the fine ones around the same middle, smoothly, keeping density."""
    sizes = zip(fine.counts.shape[2:], coarse_views.shape[1:], fine.pixel_mm, coarse.pixel_mm, strict=True)
    rows, columns = (cubic_weights(n, m, f / c).astype(coarse_views.dtype) for n, m, f, c in sizes)
    spread: Array = rows @ coarse_views @ columns.T
    np.maximum(spread, 0.0, out=spread)
    spread *= fine.pixel_mm[0] / coarse.pixel_mm[0] * (fine.pixel_mm[1] / coarse.pixel_mm[1])
    return spread


def cubic_weights(n_fine: int, n_coarse: int, scale: float) -> Float[np.ndarray, "fine coarse"]:
    """Cubic convolution from coarse samples to fine ones around the same middle (Keys, IEEE Trans ASSP 1981).

    Beyond the ends the last sample is repeated. The kernel's slope at 1 is -0.75, as in PyTorch and OpenCV.

    Args:
        n_fine, n_coarse: number of samples.
        scale: spacing of the fine samples over that of the coarse ones.
    """
    index = (np.arange(n_fine) - (n_fine - 1) / 2) * scale + (n_coarse - 1) / 2
    low = np.floor(index).astype(int)
    weights = np.zeros((n_fine, n_coarse))
    for step in range(-1, 3):
        distance = np.abs(index - (low + step))
        near = ((_SLOPE + 2.0) * distance - (_SLOPE + 3.0)) * distance**2 + 1.0
        far = _SLOPE * (((distance - 5.0) * distance + 8.0) * distance - 4.0)
        columns = np.clip(low + step, 0, n_coarse - 1)
        np.add.at(weights, (np.arange(n_fine), columns), np.where(distance <= 1.0, near, far))
    return weights
