"""How a simulated camera differs from the one that its headers, and so the reconstruction, speak of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings
from scipy import ndimage
from torch import Tensor

from mureg.spect.collimator import Collimator

Factor = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
Length = Annotated[float, Field(ge=0)]
Lengths = tuple[Length, Length]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class CameraDeviation:
    """One camera's deviations; the defaults are none.

    Attributes:
        resolution: factor on the full width at half maximum of collimator and crystal, at every distance.
        scatter: factor on the scattered counts.
        scatter_spread_mm: sigma of the Gaussian by which the scatter is broader on the detector.
        radius_mm: radius in the header less the true one.
        centre_mm: distance of the axis of rotation from the middle of the columns, towards higher columns.
        mu_scale: true attenuation over that of the tissue tables, and so of the CT.
        pixel_mm, matrix: of the detector, where they are not those of the orbit settings.
    """

    resolution: float = 1.0
    scatter: float = 1.0
    scatter_spread_mm: float = 0.0
    radius_mm: float = 0.0
    centre_mm: float = 0.0
    mu_scale: float = 1.0
    pixel_mm: float | None = None
    matrix: int | None = None

    def collimator(self, usual: Collimator) -> Collimator:
        """The collimator and crystal whose width is `resolution` times the usual one at every distance."""
        if self.resolution == 1.0:
            return usual
        hole, crystal = usual.hole_mm * self.resolution, usual.intrinsic_fwhm_mm * self.resolution
        return replace(usual, hole_mm=hole, intrinsic_fwhm_mm=crystal)

    def scattered(
        self, counts: Float[Tensor, "window view row column"], pixel_mm: float
    ) -> Float[Tensor, "window view row column"]:
        """Scatter of another amount and a broader shape; what the broadening carries off the detector is lost."""
        if self.scatter_spread_mm > 0:
            sigma = self.scatter_spread_mm / pixel_mm
            spread = ndimage.gaussian_filter(counts.numpy(), (0.0, 0.0, sigma, sigma), mode="constant", truncate=3.0)
            counts = torch.from_numpy(spread)
        return counts if self.scatter == 1.0 else counts * self.scatter

    @property
    def facts(self) -> dict[str, float]:
        """What was drawn, by name."""
        return {
            "camera_resolution": self.resolution,
            "camera_scatter": self.scatter,
            "camera_scatter_spread_mm": self.scatter_spread_mm,
            "camera_radius_error_mm": self.radius_mm,
            "camera_centre_mm": self.centre_mm,
            "camera_mu_scale": self.mu_scale,
        }


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class CameraRange:
    """Deviation of the camera from the one that the reconstruction assumes.

    Attributes:
        resolution: factor on the full width at half maximum of the camera.
        scatter: factor on the scattered counts.
        scatter_spread_mm: sigma of the Gaussian that broadens the scatter on the detector (mm).
        radius_mm: largest error of the radius in the header (mm).
        centre_mm: largest error of the centre of rotation (mm).
        mu_scale: true attenuation relative to that of the CT.
        share_other_pixel: share of detectors with another pixel than that of the orbit (0 to 1).
        pixel_mm: their pixel size (mm).
        field_mm: their width (mm).
    """

    resolution: Factor = (0.8, 1.2)
    scatter: Factor = (0.7, 1.3)
    scatter_spread_mm: Lengths = (0.0, 25.0)
    radius_mm: Length = 20.0
    centre_mm: Length = 2.0
    mu_scale: Factor = (0.95, 1.05)
    share_other_pixel: Share = 0.5
    pixel_mm: Factor = (4.0, 7.0)
    field_mm: Factor = (384.0, 460.0)

    def draw(self, generator: np.random.Generator) -> CameraDeviation:
        """Draw one camera, each number uniform within its range."""
        resolution, scatter, spread, mu, pixel, field = (
            float(generator.uniform(*bounds))
            for bounds in (
                self.resolution,
                self.scatter,
                self.scatter_spread_mm,
                self.mu_scale,
                self.pixel_mm,
                self.field_mm,
            )
        )
        radius, centre = (float(generator.uniform(-1.0, 1.0)) * most for most in (self.radius_mm, self.centre_mm))
        is_other_pixel = generator.random() < self.share_other_pixel
        pixel = round(pixel, 3)
        matrix = 2 * round(field / pixel / 2)
        return CameraDeviation(
            resolution,
            scatter,
            spread,
            radius,
            centre,
            mu,
            pixel if is_other_pixel else None,
            matrix if is_other_pixel else None,
        )
