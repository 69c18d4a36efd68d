"""The second simulator whole: from activity and attenuation to counts with noise in two energy windows.

Unscattered photons by rays (`rays`), scatter by single scatter through the map scaled for the further orders
(`scatter`), counts by dividing one Poisson total over the pixels, from a generator of another family than the
package's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.geometry import Grid, Quantity, Volume
from support.second_camera.camera import Camera
from support.second_camera.compton import LINE_KEV, Crystal
from support.second_camera.rays import Array, RayCamera, State
from support.second_camera.scatter import SingleScatter

_SCATTER_MM = 13.6


@dataclass(frozen=True)
class Band:
    """An energy window."""

    lower_kev: float
    upper_kev: float


BANDS = (Band(126.5, 154.5), Band(114.0, 126.0))
"""20 % around the line of 99mTc, and the window below it."""


@dataclass(frozen=True, eq=False)
class Counted:
    """What the camera has counted.

    Attributes:
        counts: with noise.
        expected: their mean.
        scatter: the part of the mean that has scattered.
        angles_deg, radii_mm: per view.
        pixel_mm: of the detector.
        bands: energy windows, the photopeak first.
    """

    counts: Float[Tensor, "window view row column"]
    expected: Float[Tensor, "window view row column"]
    scatter: Float[Tensor, "window view row column"]
    angles_deg: Array
    radii_mm: Array
    pixel_mm: float
    bands: tuple[Band, ...] = BANDS


def simulate(
    camera: RayCamera,
    states: Sequence[State],
    photopeak_counts: float,
    seed: int,
    scatter: SingleScatter | None = SingleScatter(),  # noqa: B008
) -> Counted:
    """Expose the patient and count.

    Args:
        camera: where it stands.
        states: of breathing, on the camera's grid.
        photopeak_counts: expected in the first window, all views together.
        seed: of the noise.
        scatter: None for none.
    """
    crystal = Crystal() if scatter is None else scatter.crystal
    passed = torch.tensor([float(crystal.accepted(LINE_KEV, band)) for band in BANDS])
    expected = camera.project(states) * passed[:, None, None, None]
    scattered = torch.zeros_like(expected) if scatter is None else scattered_counts(camera, states, scatter)
    expected = expected + scattered
    scale = photopeak_counts / float(expected[0].sum())
    counts = [counted(mean.double().numpy() * scale, [seed, k]) for k, mean in enumerate(expected)]
    return Counted(
        torch.from_numpy(np.stack(counts)).float(),
        expected * scale,
        scattered * scale,
        np.asarray(camera.angles_deg),
        np.asarray(camera.radii_mm),
        camera.pixel_mm,
    )


def counted(expected: npt.NDArray[np.float64], seed: Sequence[int]) -> npt.NDArray[np.float64]:
    """Poisson counts: a Poisson total, divided over the pixels by their share of the mean."""
    chance = np.random.Generator(np.random.SFC64(list(seed)))
    total = float(expected.sum())
    if total <= 0:
        return np.zeros_like(expected)
    shares = np.maximum(expected.ravel(), 0.0)
    return chance.multinomial(chance.poisson(total), shares / shares.sum()).reshape(expected.shape).astype(np.float64)


def scattered_counts(
    camera: RayCamera, states: Sequence[State], scatter: SingleScatter
) -> Float[Tensor, "window view row column"]:
    """Expected scattered counts through the mean of all states, from coarse pixels spread over the fine ones."""
    weights = [float(np.mean(state.shares)) for state in states]
    activity = sum(w * s.activity for w, s in zip(weights, states, strict=True))
    mu = sum(w * s.mu_per_cm for w, s in zip(weights, states, strict=True))
    assert isinstance(activity, Tensor)
    assert isinstance(mu, Tensor)
    wide_mm = max(camera.n_columns * camera.pixel_mm, *camera.grid.extent_mm[:2])
    n = [math.ceil(mm / _SCATTER_MM / 2) * 2 + 2 for mm in (wide_mm, camera.n_rows * camera.pixel_mm)]
    coarse = Camera(
        Grid.centred((n[0], n[0], n[1]), (_SCATTER_MM,) * 3),
        np.asarray(camera.angles_deg),
        float(np.mean(camera.radii_mm)),
        *(() if camera.collimator is not None else (None,)),
    )
    views = scatter.project(
        Volume(activity.numpy(), camera.grid, Quantity.ACTIVITY),
        Volume(mu.numpy(), camera.grid, Quantity.MU_PER_CM),
        BANDS,
        coarse,
    )
    return _finer(views, camera, n)


def _finer(
    views: Float[Tensor, "window view row column"], camera: RayCamera, n: Sequence[int]
) -> Float[Tensor, "window view rows columns"]:
    """Linear between coarse pixels, per area of the fine ones."""
    rows = (np.arange(camera.n_rows) + 0.5 - camera.n_rows / 2) * camera.pixel_mm
    columns = (np.arange(camera.n_columns) + 0.5 - camera.n_columns / 2) * camera.pixel_mm
    where = np.stack(np.broadcast_arrays(columns[None, :] / (n[0] / 2), rows[:, None] / (n[1] / 2)), -1) / _SCATTER_MM
    lattice = torch.from_numpy(where.astype(np.float32))[None].expand(len(views), -1, -1, -1)
    fine = torch.nn.functional.grid_sample(views, lattice, mode="bilinear", align_corners=False, padding_mode="border")
    return fine * (camera.pixel_mm / _SCATTER_MM) ** 2
