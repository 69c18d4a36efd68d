"""How tissue moves in a breath as it was measured in a 4-D CT, carried over to any body by its lungs and domes.

The displacement of a place is that of the domes times a smooth function of the height between apex and dome, the
distance from the chest wall and spine, front or back, and the side; the heart moves by a share of its own. The
coefficients were fitted to one patient (`benchmarks/evidence/breathing_model.py`); they are in `data/breathing.toml`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from mureg.errors import MuregError
from mureg.geometry import Grid

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

HEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
"""Knots of the height: 0 at the top of the lungs, 1 at the domes; chosen for the fit."""
WALL_MM = (0.0, 12.0, 30.0)
"""Knots of the distance from the chest wall and the spine; chosen for the fit."""
MEASURED_MM = 8.0
"""Lattice on which a body keeps its displacement: less than the blur of it along z. Chosen."""

# form of the model, chosen; how well it fits the measured patient stands in evidence/breathing/model.csv
_MIDDLE_MM = 15.0  # over which the side goes over from right to left
_APEX_MM2 = 1500.0  # lung of a slice from which its top is counted: about a twentieth of a chest's
_ABOVE = 0.15  # height above the lungs over which the motion fades

# the region of the right dome: side, distance from the wall, and how near the height of the domes and the middle from
# front to back; free of the heart where that moves tissue by less than a twentieth. Chosen
_RIGHT, _FREE_MM, _DOME_HEIGHT, _DOME_BACK = -0.8, 25.0, 0.06, 0.4
_HARDLY = 0.05
_SCALES, _FEWEST = (0.8, 1.8), 20
"""Limits of the factor for another body's dome, and voxels of it (5 to 10 ml) from which it is taken; chosen."""

# with the heart: 7 mm beside it as one piece and none from 27 mm on, 20 and 78 mm along z, in scaled mm. Chosen so that
# no body folds in breaths up to 36 mm (commit a222d53) and the right dome is free in small chests (c172313)
_HEART_RIGID_MM, _HEART_FADES_MM = 12.0, 35.0
_NEARNESS = (1.75, 1.75, 0.6)

_BLUR_MM = (5.0, 5.0, 12.0)
"""Standard deviation along x, y, z that takes the knots' edges off the displacement; chosen."""
_ITERATIONS, _TOLERANCE_MM = 60, 1e-3
"""Fixed-point steps; a displacement that needs more than 60 to reach a thousandth of a mm nearly folds. Chosen."""


