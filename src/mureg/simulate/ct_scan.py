"""The CT of a virtual patient: field of view, coverage, noise, streaks, table; in HU on the scanner's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from mureg.geometry import Grid, Quantity, Volume
from mureg.geometry.rigid import Triple
from mureg.simulate.table import PatientTable
from mureg.simulate.tissues import AIR_HU

Range = tuple[float, float]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]

_WATER_PER_MM = 0.0193  # attenuation of water at the effective energy of the CT, 70 keV (`mureg.simulate.tissues`)
_REFERENCE_PATH = 5.0  # attenuation along the chest of an ordinary patient: 260 mm of water; chosen


@dataclass(frozen=True)
class CtScan:
    """One CT acquisition.

    Attributes:
        pixel_mm, slice_mm: voxel size; slices adjoin.
        matrix: pixels along x and y.
        n_slices: along z.
        centre_mm: of the scanned volume, in the scanner's space.
        field_mm: diameter of the circle in which the CT knows anything; larger than the matrix for none.
        noise_hu: standard deviation in the middle of an ordinary patient.
        streaks: strength of photon-starvation streaks from side to side, 1 for those of a low-dose scan.
        contrast_hu: added to blood by contrast medium.
        manufacturer, model, kvp: as the header says.
        seed: of the noise.
    """

    pixel_mm: float
    slice_mm: float
    matrix: int
    n_slices: int
    centre_mm: Triple
    field_mm: float
    noise_hu: float
    streaks: float
    contrast_hu: float
    manufacturer: str
    model: str
    kvp: float
    seed: int

    @property
    def grid(self) -> Grid:
        """The voxels, along the patient axes."""
        spacing = (self.pixel_mm, self.pixel_mm, self.slice_mm)
        return Grid.centred((self.matrix, self.matrix, self.n_slices), spacing, self.centre_mm)

    def acquire(self, body: Volume, table: PatientTable | None) -> Volume:
        """Turn the body in HU on this scan's grid into what the scanner writes: whole HU, unknown corners marked."""
        hu = torch.from_numpy(body.values)
        if table is not None:
            hu = torch.maximum(hu, table.hounsfield(body.grid).to(hu))
        hu = self._noise(hu).add_(hu)
        outside = self._beyond_field(body.grid)
        if body.outside is not None:
            outside |= torch.from_numpy(body.outside)
        # what 12 bits hold with the usual offset of -1024
        hu = hu.round_().clamp_(-1024.0, 3071.0).masked_fill_(outside, AIR_HU)
        return Volume(hu.numpy(), body.grid, Quantity.HU, outside.numpy() if bool(outside.any()) else None)

    def _beyond_field(self, grid: Grid) -> Bool[Tensor, "x y z"]:
        x, y = (
            torch.from_numpy(grid.affine[k, 3] + np.arange(grid.shape[k]) * grid.spacing_mm[k] - self.centre_mm[k])
            for k in (0, 1)
        )
        beyond = torch.hypot(x[:, None], y[None, :]) > self.field_mm / 2
        return beyond[:, :, None].expand(grid.shape).clone()

    def _noise(self, hu: Float[Tensor, "x y z"]) -> Float[Tensor, "x y z"]:
        """Grain, and streaks along x where much is in the way from side to side.

        The grain is white noise through a soft kernel. It grows with the square root of what the photons had to pass,
        taken from the lines along x and y through each voxel; where the line along x is by far the longer, each line
        carries an error of its own, which is what streaks are.
        """
        chance = torch.Generator().manual_seed(self.seed)
        per_mm = _WATER_PER_MM * self.pixel_mm / 1000.0  # metal apart, the sum of HU is as good as that of attenuation
        along_x, along_y = ((hu.sum(axis, keepdim=True) + 1000.0 * hu.shape[axis]) * per_mm for axis in (0, 1))
        noise = _softened(torch.randn(hu.shape, generator=chance))
        # exponents, limits and the share of the streaks (0.35) are chosen; no scanner was measured for them
        amount = (torch.exp(0.125 * (along - _REFERENCE_PATH)).clamp_(0.6, 1.8) for along in (along_x, along_y))
        for factor in amount:
            noise *= factor
        noise *= self.noise_hu
        if self.streaks > 0:
            excess = torch.exp(0.5 * (along_x - 1.4 * _REFERENCE_PATH)).clamp_(0.0, 8.0)
            x = torch.linspace(-1.0, 1.0, hu.shape[0])[:, None, None]
            lines = torch.randn((3, 1, *hu.shape[1:]), generator=chance)
            bands = lines[0] + x * lines[1] + (2 * x**2 - 1) * lines[2]
            noise += bands * (excess * (self.noise_hu * self.streaks * 0.35))
        return noise


