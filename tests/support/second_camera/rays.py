"""A ray-driven camera: each pixel follows rays of its own through the patient, spread as the collimator lets them in.

A ray that meets the crystal at an offset passes the hole at an angle, so that the bundle of a pixel widens with the
distance; the crystal adds an offset that does not. Activity and attenuation are read by trilinear interpolation at
steps along each ray. Nothing is convolved, rotated or binned, and no voxel is projected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

from mureg.geometry import Grid
from support.second_camera.camera import FWHM_PER_SIGMA, MU_LEAD_PER_CM, Collimator

Array = npt.NDArray[np.float64]

# additive recurrence in six dimensions: powers of the inverse of the root of x^7 = x + 1
_ROOT = 1.1127756842787055
_STEPS = np.array([_ROOT**-k for k in range(1, 7)])


@dataclass(frozen=True)
class State:
    """What is seen in one state of breathing.

    Attributes:
        activity: photons per voxel sent towards each view, on the grid of the camera.
        mu_per_cm: attenuation at 140.5 keV.
        shares: of the time of each view spent in this state; one number for all views alike.
    """

    activity: Float[Tensor, "x y z"]
    mu_per_cm: Float[Tensor, "x y z"]
    shares: float | Array = 1.0


@dataclass(frozen=True, eq=False)
class RayCamera:
    """A camera on an orbit around an axis along z.

    Attributes:
        grid: of activity and attenuation, along the patient axes.
        angles_deg: per view, in the DICOM sense (0 back, 90 patient's left, 180 front).
        radii_mm: per view, axis of rotation to collimator face.
        n_rows, n_columns, pixel_mm: of the detector; row 0 nearest the head, columns to the viewer's right.
        collimator: None for perfect resolution.
        rays: for each pixel, 8 or more.
        step_mm: along a ray.
    """

    grid: Grid
    angles_deg: Array
    radii_mm: Array
    n_rows: int = 64
    n_columns: int = 64
    pixel_mm: float = 6.8
    collimator: Collimator | None = Collimator()  # noqa: RUF009 (frozen)
    rays: int = 8
    step_mm: float = 5.0

    def project(self, states: Sequence[State]) -> Float[Tensor, "view row column"]:
        """Expected counts of photons that have not scattered.

        Without attenuation and beyond the detector's edges nothing is lost: a view adds up to the activity before it.
        """
        views = torch.zeros(len(self.angles_deg), self.n_rows, self.n_columns)
        for state in states:
            shares = np.broadcast_to(np.asarray(state.shares, dtype=np.float64), len(views))
            both = torch.stack([state.activity, state.mu_per_cm]).float()
            near, far = self._reach(both)
            for view, share in enumerate(shares):
                if share > 0:
                    views[view] += float(share) * self._view(view, both, near, far)
        return views

    def _reach(self, both: Float[Tensor, "2 x y z"]) -> tuple[float, float]:
        """From the axis to the voxels farthest from it on either side, with a voxel to spare."""
        where = torch.nonzero(both.abs().sum((0, 3)) > 0).numpy()
        if not len(where):
            return 0.0, 0.0
        places = self.grid.points(np.column_stack([where, np.zeros(len(where))]))
        most = float(np.hypot(places[:, 0], places[:, 1]).max()) + 2.0 * max(self.grid.spacing_mm)
        return -most, most

    def _view(self, view: int, both: Float[Tensor, "2 x y z"], near: float, far: float) -> Float[Tensor, "row column"]:
        """Expected counts of one view in one state; depths from `near` to `far` of the axis are followed."""
        radius, theta = float(self.radii_mm[view]), math.radians(float(self.angles_deg[view]))
        n_steps = max(1, math.ceil((far - near) / self.step_mm))
        step = (far - near) / n_steps
        # nearest the detector first
        distance = torch.from_numpy(radius - far + (np.arange(n_steps) + 0.5) * step).float()
        start, slope = self._lines(view)
        away = np.array([-math.sin(theta), -math.cos(theta), 0.0])
        across, up = np.array([-math.cos(theta), math.sin(theta), 0.0]), np.array([0.0, 0.0, 1.0])
        face = -radius * away + start[:, :1] * across + start[:, 1:] * up
        course = away + slope[:, :1] * across + slope[:, 1:] * up
        inverse, sizes = np.linalg.inv(self.grid.affine), np.asarray(self.grid.shape)
        first = torch.from_numpy((2.0 * (face @ inverse[:3, :3].T + inverse[:3, 3]) + 1.0) / sizes - 1.0).float()
        each = torch.from_numpy(2.0 * (course @ inverse[:3, :3].T) / sizes).float()
        where = torch.addcmul(first.flip(-1)[:, None, :], each.flip(-1)[:, None, :], distance[None, :, None])
        seen = torch.nn.functional.grid_sample(both[None], where[None, None], mode="bilinear", align_corners=False)[
            0, :, 0
        ]
        lost = seen[1] * (step / 10.0)
        kept = torch.exp(-(lost.cumsum(-1) - 0.5 * lost))
        per_ray = (seen[0] * kept).sum(-1) * (step / self.grid.voxel_volume_mm3)
        return per_ray.view(self.n_rows, self.n_columns, self.rays).mean(-1) * self.pixel_mm**2

    def _lines(self, view: int) -> tuple[Array, Array]:
        """Where each ray leaves the collimator face along the columns and along z (mm), and its slopes."""
        within, normal = _bundle(self.rays, view)
        row, column = np.divmod(np.arange(self.n_rows * self.n_columns), self.n_columns)
        middle = np.stack([column - (self.n_columns - 1) / 2, (self.n_rows - 1) / 2 - row], -1)
        start = (middle[:, None] + within).reshape(-1, 2) * self.pixel_mm
        if self.collimator is None:
            return start, np.zeros_like(start)
        hole, crystal = (mm / FWHM_PER_SIGMA for mm in (self.collimator.hole_mm, self.collimator.intrinsic_fwhm_mm))
        offset = np.tile(normal[:, :2] * hole + normal[:, 2:] * crystal, (len(row), 1))
        length = self.collimator.length_mm - 20.0 / MU_LEAD_PER_CM
        return start + offset, np.tile(normal[:, :2] * hole / length, (len(row), 1))


def _bundle(n: int, view: int) -> tuple[Array, Array]:
    """Where in its pixel each ray ends [ray, 2], -0.5 to 0.5, and four normal deviates of it [ray, 4].

    Evenly spread by an additive recurrence, another one for each view; all pixels of a view have the same, so that what
    one pixel does not see its neighbour does. Mean, variances and covariances of the deviates are exact.
    """
    even = (0.5 + (np.arange(1, n + 1)[:, None] + n * view) * _STEPS) % 1.0
    normal = ndtri(np.clip(even[:, 2:], 1e-6, 1.0 - 1e-6))
    normal -= normal.mean(0)
    normal = normal @ np.linalg.inv(np.linalg.cholesky(normal.T @ normal / n)).T
    within = even[:, :2] - 0.5
    return within - within.mean(0), normal
