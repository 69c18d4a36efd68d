"""The way the camera takes around the patient, its windows and how long it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from mureg.geometry import Grid
from mureg.spect.acquisition import EnergyWindow

Array = npt.NDArray[np.float64]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
Share = Annotated[float, Field(ge=0, le=1)]

WINDOWS = (EnergyWindow(126.5, 154.5, "photopeak"), EnergyWindow(114.0, 126.0, "scatter"))
"""20 % around 140.5 keV, and the window below it, 10 % around 120 keV; usual for the dual-window method."""

_CLOCKWISE_START_DEG, _HALF_TURN_START_DEG = 180.0, 225.0
"""A full turn starts in front; half a turn 45 degrees right anterior, as usual in cardiac SPECT (DICOM's sense)."""


@dataclass(frozen=True, eq=False)
class SimulatedOrbit:
    """Where the detector stands in each view.

    Attributes:
        angles_deg: in the DICOM sense (0 back, 90 patient's left, 180 front).
        radii_mm: axis of rotation to collimator face, per view.
        counts: expected in the photopeak window, all views together.
    """

    angles_deg: Array
    radii_mm: Array
    counts: float


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class OrbitRange:
    """SPECT acquisition.

    Attributes:
        arc_deg: arc (degrees): 180, from 45 degrees right anterior to 45 degrees left posterior oblique, or 360.
        views: numbers of views to choose from, with equal probability.
        counts: expected counts in the photopeak window.
        gap_mm: distance between skin and collimator (mm).
        share_contour: share of orbits that follow the body (0 to 1); the others are circles around it.
        largest_radius_mm: largest radius of the detector (mm).
        pixel_mm: pixel size of the detector (mm).
        matrix: number of rows and columns.
        share_full_turn: share of studies over 360 degrees (0 to 1), the others over 180 (default: all over `arc_deg`).
    """

    arc_deg: Literal[180, 360] = 180
    views: tuple[Annotated[int, Field(ge=8, le=256)], ...] = (60, 64)
    counts: Range = (5e6, 5e6)
    gap_mm: Range = (10.0, 40.0)
    share_contour: Share = 0.5
    largest_radius_mm: Annotated[float, Field(gt=100)] = 320.0
    pixel_mm: Annotated[float, Field(gt=0)] = 6.8
    matrix: Annotated[int, Field(ge=16, le=256)] = 64
    share_full_turn: Share | None = None
    kind: Literal["orbit"] = "orbit"

    def draw(self, generator: np.random.Generator, reach_mm: Array) -> SimulatedOrbit:
        """Draw an orbit around a patient.

        Args:
            generator: source of chance.
            reach_mm: how far the skin reaches from the axis towards the detector at 0, 1, ..., 359 degrees, see
                `reach_of_skin`.
        """
        n_views = int(generator.choice(self.views))
        arc_deg: int = self.arc_deg
        if self.share_full_turn is not None:
            arc_deg = 360 if generator.random() < self.share_full_turn else 180
        start = _HALF_TURN_START_DEG if arc_deg == 180 else _CLOCKWISE_START_DEG
        angles = (start - np.arange(n_views) * arc_deg / n_views) % 360.0
        gap = float(generator.uniform(*self.gap_mm))
        counts = float(np.exp(generator.uniform(*np.log(self.counts))))
        contour = generator.random() < self.share_contour
        reach = reach_mm[np.round(angles).astype(int) % 360]
        if contour:
            # neighbouring views are smoothed, and a detector comes no nearer to the axis than 120 mm; chosen
            ends = 2 * reach[[0, -1]] - reach[[1, -2]]
            reach = np.convolve(np.concatenate([ends[:1], reach, ends[1:]]), (0.25, 0.5, 0.25), "valid")
            radii = np.maximum(reach + gap, 120.0)
        else:
            radii = np.full(n_views, float(reach.max()) + gap)
        radii = np.asarray(np.minimum(radii, self.largest_radius_mm).round(1), dtype=np.float64)
        return SimulatedOrbit(angles, radii, counts)


def reach_of_skin(body: Bool[Tensor, "x y z"], grid: Grid, axis_mm: tuple[float, float]) -> Array:
    """How far the body reaches from an axis along z, towards the detector at each whole degree [360], in mm."""
    indices = np.argwhere(body.any(2).numpy())
    x = grid.affine[0, 3] + indices[:, 0] * grid.spacing_mm[0] - axis_mm[0]
    y = grid.affine[1, 3] + indices[:, 1] * grid.spacing_mm[1] - axis_mm[1]
    angle = np.radians(np.arange(360.0))
    towards = np.sin(angle)[:, None] * x + np.cos(angle)[:, None] * y
    return np.asarray(towards.max(1) + grid.spacing_mm[0] / 2)