@dataclass(frozen=True, eq=False)
class BodyRegions:
    """What decides how far tissue moves, at end expiration or as scanned.

    Attributes:
        grid: of the masks, along the patient axes.
        lung: air-filled lung.
        movable: inside the chest and abdominal wall, without spine and ribs.
        heart: the whole heart.
        dome_z_mm: between the tops of the two domes.
        wall_apart: chest wall and spine are moved by others; then the motion goes on beyond what is movable.
    """

    grid: Grid
    lung: Mask
    movable: Mask
    heart: Mask
    dome_z_mm: float
    wall_apart: bool = False

    def coordinates(self) -> dict[str, Array]:
        """Height, distance from the wall (mm), front (-1) to back (1), and side (-1 right to 1 left) of each voxel."""
        x, y, z = (
            self.grid.affine[axis, 3] + self.grid.affine[axis, axis] * np.arange(n)
            for axis, n in enumerate(self.grid.shape)
        )
        i, j = (np.flatnonzero(self.lung.any(axes)) for axes in ((1, 2), (0, 2)))
        area = self.lung.sum((0, 1)) * self.grid.spacing_mm[0] * self.grid.spacing_mm[1]
        k = np.flatnonzero(area > _APEX_MM2)
        if not len(k):
            raise MuregError("no lung in the body", "lungs in the CT", "use a CT that shows the chest")
        top = float(z[k[-1]]) + self.grid.spacing_mm[2] / 2
        height = (top - z) / (top - self.dome_z_mm)
        middle, half = (y[j[0]] + y[j[-1]]) / 2, (y[j[-1]] - y[j[0]]) / 2
        side = np.tanh((x - (x[i[0]] + x[i[-1]]) / 2) / _MIDDLE_MM)
        padded = np.pad(self.movable, ((1, 1), (1, 1), (0, 0)))
        wall = ndimage.distance_transform_edt(padded, sampling=self.grid.spacing_mm)[1:-1, 1:-1]
        shape = self.grid.shape
        return {
            "height": np.broadcast_to(height, shape),
            "wall": np.asarray(wall),
            "back": np.broadcast_to(np.clip((y - middle) / half, -1.0, 1.0)[:, None], shape),
            "side": np.broadcast_to(side[:, None, None], shape),
        }

    def right_dome(self, places: dict[str, Array]) -> Mask:
        """Movable tissue at the height of the domes, in the middle of the right half, that the heart does not move."""
        near = (np.abs(places["height"] - 1.0) < _DOME_HEIGHT) & (np.abs(places["back"]) < _DOME_BACK)
        free = self.movable & (self.with_heart() < _HARDLY)
        return free & near & (places["side"] < _RIGHT) & (places["wall"] > _FREE_MM)

    def with_heart(self) -> Array:
        """Share by which tissue moves with the heart: 1 up to 7 mm beside it, 0 from 27 mm on; 20 and 78 mm along z.

        What lies under the heart goes with it: its share may be larger or smaller than that of the tissue around.
        """
        spacing = np.asarray(self.grid.spacing_mm) * _NEARNESS
        far = ndimage.distance_transform_edt(~self.heart, sampling=spacing)
        return np.asarray(np.clip(1.0 - (far - _HEART_RIGID_MM) / _HEART_FADES_MM, 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class BreathModel:
    """The measured motion as numbers.

    Attributes:
        coefficients: [basis, outwards, back, feet] displacement for each mm of the domes.
        heart_back: how far the heart goes to the back for each mm of the domes; below 0 to the front.
        at_dome: how far the region of the right dome (`BodyRegions.right_dome`) sinks on average for each mm of its
            top; 0 leaves the motion of other bodies unscaled.
        cycle: depth of the domes at even times of one breath, 0 at end expiration to 1.
    """

    coefficients: Array
    heart_back: float
    at_dome: float
    cycle: tuple[float, ...]

    def displacement(self, places: dict[str, Array]) -> Array:
        """[..., 3] to the left, the back and the feet for each mm that the domes go towards the feet."""
        moved = basis(places) @ self.coefficients
        moved[..., 0] *= places["side"]
        return np.asarray(moved)


def basis(places: dict[str, Array]) -> Array:
    """[..., 98]: height x distance from the wall x cubic in front to back, and height x side x linear in it."""
    heights = _hats(places["height"], HEIGHTS)
    walls = _hats(places["wall"], WALL_MM)
    back = np.stack([places["back"] ** n for n in range(4)], -1)
    product = heights[..., :, None, None] * walls[..., None, :, None] * back[..., None, None, :]
    flat = product.reshape(*product.shape[:-3], -1)
    aside = heights * places["side"][..., None]
    return np.concatenate([flat, aside, aside * places["back"][..., None]], -1)


def _hats(values: Array, knots: tuple[float, ...]) -> Array:
    """Weights of piecewise linear interpolation between knots; constant beyond them."""
    return np.stack([np.interp(values, knots, row) for row in np.eye(len(knots))], -1)


@cache
def measured_breath() -> BreathModel:
    """The shipped model."""
    table = tomllib.loads(resources.files("mureg.data").joinpath("breathing.toml").read_text(encoding="utf-8"))
    return BreathModel(np.array(table["coefficients"]), table["heart_back"], table["at_dome"], tuple(table["cycle"]))


@dataclass(frozen=True, eq=False)
class MeasuredMotion:
    """Displacement in a breath, on a lattice over a body at end expiration.

    Attributes:
        by_domes: [3, x, y, z] mm LPS for each mm that the domes go towards the feet.
        by_heart: [3, x, y, z] the same for the heart.
        grid: of the lattice; beyond it the displacement goes on as at its edge.
    """

    by_domes: Float[Tensor, "3 x y z"]
    by_heart: Float[Tensor, "3 x y z"]
    grid: Grid

    @classmethod
    def of(cls, regions: BodyRegions, model: BreathModel | None = None) -> MeasuredMotion:
        """The measured motion of a body with these regions."""
        model = model or measured_breath()
        places = regions.coordinates()
        with_heart = torch.from_numpy(regions.with_heart()).float()
        moved = model.displacement(places) * _moves(regions, places["height"])[..., None]
        domes = _smooth(moved * (1.0, 1.0, -1.0), regions.grid) * (1.0 - with_heart)
        domes[1] += with_heart * model.heart_back
        heart = torch.stack([torch.zeros_like(with_heart), torch.zeros_like(with_heart), -with_heart])
        return cls(domes * _scale(domes, regions.right_dome(places), model.at_dome), heart, regions.grid)

    def carried(self, grid: Grid, places_mm: Float[Tensor, "x y z 3"]) -> MeasuredMotion:
        """The same displacements over another lattice, whose points are these places of this one's space."""
        fields = [self.shift(places_mm.float(), *unit).movedim(-1, 0) for unit in ((1.0, 0.0), (0.0, 1.0))]
        return MeasuredMotion(fields[0], fields[1], grid)

    def shift(
        self, points_mm: Float[Tensor, "*point 3"], domes_mm: float, heart_mm: float
    ) -> Float[Tensor, "*point 3"]:
        """How far tissue that lies at these points at end expiration has gone, mm LPS.

        Args:
            points_mm: places at end expiration.
            domes_mm: how far the domes have gone towards the feet; below 0 towards the head.
            heart_mm: how far the heart has.
        """
        inverse = torch.from_numpy(np.linalg.inv(self.grid.affine)).to(points_mm)
        index = points_mm @ inverse[:3, :3].T + inverse[:3, 3]
        sizes = torch.tensor(self.grid.shape).to(index)
        places = ((2 * index + 1) / sizes - 1).flip(-1).reshape(1, 1, 1, -1, 3)
        field = (domes_mm * self.by_domes + heart_mm * self.by_heart).to(index)
        samples = torch.nn.functional.grid_sample(
            field[None], places, mode="bilinear", padding_mode="border", align_corners=False
        )
        return samples[0, :, 0, 0].T.reshape(points_mm.shape)

    def source(
        self, points_mm: Float[Tensor, "*point 3"], domes_mm: float, heart_mm: float
    ) -> Float[Tensor, "*point 3"]:
        """Where tissue that lies at these points now lies at end expiration: the inverse of `shift`, to 0.001 mm.

        Raises:
            MuregError: the displacement folds there and has no inverse.
        """
        if domes_mm == 0 and heart_mm == 0:
            return points_mm
        source_mm = points_mm - self.shift(points_mm, domes_mm, heart_mm)
        for _ in range(_ITERATIONS):
            step = points_mm - source_mm - self.shift(source_mm, domes_mm, heart_mm)
            source_mm = source_mm + step
            if float(step.abs().max()) < _TOLERANCE_MM:
                return source_mm
        raise MuregError(
            f"a breath of {domes_mm:.0f} mm with a heart that follows by {heart_mm:.0f} mm folds the body",
            "a smaller depth, or a heart that follows further",
            "draw the breathing from a narrower range",
        )

    def volume_ratio(
        self, points_mm: Float[Tensor, "*point 3"], domes_mm: float, heart_mm: float, step_mm: float = 4.0
    ) -> Float[Tensor, "*point"]:
        """Volume of tissue now relative to end expiration at these points of end expiration; below 0 it would fold.

        Differences are over `step_mm` to either side: half of `MEASURED_MM`, so over one voxel of the lattice.
        """
        columns = []
        for axis in range(3):
            step = torch.zeros(3).to(points_mm)
            step[axis] = step_mm
            ends = [self.shift(points_mm + sign * step, domes_mm, heart_mm) for sign in (1, -1)]
            columns.append((ends[0] - ends[1]) / (2 * step_mm))
        ratio: Tensor = torch.linalg.det(torch.stack(columns, -1) + torch.eye(3).to(points_mm))
        return ratio


def _scale(domes: Float[Tensor, "3 x y z"], at_dome: Mask, descent: float) -> Float[Tensor, "3 1 1 1"]:
    """Factors along x, y and z with which the region of the right dome sinks as the measured patient's does."""
    scale = torch.ones(3, 1, 1, 1)
    if descent and at_dome.sum() >= _FEWEST:
        own = -float(domes[2][torch.from_numpy(at_dome)].mean())
        scale[2] = float(np.clip(descent / max(own, 1e-3), *_SCALES))
    return scale


def _moves(regions: BodyRegions, height: Array) -> Array:
    """1 in what is movable, fading out above the lungs."""
    return np.where(regions.movable | regions.wall_apart, np.clip(1.0 + height / _ABOVE, 0.0, 1.0), 0.0)


def _smooth(field: Array, grid: Grid) -> Float[Tensor, "3 x y z"]:
    sigma = np.asarray(_BLUR_MM) / grid.spacing_mm
    parts = [ndimage.gaussian_filter(field[..., k], sigma, mode="nearest") for k in range(3)]
    return torch.from_numpy(np.stack(parts).astype(np.float32))
