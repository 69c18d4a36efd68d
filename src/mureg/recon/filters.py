"""Smoothing after a reconstruction."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.geometry import Volume
from mureg.spect.collimator import FWHM_PER_SIGMA


def gaussian(volume: Volume, fwhm_mm: float) -> Volume:
    """Smooth with a Gaussian of this full width at half maximum, mirrored at the edges."""
    sigma_mm = fwhm_mm / FWHM_PER_SIGMA
    return _filtered(volume, lambda cycles_per_mm: torch.exp(-2.0 * (np.pi * sigma_mm * cycles_per_mm) ** 2))


def butterworth(volume: Volume, cutoff_per_cm: float, order: float) -> Volume:
    """Smooth with a Butterworth filter, ``1 / sqrt(1 + (f / cutoff)^(2 order))``, mirrored at the edges.

    Args:
        volume: to smooth.
        cutoff_per_cm: frequency (cycles per cm) at which the amplitude has fallen to 0.71.
        order: steepness.

    Returns:
        The smoothed volume; negative overshoot is set to 0.
    """
    smooth = _filtered(volume, lambda f: (1.0 + (f * 10.0 / cutoff_per_cm) ** (2.0 * order)).rsqrt())
    return smooth.with_values(smooth.values.clamp_min(0.0))


def _filtered(volume: Volume, response) -> Volume:  # type: ignore[no-untyped-def]
    """Multiply the spectrum of the mirrored volume by a response to the radial frequency (cycles per mm)."""
    mirrored = volume.values
    for axis in range(3):
        mirrored = torch.cat([mirrored, mirrored.flip(axis)], dim=axis)
    frequencies = [
        torch.fft.fftfreq(n, d, device=mirrored.device, dtype=mirrored.dtype)
        for n, d in zip(mirrored.shape, volume.grid.spacing_mm, strict=True)
    ]
    fx, fy, fz = (
        frequencies[0][:, None, None],
        frequencies[1][:, None],
        frequencies[2][: mirrored.shape[2] // 2 + 1].abs(),
    )
    radial: Float[Tensor, "x y z"] = torch.sqrt(fx**2 + fy**2 + fz**2)
    spectrum = torch.fft.rfftn(mirrored) * response(radial)
    nx, ny, nz = volume.grid.shape
    smooth = torch.fft.irfftn(spectrum, s=tuple(mirrored.shape))[:nx, :ny, :nz].contiguous()
    return volume.with_values(smooth)
