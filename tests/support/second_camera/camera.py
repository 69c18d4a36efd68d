"""A parallel-hole gamma camera for simulation: finer voxels than any reconstruction, and code of its own.

Each view turns the volumes into the detector's frame by bilinear interpolation, weakens every voxel by the
attenuation between it and the detector, blurs it by what the collimator lets through at its depth, and adds up along
the ray. Nothing is shared with the system model that reconstructs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.errors import GeometryError
from mureg.geometry import Grid

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
MU_LEAD_PER_CM = 26.9
"""Lead at 140.5 keV (NIST XCOM, interpolated between 100 and 150 keV)."""


@dataclass(frozen=True)
class Collimator:
    """Parallel holes in lead, and the crystal behind them.

    Attributes:
        hole_mm, length_mm, septum_mm: of the holes; defaults are those of a low-energy high-resolution one.
        intrinsic_fwhm_mm: resolution of the crystal.
    """

    name: str = "LEHR"
    hole_mm: float = 1.5
    length_mm: float = 35.0
    septum_mm: float = 0.2
    intrinsic_fwhm_mm: float = 3.8

    def fwhm_mm(self, distance_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Full width at half maximum for a source this far in front of the collimator.

        ``sqrt(collimator^2 + intrinsic^2)``, collimator = ``hole (L + distance) / L`` with the length L shortened
        by two mean free paths in lead (Cherry, Sorenson, Phelps, Physics in Nuclear Medicine, chapter 14).
        """
        effective_mm = self.length_mm - 2.0 / (MU_LEAD_PER_CM / 10.0)
        distance = np.maximum(np.asarray(distance_mm, dtype=np.float64), 0.0)
        geometric = self.hole_mm * (effective_mm + distance) / effective_mm
        return np.asarray(np.hypot(geometric, self.intrinsic_fwhm_mm))


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera on a circular orbit around the middle of a cubic grid.

    Attributes:
        grid: cubic voxels along the patient axes, as many along x as along y; the detector has a column for each x
            and a row for each z, of the same size.
        angles_deg: per view, in the DICOM sense (0 back, 90 patient's left, 180 front).
        radius_mm: axis of rotation to collimator face.
        collimator: None for perfect resolution.
    """

    grid: Grid
    angles_deg: npt.NDArray[np.float64]
    radius_mm: float = 250.0
    collimator: Collimator | None = Collimator()

    def __post_init__(self) -> None:
        nx, ny, _ = self.grid.shape
        sx, sy, sz = self.grid.spacing_mm
        if nx != ny or max(abs(sx - sy), abs(sx - sz)) > 1e-6 or not self.grid.along_patient_axes:
            raise GeometryError(
                f"a simulation grid of shape {self.grid.shape} and spacing {self.grid.spacing_mm} mm",
                "square slices and cubic voxels along the patient axes",
                "make it with Grid.centred",
            )

    def project(
        self, activity: Float[Tensor, "x y z"], mu_per_cm: Float[Tensor, "x y z"] | None = None
    ) -> Float[Tensor, "view row column"]:
        """Expected counts of every view for a source that looks the same from everywhere.

        Args:
            activity: photons per voxel sent towards the camera, on the camera's grid.
            mu_per_cm: attenuation on the same grid; None for none.
        """
        return torch.stack([self.view(i, activity, mu_per_cm) for i in range(len(self.angles_deg))])

    def view(
        self, index: int, activity: Float[Tensor, "x y z"], mu_per_cm: Float[Tensor, "x y z"] | None = None
    ) -> Float[Tensor, "row column"]:
        """Expected counts of one view; see `project`."""
        sources = self._turned(activity, index)
        if mu_per_cm is not None:
            sources = sources * _reaching_detector(self._turned(mu_per_cm, index), self.grid.spacing_mm[0])
        if self.collimator is not None:
            sources = self._blurred(sources)
        return sources.sum(0).flip(0)  # row 0 nearest the head

    def _turned(self, values: Float[Tensor, "x y z"], index: int) -> Float[Tensor, "depth z column"]:
        """Values in the detector's frame, nearest the detector first, columns to the viewer's right."""
        theta = math.radians(float(self.angles_deg[index]))
        n = self.grid.shape[0]
        steps = torch.arange(n, dtype=values.dtype) - (n - 1) / 2
        towards, right = -steps[:, None], steps[None, :]
        x = towards * math.sin(theta) - right * math.cos(theta)
        y = towards * math.cos(theta) + right * math.sin(theta)
        where = torch.stack([x, y], dim=-1)[None] * (2.0 / n)  # normalised so that the outer edges are -1 and 1
        slices = values.permute(2, 1, 0)[None]  # z as channels, y as rows, x as columns
        turned = torch.nn.functional.grid_sample(
            slices, where, mode="bilinear", padding_mode="zeros", align_corners=False
        )
        return turned[0].permute(1, 0, 2)

    def _blurred(self, sources: Float[Tensor, "depth z column"]) -> Float[Tensor, "depth z column"]:
        assert self.collimator is not None
        n_depths, n_rows, n_columns = sources.shape
        pixel = self.grid.spacing_mm[0]
        distance = self.radius_mm - ((n_depths - 1) / 2 - np.arange(n_depths)) * pixel
        sigma = torch.from_numpy(self.collimator.fwhm_mm(distance) / FWHM_PER_SIGMA / pixel).to(sources.dtype)
        return _gaussian_matrices(n_rows, sigma) @ sources @ _gaussian_matrices(n_columns, sigma).mT


def _reaching_detector(mu_per_cm: Float[Tensor, "depth z column"], step_mm: float) -> Float[Tensor, "depth z column"]:
    """Share of photons that get out: everything in front of a voxel and half of the voxel itself."""
    thickness = mu_per_cm * (step_mm / 10.0)
    return torch.exp(-(thickness.cumsum(0) - 0.5 * thickness))


def _gaussian_matrices(n: int, sigma: Float[Tensor, " depth"]) -> Float[Tensor, "depth n n"]:
    """For each depth a matrix that spreads every pixel by a Gaussian integrated over the pixels."""
    offset = torch.arange(n, dtype=sigma.dtype)[:, None] - torch.arange(n, dtype=sigma.dtype)[None, :]
    scale = 1.0 / (sigma[:, None, None] * math.sqrt(2.0))
    return 0.5 * (torch.erf((offset + 0.5) * scale) - torch.erf((offset - 0.5) * scale))


def binned(views: Float[Tensor, "view row column"], factor: int) -> Float[Tensor, "view rows columns"]:
    """Sum blocks of factor x factor detector pixels."""
    return torch.nn.functional.avg_pool2d(views[:, None], factor)[:, 0] * factor**2
