"""Scatter, always added to the model and never taken from the data.

Two kinds: simulated from the current activity and the map (its shape is what the pose hangs on), or estimated from
other energy windows as is usual in the clinic.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mureg.errors import UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.spect.acquisition import Acquisition, EnergyWindow
from mureg.spect.collimator import FWHM_PER_SIGMA
from mureg.spect.compton import COMPTON_SHARE, LINE_KEV, Crystal, into_window, sphere
from mureg.spect.stages import band_matrix, gaussian_kernel
from mureg.spect.system import SystemModel, detector_order

_COARSE_MM = 13.6
_REACH_MM = 400.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SimulatedScatter:
    """Single scatter by Klein-Nishina through the map, scaled for what scatters again.

    At the points of a coarse lattice, rays in every direction collect the activity that shines on them through the
    map (Watson, IEEE Trans Nucl Sci 2000, in the geometry of a parallel-hole camera). What is scattered from there
    towards each detector, with the loss of energy that decides whether it is counted, becomes a source of its own;
    it is weighted by the local map, attenuated and blurred by the ordinary projector on a coarse grid, and spread onto
    the detector's pixels: scatter has no fine detail.

    Attributes:
        multiple: all orders of scatter over the first, in the photopeak window. 1.17 by an analogue Monte Carlo of a
            chest (see docs/concepts/scatter.md).
        amount: scale the result as the model says, or so that the counts it expects in a lower energy window are those
            measured there (needs an acquisition with such a window).
        directions: rays from each point.
        resolution: energy resolution of the crystal at 140.5 keV, as a share.
        refresh_after: iterations after which it is made anew.
    """

    multiple: Annotated[float, Field(ge=1, le=3)] = 1.17
    multiple_lower: Annotated[float, Field(ge=1, le=4)] = 1.56
    amount: Literal["model", "windows"] = "model"
    directions: Annotated[int, Field(ge=20, le=5000)] = 192
    resolution: Annotated[float, Field(gt=0, lt=1)] = 0.10
    refresh_after: tuple[int, ...] = (1, 3)
    kind: Literal["simulated"] = "simulated"

    def estimate(self, system: SystemModel, activity: Volume) -> Float[Tensor, "view row column"]:
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
        coarse = _coarsened(system)
        flux = _Flux.through(coarse, activity, sphere(self.directions))
        scattered = self._expected(coarse, flux, photopeak, self.multiple, system)
        if self.amount == "windows":
            scattered = scattered * self._window_scale(system, coarse, flux, activity)
        return scattered

    def _expected(
        self, coarse: SystemModel, flux: _Flux, window: EnergyWindow, multiple: float, system: SystemModel
    ) -> Float[Tensor, "view row column"]:
        crystal = Crystal(self.resolution)
        # activity is in photopeak counts, of which the window takes a little less than all
        counted = float(crystal.accepted(LINE_KEV, coarse.acquisition.windows[0]))
        towards = flux.towards_detectors(coarse.acquisition.angles_deg, window, crystal) / counted
        assert coarse.mu is not None
        views = []
        for view, strength in enumerate(towards):
            on_coarse = Volume(strength, flux.points, Quantity.ACTIVITY).resampled(coarse.grid).values
            # the incoming light is smooth, the matter that scatters it is not
            source = on_coarse * coarse.mu.values * (COMPTON_SHARE * multiple)
            views.append(coarse.block([view], source).project(source))
        return _on_detector(detector_order(torch.cat(views)), coarse.acquisition, system.acquisition)

    def _window_scale(self, system: SystemModel, coarse: SystemModel, flux: _Flux, activity: Volume) -> float:
        """Counts measured in the nearest lower window over those expected there."""
        acquisition, crystal = system.acquisition, Crystal(self.resolution)
        lower_index = lower_window(acquisition)
        window, photopeak = acquisition.windows[lower_index], acquisition.windows[acquisition.photopeak]
        scattered = float(self._expected(coarse, flux, window, self.multiple_lower, system).sum())
        primary = float(system.project(activity.values).sum())
        spill = float(crystal.accepted(LINE_KEV, window) / crystal.accepted(LINE_KEV, photopeak))
        measured = float(acquisition.counts[lower_index].sum())
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

    def estimate(self, system: SystemModel, activity: Volume) -> Float[Tensor, "view row column"]:
        """See `mureg.spect.system.ScatterModel.estimate`; the activity and the map are not used."""
        acquisition = system.acquisition
        photopeak = acquisition.windows[acquisition.photopeak]
        sides = [lower_window(acquisition)]
        if self.method == "triple":
            sides.append(upper_window(acquisition))
        per_kev = torch.stack([acquisition.counts[side] / _width_kev(acquisition.windows[side]) for side in sides]).sum(
            0
        )
        estimate = per_kev * (_width_kev(photopeak) / 2.0)
        if self.fwhm_mm == 0:
            return estimate
        rows, columns = (
            torch.from_numpy(band_matrix(gaussian_kernel((self.fwhm_mm / FWHM_PER_SIGMA / mm) ** 2), n)).to(estimate)
            for mm, n in zip(acquisition.pixel_mm, estimate.shape[1:], strict=True)
        )
        # near the edges part of the kernel leaves the detector: divide by what stays
        return (rows @ estimate @ columns) / (rows.sum(1)[:, None] * columns.sum(0))


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


class _Flux:
    """What shines on each point of a coarse lattice from every direction.

    Attributes:
        points: the lattice.
        inside: flat indices of the points that hold matter or lie beside some.
        incoming: photons per cm^2 [point, direction] for activity in counts per voxel and view.
        directions: unit vectors [direction, 3] towards where the photons come from.
        voxel_cm3: of the coarse grid on which scatter becomes a source.
    """

    def __init__(self, points: Grid, inside: Tensor, incoming: Tensor, directions: Tensor, voxel_cm3: float) -> None:
        self.points, self.inside, self.incoming = points, inside, incoming
        self.directions, self.voxel_cm3 = directions, voxel_cm3

    @classmethod
    def through(cls, coarse: SystemModel, activity: Volume, directions: npt.NDArray[np.float64]) -> _Flux:
        """Follow rays from every second voxel of the coarse grid through its map.

        The integral of ``activity exp(-integral of mu) ds`` along a ray over the number of rays: the inverse square of
        the distance cancels against the volume seen.
        """
        assert coarse.mu is not None
        like = activity.values
        mu = coarse.mu.values.to(like)
        ratio = coarse.grid.voxel_volume_mm3 / activity.grid.voxel_volume_mm3
        spread = activity.coarsened(coarse.grid.spacing_mm[0]).resampled(coarse.grid).values * ratio
        voxel_cm3 = coarse.grid.voxel_volume_mm3 / 1000.0
        spacing = np.asarray(coarse.grid.spacing_mm)
        step_mm = float(spacing.min()) / 2
        reach = (np.arange(math.ceil(_REACH_MM / step_mm)) + 0.5) * step_mm
        offsets = np.rint(directions[:, None, :] * reach[:, None] / spacing).astype(np.int64)
        margin = int(np.abs(offsets).max())
        pad = [margin] * 6
        mu_padded = torch.nn.functional.pad(mu, pad)
        activity_padded = torch.nn.functional.pad(spread / voxel_cm3, pad).flatten()
        strides = np.array([mu_padded.stride(0), mu_padded.stride(1), 1])
        jumps = torch.from_numpy(offsets @ strides).to(like.device)
        near = torch.nn.functional.max_pool3d(mu[None, None], 5, 1, 2)[0, 0][::2, ::2, ::2] > 0.01
        inside = near.flatten().nonzero()[:, 0]
        corner = torch.nonzero(near) * 2 + margin
        base = corner @ torch.from_numpy(strides).to(like.device)
        mu_flat, step_cm = mu_padded.flatten(), step_mm / 10.0
        incoming = like.new_empty(len(base), len(directions))
        for k in range(len(directions)):
            where = base[:, None] + jumps[k]
            thickness = mu_flat[where] * step_cm
            path = thickness.cumsum(1).sub_(thickness, alpha=0.5)
            incoming[:, k] = (activity_padded[where] * path.neg_().exp_()).sum(1)
        affine = coarse.grid.affine.copy()
        affine[:3, :3] *= 2
        points = Grid((near.shape[0], near.shape[1], near.shape[2]), affine, coarse.grid.frame_of_reference)
        towards = torch.from_numpy(directions).to(like)
        return cls(points, inside, incoming * (step_cm / len(directions)), towards, voxel_cm3)

    def towards_detectors(
        self, angles_deg: npt.NDArray[np.float64], window: EnergyWindow, crystal: Crystal
    ) -> Float[Tensor, "view x y z"]:
        """Photons per unit of Compton attenuation and coarse voxel that go on to each detector and are counted."""
        angle = np.radians(angles_deg)
        to_detector = np.stack([np.sin(angle), np.cos(angle), np.zeros_like(angle)], axis=-1)
        cosine = -self.directions.double().cpu().numpy() @ to_detector.T  # rays point at where the light comes from
        strength = self.incoming @ torch.from_numpy(into_window(cosine, window, crystal)).to(self.incoming)
        views = strength.new_zeros(len(angle), int(np.prod(self.points.shape)))
        views[:, self.inside] = strength.T * self.voxel_cm3
        return views.view(len(angle), *self.points.shape)


def _coarsened(system: SystemModel) -> SystemModel:
    """The same orbit and map on pixels and voxels of about 13.6 mm."""
    acquisition, mu = system.acquisition, system.mu
    assert mu is not None
    row_mm, column_mm = acquisition.pixel_mm
    by_row, by_column = (max(1, round(_COARSE_MM / mm)) for mm in (row_mm, column_mm))
    rows, columns = (-(-n // by) for n, by in zip(acquisition.counts.shape[2:], (by_row, by_column), strict=True))
    counts = torch.zeros(1, acquisition.n_views, rows, columns, device=acquisition.counts.device)
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
    coarse_views: Float[Tensor, "view row column"], coarse: Acquisition, fine: Acquisition
) -> Float[Tensor, "view fine_row fine_column"]:
    """Spread counts from coarse pixels onto the fine ones around the same middle, bilinearly, keeping density."""
    rows, columns = fine.counts.shape[2:]
    scale = [f / c for f, c in zip(fine.pixel_mm, coarse.pixel_mm, strict=True)]
    axes = [
        ((torch.arange(n, device=coarse_views.device) - (n - 1) / 2) * s * 2 / m).to(coarse_views.dtype)
        for n, s, m in zip((rows, columns), scale, coarse_views.shape[1:], strict=True)
    ]
    y, x = torch.meshgrid(*axes, indexing="ij")
    where = torch.stack([x, y], -1).expand(len(coarse_views), -1, -1, -1)
    spread = torch.nn.functional.grid_sample(coarse_views[:, None], where, align_corners=False, padding_mode="border")[
        :, 0
    ]
    return spread * (scale[0] * scale[1])
