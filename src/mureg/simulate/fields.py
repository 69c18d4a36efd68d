"""Smooth random fields in patient space: deformations and textures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from torch import Tensor

from mureg.geometry import Grid, RigidTransform
from mureg.geometry.rigid import Triple


@dataclass(frozen=True, eq=False)
class SmoothField:
    """A random field with values on a lattice, linear in between.

    Attributes:
        lattice: values [channel, x, y, z].
        grid: where the lattice points lie in patient space.
    """

    lattice: Float[Tensor, "channel x y z"]
    grid: Grid

    @classmethod
    def draw(
        cls,
        generator: np.random.Generator,
        channels: int,
        wavelength_mm: float,
        size_mm: Triple,
        centre_mm: Triple = (0.0, 0.0, 0.0),
        refine: int = 4,
    ) -> SmoothField:
        """Normal deviates of standard deviation 1 every `wavelength_mm` over a box, joined by cubic splines.

        Args:
            generator: source of chance.
            channels: independent fields.
            wavelength_mm: distance between independent values.
            size_mm: of the box around `centre_mm`; beyond it the field goes on as at its edge.
            centre_mm: of the box.
            refine: lattice points for each independent value along each axis.
        """
        # a cubic spline needs four values
        shape = tuple(max(4, int(np.ceil(extent / wavelength_mm)) + 1) for extent in size_mm)
        coarse = generator.standard_normal((channels, *shape))
        along_x, along_y, along_z = (_spline_weights(n, refine) for n in shape)
        fine = np.einsum("cxyz,ux,vy,wz->cuvw", coarse, along_x, along_y, along_z, optimize=True)
        grid = Grid.centred((fine.shape[1], fine.shape[2], fine.shape[3]), (wavelength_mm / refine,) * 3, centre_mm)
        return cls(torch.from_numpy(fine.astype(np.float32)), grid)

    def on(self, grid: Grid, field_from_grid: RigidTransform | None = None) -> Float[Tensor, "channel u v w"]:
        """The field at every voxel of a grid.

        Args:
            grid: where to evaluate.
            field_from_grid: maps a point of the grid's space to the field's; identity when left out.
        """
        matrix = (field_from_grid or RigidTransform.identity()).matrix
        index_matrix = torch.from_numpy(np.linalg.inv(self.grid.affine) @ matrix @ grid.affine)
        axes = [torch.arange(n, dtype=torch.float32) for n in grid.shape]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) @ index_matrix[:3, :3].float().T
        places = places + index_matrix[:3, 3].float()
        return self._at_indices(places)

    def at(self, points_mm: Float[Tensor, "*point 3"]) -> Float[Tensor, "channel ..."]:
        """The field at points of its own space."""
        inverse = torch.from_numpy(np.linalg.inv(self.grid.affine)).to(points_mm)
        return self._at_indices(points_mm @ inverse[:3, :3].T + inverse[:3, 3])

    @cached_property
    def _double(self) -> Float[Tensor, "channel x y z"]:
        """The lattice for places in double precision, converted once: inverting a deformation asks dozens of times."""
        return self.lattice.double()

    def _at_indices(self, indices: Float[Tensor, "*point 3"]) -> Float[Tensor, "channel ..."]:
        sizes = torch.tensor(self.lattice.shape[1:]).to(indices)
        places = ((2 * indices + 1) / sizes - 1).flip(-1).reshape(1, 1, 1, -1, 3)
        lattice = self._double if indices.dtype == torch.float64 else self.lattice.to(indices)
        samples = torch.nn.functional.grid_sample(
            lattice[None], places, mode="bilinear", padding_mode="border", align_corners=False
        )
        return samples[0, :, 0, 0].reshape(-1, *indices.shape[:-1])


def _spline_weights(n: int, refine: int) -> npt.NDArray[np.float64]:
    """Weights [fine, coarse] of the cubic spline through `n` values, at `refine` places for each; flat at the ends."""
    places = np.clip((np.arange(n * refine) + 0.5) / refine - 0.5, 0.0, n - 1.0)
    return np.asarray(make_interp_spline(np.arange(n), np.eye(n), k=3)(places))
