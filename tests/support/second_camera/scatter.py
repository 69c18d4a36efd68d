"""Scatter by single-scatter simulation: Klein-Nishina through the map, scaled for what scatters again.

At each point of a coarse grid, rays in every direction collect the tracer that shines on it; each direction is
scattered by the angle towards the detector with its probability and its loss of energy, which decides in which energy
window it is counted. The result is, for each view, a source that sends scattered photons towards that detector.
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

from mureg.geometry import Grid, Volume
from support.second_camera.camera import Camera
from support.second_camera.compton import COMPTON_SHARE, Crystal, Window, into_window, sphere
from support.second_camera.patient import on_grid

Array = npt.NDArray[np.float64]

MULTIPLE_SCATTER = (1.17, 1.56)
"""All orders of scatter over the first in 126.5-154.5 and 114-126 keV, by an analogue Monte Carlo of 4 million
photons through the map of a chest, LIDC-IDRI-0001 (tests/support/photon_transport.py)."""


@dataclass(frozen=True)
class SingleScatter:
    """Single scatter on coarse grids.

    Attributes:
        source_mm: voxels in which activity and attenuation are seen along the rays.
        point_mm: distance between scatter points.
        n_directions: rays from each scatter point, evenly over the sphere.
        crystal: energy resolution.
        multiple: per energy window, all orders of scatter over the first.
        mu_scale: per energy window, attenuation of the scattered photons over that at 140.5 keV.
    """

    source_mm: float = 13.6
    point_mm: float = 20.4
    n_directions: int = 800
    crystal: Crystal = Crystal()  # noqa: RUF009 (frozen)
    multiple: tuple[float, ...] = MULTIPLE_SCATTER
    mu_scale: tuple[float, ...] = (1.02, 1.055)

    def project(
        self, activity: Volume, mu: Volume, windows: Sequence[Window], camera: Camera
    ) -> Float[Tensor, "window view row column"]:
        """Expected scattered counts, in the units of `Camera.project` for the same activity.

        Args:
            activity: photons per voxel, on a fine grid.
            mu: attenuation in 1/cm at 140.5 keV, on the same grid.
            windows: energy windows, in the order of `multiple` and `mu_scale`.
            camera: of any pixel size; a coarse one (about `source_mm`) is enough.
        """
        points_mm, compton_per_cm = self.scatter_points(mu)
        flux = self.incoming(activity, mu, points_mm)
        directions = sphere(self.n_directions)
        point_grid = _coarse(mu.grid, self.point_mm)
        index = np.round(point_grid.indices(points_mm)).astype(int)
        mu_camera = torch.from_numpy(on_grid(mu, camera.grid, 1).values)
        views = torch.zeros(len(windows), len(camera.angles_deg), camera.grid.shape[2], camera.grid.shape[0])
        for view, theta in enumerate(np.radians(camera.angles_deg)):
            cosine = -directions @ np.array([math.sin(theta), math.cos(theta), 0.0])  # rays point at the source
            for w, window in enumerate(windows):
                strength = compton_per_cm * (flux @ into_window(cosine, window, self.crystal)) * self.multiple[w]
                sources = np.zeros(point_grid.shape, dtype=np.float32)
                sources[tuple(index.T)] = strength * (camera.grid.spacing_mm[0] / 10.0) ** 3
                spread = on_grid(Volume(sources, point_grid, activity.quantity), camera.grid, 1)
                views[w, view] = camera.view(view, torch.from_numpy(spread.values), mu_camera * self.mu_scale[w])
        return views

    def scatter_points(self, mu: Volume) -> tuple[Array, Array]:
        """Centres [point, 3] (mm) of coarse voxels that hold matter, and their Compton scattering in 1/cm."""
        coarse = on_grid(mu, _coarse(mu.grid, self.point_mm), 6).values
        where = np.argwhere(coarse > 0.01)
        return _coarse(mu.grid, self.point_mm).points(where), COMPTON_SHARE * coarse[tuple(where.T)].astype(np.float64)

    def incoming(self, activity: Volume, mu: Volume, points_mm: Array) -> Array:
        """Photons per cm^2 that pass each scatter point from each direction [point, direction].

        The integral of ``activity exp(-integral of mu) ds / 4 pi`` along a ray, times the direction's share of the
        sphere: the inverse square of the distance cancels against the volume seen.
        """
        grid = _coarse(mu.grid, self.source_mm)
        per_cm3 = on_grid(activity, grid, 4).values / (activity.grid.voxel_volume_mm3 / 1000.0)
        both = torch.from_numpy(np.stack([per_cm3, on_grid(mu, grid, 4).values]))[None]
        step_mm = self.source_mm / 2.0
        reach = np.arange(0.5, math.ceil(max(grid.extent_mm) / step_mm)) * step_mm
        offsets = sphere(self.n_directions)[:, None, :] * reach[:, None]
        sizes = np.asarray(grid.shape)
        flux = np.empty((len(points_mm), self.n_directions))
        for i, point in enumerate(points_mm):
            where = (2 * grid.indices(point + offsets) + 1) / sizes - 1
            sampled = torch.nn.functional.grid_sample(
                both,
                torch.from_numpy(where[None, None, ..., ::-1].copy()).to(both.dtype),
                align_corners=False,
            )[0, :, 0]
            thickness = sampled[1] * (step_mm / 10.0)
            weakened = sampled[0] * torch.exp(-(thickness.cumsum(-1) - 0.5 * thickness))
            flux[i] = weakened.sum(-1).numpy() * (step_mm / 10.0) / self.n_directions
        return flux


def _coarse(grid: Grid, spacing_mm: float) -> Grid:
    """Cubic voxels of about this size over the whole extent of a grid, with its centre."""
    counts = [math.ceil(extent / spacing_mm - 1e-6) for extent in grid.extent_mm]
    return Grid.centred((counts[0], counts[1], counts[2]), (spacing_mm,) * 3, grid.centre_mm, grid.frame_of_reference)
