"""Smoothing after a reconstruction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from jaxtyping import Float

from mureg.geometry import Array, Volume
from mureg.jobs.cores import thread_count
from mureg.spect.collimator import FWHM_PER_SIGMA


def gaussian(volume: Volume, fwhm_mm: float) -> Volume:
    """Smooth with a Gaussian of this full width at half maximum, mirrored at the edges."""
    sigma_mm = fwhm_mm / FWHM_PER_SIGMA
    return _filtered(volume, lambda cycles_per_mm: np.exp(-2.0 * (np.pi * sigma_mm * cycles_per_mm) ** 2))


def butterworth(volume: Volume, cutoff_per_cm: float, order: float) -> Volume:
    """Smooth with a Butterworth filter, ``1 / sqrt(1 + (f / cutoff)^(2 order))``, mirrored at the edges.

    Args:
        volume: to smooth.
        cutoff_per_cm: frequency (cycles per cm) at which the amplitude has fallen to 0.71.
        order: steepness.

    Returns:
        The smoothed volume; negative overshoot is set to 0.
    """
    smooth = _filtered(volume, lambda f: 1.0 / np.sqrt(1.0 + (f * 10.0 / cutoff_per_cm) ** (2.0 * order)))
    return smooth.with_values(np.maximum(smooth.values, 0.0))


def _filtered(volume: Volume, response: Callable[[Array], Array]) -> Volume:
    """Multiply the spectrum of the mirrored volume by a response to the radial frequency (cycles per mm).

    The cosine transform of an image is the Fourier transform of the image mirrored at its edges.
    """
    fx, fy, fz = (
        np.arange(n) / (2.0 * n * mm) for n, mm in zip(volume.grid.shape, volume.grid.spacing_mm, strict=True)
    )
    radial: Float[Array, "x y z"] = np.sqrt(fx[:, None, None] ** 2 + fy[:, None] ** 2 + fz**2)
    spectrum = scipy.fft.dctn(volume.values, workers=thread_count())
    spectrum *= response(radial).astype(spectrum.dtype)
    smooth: Array = scipy.fft.idctn(spectrum, overwrite_x=True, workers=thread_count())
    return volume.with_values(smooth)