def _softened(white: Float[Tensor, "x y z"]) -> Float[Tensor, "x y z"]:
    """White noise through a soft kernel (1 2 1) across the slice, its standard deviation kept at 1; edges stay."""
    for axis in (0, 1):
        n = white.shape[axis]
        if n > 2:
            middle = white.narrow(axis, 1, n - 2)
            soft = (white.narrow(axis, 0, n - 2) + white.narrow(axis, 2, n - 2)).add_(middle, alpha=2.0)
            middle.copy_(soft.mul_(6.0**-0.5))
    return white


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class CtRange:
    """CT acquisition.

    Attributes:
        pixel_mm: pixel size (mm).
        slice_mm: slice thickness (mm).
        field_mm: diameter of the reconstructed field (mm); 500 for most scanners.
        coverage_mm: length of the scan along z (mm).
        off_centre_mm: largest distance between the middle of the scan and the heart along z (mm).
        noise_hu: standard deviation of the noise (HU); 8 to 30 for low-dose scans.
        streaks: strength of streak artefacts; 1 is that of a low-dose scan.
        share_contrast: share of studies with contrast medium (0 to 1).
        contrast_hu: HU that contrast medium adds to blood.
        scanners: manufacturer, model and tube voltage (kV) in the header, with equal probability.
    """

    pixel_mm: tuple[Positive, Positive] = (1.75, 1.95)
    slice_mm: tuple[Positive, Positive] = (3.75, 5.0)
    field_mm: Range = (500.0, 500.0)
    coverage_mm: Range = (220.0, 400.0)
    off_centre_mm: Annotated[float, Field(ge=0)] = 20.0
    noise_hu: Range = (8.0, 25.0)
    streaks: Range = (0.0, 1.0)
    share_contrast: Share = 0.0
    contrast_hu: Range = (80.0, 250.0)
    scanners: tuple[tuple[str, str, float], ...] = (
        ("GE MEDICAL SYSTEMS", "Discovery NM/CT 670", 120.0),
        ("GE MEDICAL SYSTEMS", "Optima NM/CT 640", 140.0),
        ("SIEMENS", "Symbia Intevo", 130.0),
        ("SIEMENS", "Symbia T16", 110.0),
    )
    kind: Literal["ct"] = "ct"

    def draw(self, generator: np.random.Generator, heart_z_mm: float) -> CtScan:
        """Draw a scan around the height of the heart in the scanner's space."""
        pixel, slice_mm = float(generator.uniform(*self.pixel_mm)), float(generator.uniform(*self.slice_mm))
        pixel, slice_mm = round(pixel, 4), round(slice_mm, 2)
        coverage = float(generator.uniform(*self.coverage_mm))
        off = float(generator.uniform(-1.0, 1.0)) * min(self.off_centre_mm, coverage / 4)
        maker, model, kvp = self.scanners[int(generator.integers(len(self.scanners)))]
        with_contrast = generator.random() < self.share_contrast
        return CtScan(
            pixel,
            slice_mm,
            round(500.0 / pixel),  # the usual field of 500 mm
            round(coverage / slice_mm),
            (0.0, 0.0, round(heart_z_mm + off, 2)),
            float(generator.uniform(*self.field_mm)),
            float(generator.uniform(*self.noise_hu)),
            float(generator.uniform(*self.streaks)),
            float(generator.uniform(*self.contrast_hu)) * float(with_contrast),
            maker,
            model,
            kvp,
            int(generator.integers(2**31)),
        )
