"""An image that never travels without its grid and its unit."""

from __future__ import annotations

import base64
import html
import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mureg.errors import GeometryError
from mureg.geometry.grid import Grid
from mureg.geometry.picture import as_png, grey_pictures, slice_grids
from mureg.geometry.rigid import RigidTransform

_SLAB_POINTS = 250_000
"""Few enough that what is made of them stays in the processor's own memory."""


class Quantity(Enum):
    """What the voxel values mean: a name, the unit and the display window."""

    HU = ("HU", -200.0, 300.0)
    MU_PER_CM = ("1/cm", 0.0, 0.2)
    COUNTS = ("counts", 0.0, None)
    ACTIVITY = ("relative activity per voxel", 0.0, None)
    LABEL = ("label", 0.0, None)

    def __init__(self, unit: str, window_low: float, window_high: float | None) -> None:
        self.unit, self.window_low, self.window_high = unit, window_low, window_high


def interpolate(
    values: Float[Tensor, "*image x y z"],
    source_from_target: Float[Tensor, "4 4"],
    shape: tuple[int, int, int],
    *,
    nearest: bool = False,
) -> tuple[Float[Tensor, "*image u v w"], Bool[Tensor, "u v w"]]:
    """Sample an image, or several on one lattice, once on another lattice.

    Args:
        values: the source, index order x, y, z.
        source_from_target: maps target voxel indices to source voxel indices (fractional). The result can be
            differentiated with respect to it and to `values`.
        shape: the target lattice.
        nearest: take the nearest voxel (labels) instead of trilinear weights.

    Returns:
        The sampled values, 0 outside, and which target voxels lay outside the source. A voxel reaches half a spacing
        around its centre, so the source ends half a voxel beyond its outermost centres (as in ITK).
    """
    device, nx = values.device, shape[0]
    matrix = source_from_target.to(device=device, dtype=torch.float64)
    v, w = (torch.arange(n, device=device, dtype=torch.float64) for n in shape[1:])
    rows_at_once = max(1, _SLAB_POINTS // (shape[1] * shape[2]))
    sampled, outside = [], []
    for start in range(0, nx, rows_at_once):
        u = torch.arange(start, min(start + rows_at_once, nx), device=device, dtype=torch.float64)
        beyond, normalised = torch.zeros((), device=device, dtype=torch.bool), []
        for (a, b, c, d), size in zip(matrix[:3], values.shape[-3:], strict=True):
            index = (u * a)[:, None, None] + (v * b)[:, None] + w * c + d
            # 1e-6 of a voxel forgives rounding when two lattices share their edge
            beyond = beyond | (index < -0.5 - 1e-6) | (index > size - 0.5 + 1e-6)
            normalised.append(((2 * index + 1) / size - 1).to(values.dtype))
        picked = torch.nn.functional.grid_sample(
            values.reshape(1, -1, *values.shape[-3:]),
            torch.stack(normalised[::-1], -1)[None],
            mode="nearest" if nearest else "bilinear",
            padding_mode="border",
            align_corners=False,
        )[0]
        sampled.append(picked.masked_fill(beyond, 0.0))
        outside.append(beyond)
    return torch.cat(sampled, 1).reshape(*values.shape[:-3], *shape), torch.cat(outside)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values on a grid.

    Attributes:
        values: floating-point tensor [x, y, z] in the unit of `quantity`, finite everywhere.
        grid: where the voxels lie.
        quantity: what the values mean.
        outside: voxels about which nothing is known (beyond the scan, padding); their value is a filler, not air.
            None when every voxel is known.
    """

    values: Float[Tensor, "x y z"]
    grid: Grid
    quantity: Quantity
    outside: Bool[Tensor, "x y z"] | None = None

    def __post_init__(self) -> None:
        if tuple(self.values.shape) != self.grid.shape:
            raise GeometryError(
                f"values of shape {tuple(self.values.shape)} on a grid of shape {self.grid.shape}",
                "the same shape",
                "pass values in x, y, z order",
            )
        if self.outside is not None and self.outside.shape != self.values.shape:
            raise GeometryError(
                f"a mask of shape {tuple(self.outside.shape)} for values of shape {tuple(self.values.shape)}",
                "the same shape",
                "make the mask on the same grid",
            )
        # a finite sum has only finite terms, and takes a tenth of the time; any other sum needs the full test
        if not math.isfinite(float(self.values.sum())) and not bool(torch.isfinite(self.values).all()):
            raise GeometryError("NaN or infinite voxel values", "finite numbers", "replace or mask them before use")

    @classmethod
    def from_numpy(
        cls,
        values: npt.NDArray[Any],
        grid: Grid,
        quantity: Quantity,
        outside: npt.NDArray[np.bool_] | None = None,
    ) -> Volume:
        """A volume with its own float32 copy of an array [x, y, z]."""
        mask = None if outside is None or not outside.any() else torch.tensor(outside)
        return cls(torch.tensor(np.asarray(values, dtype=np.float32)), grid, quantity, mask)

    def numpy(self) -> npt.NDArray[Any]:
        """The values as an array [x, y, z] in main memory."""
        array: npt.NDArray[Any] = self.values.detach().cpu().numpy()
        return array

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """For ``np.asarray(volume)``: the values [x, y, z], read-only where they are not copied."""
        shared = self.numpy()
        shared.flags.writeable = False
        moved = self.values.device.type != "cpu" or (dtype is not None and np.dtype(dtype) != shared.dtype)
        if moved and copy is False:
            raise ValueError("the values cannot be given without a copy: another type or the memory of a device")
        return np.array(shared, dtype=dtype) if moved or copy else shared

    @classmethod
    def from_nibabel(cls, image: Any, quantity: Quantity) -> Volume:
        """A volume with its own copy of a nibabel image.

        Args:
            image: 3-D, in mm (RAS+, converted to LPS+); further dimensions of length 1 are dropped.
            quantity: what its values mean; they are taken as they are.

        Raises:
            GeometryError: no orientation, two that contradict each other, another unit, sheared axes, not 3-D.
        """
        from mureg.io.exchange import volume_from_nibabel

        return volume_from_nibabel(image, quantity)

    def to_nibabel(self) -> Any:
        """A float32 `nibabel.Nifti1Image` (RAS+) in scanner coordinates; unknown voxels hold their filler."""
        from mureg.io.exchange import nibabel_from_volume

        return nibabel_from_volume(self)

    @classmethod
    def from_sitk(cls, image: Any, quantity: Quantity) -> Volume:
        """A volume with its own copy of a 3-D `SimpleITK.Image` in mm (LPS+, as here).

        Args:
            image: one value a voxel.
            quantity: what the values mean; they are taken as they are.

        Raises:
            GeometryError: not 3-D, or several values a voxel.
        """
        from mureg.io.exchange import volume_from_sitk

        return volume_from_sitk(image, quantity)

    def to_sitk(self) -> Any:
        """A float32 `SimpleITK.Image` (LPS+, mm); unknown voxels hold their filler."""
        from mureg.io.exchange import sitk_from_volume

        return sitk_from_volume(self)

    def __repr__(self) -> str:
        known = self.values if self.outside is None else self.values[~self.outside]
        unit, unknown = self.quantity.unit, 1.0 - self.known_share
        extent = f"{float(known.min()):.4g} to {float(known.max()):.4g} {unit}" if known.numel() else "nothing known"
        name = "" if self.quantity.name.lower() == unit.lower() else f"{self.quantity.name} "
        share = f", {100.0 * unknown:.2g} % unknown" if unknown else ""
        return f"Volume({self.grid.size_in_words()}, {name}{extent}{share})"

    def _repr_html_(self) -> str:
        """Three slices through the middle, for notebooks; unknown voxels are black."""
        black, white = self.quantity.window_low, self.quantity.window_high
        sampled = [self.resampled(grid) for grid in slice_grids(self.grid)]
        planes = [v.values if v.outside is None else v.values.masked_fill(v.outside, black) for v in sampled]
        pictures = grey_pictures([plane.detach().cpu().numpy() for plane in planes], black, white)
        picture = base64.b64encode(as_png(pictures)).decode()
        caption = "transverse, coronal and sagittal slice through the middle; the patient's right is on the left"
        return (
            f'<figure style="margin: 0"><img alt="{caption}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{html.escape(repr(self))}<br>{caption}</figcaption></figure>"
        )

    def with_values(self, values: Float[Tensor, "x y z"], quantity: Quantity | None = None) -> Volume:
        """The same grid and mask with other values."""
        return replace(self, values=values, quantity=quantity or self.quantity)

    def to(self, device: torch.device | str) -> Volume:
        """The same volume in the memory of a device."""
        mask = None if self.outside is None else self.outside.to(device)
        return replace(self, values=self.values.to(device), outside=mask)

    @property
    def known_share(self) -> float:
        """Share of voxels about which something is known, 0 to 1."""
        return 1.0 if self.outside is None else 1.0 - float(self.outside.float().mean())

    def resampled(self, onto: Grid, through: RigidTransform | None = None) -> Volume:
        """Sample this volume on another grid with one trilinear interpolation (nearest for labels).

        Args:
            onto: the target grid.
            through: ``self_from_onto``, which maps a point of the target's space to the place in this volume's space
                where the same anatomy lies; identity when left out.

        Returns:
            A volume on `onto`. Voxels that lay outside this one, or touch its own unknown voxels, are marked in
            `outside` and hold 0.
        """
        self_from_onto = (through or RigidTransform.identity()).matrix
        index_matrix = torch.from_numpy(np.linalg.inv(self.grid.affine) @ self_from_onto @ onto.affine)
        nearest = self.quantity is Quantity.LABEL
        if self.outside is None:
            values, outside = interpolate(self.values, index_matrix, onto.shape, nearest=nearest)
        else:
            both = torch.stack((self.values.masked_fill(self.outside, 0.0), self.outside.to(self.values.dtype)))
            (values, touched), beyond = interpolate(both, index_matrix, onto.shape, nearest=nearest)
            outside = beyond | (touched > 1e-4)
            values = values.masked_fill(outside, 0.0)
        return Volume(values, onto, self.quantity, outside if bool(outside.any()) else None)

    def coarsened(self, spacing_mm: float) -> Volume:
        """Average whole blocks of voxels until their spacing is about `spacing_mm`, over the full extent.

        Sampling a fine CT straight onto a coarse grid would pick single noisy voxels; averaging first keeps the mean.
        The last voxels that fill no whole block are repeated into it. A block that holds an unknown voxel is unknown.
        """
        if self.quantity is Quantity.LABEL:
            raise GeometryError("labels to be averaged", "values that have a mean", "resample labels instead")
        factors = [max(1, int(spacing_mm / s + 1e-6)) for s in self.grid.spacing_mm]
        if factors == [1, 1, 1]:
            return self
        shape = tuple(-(-n // f) for n, f in zip(self.grid.shape, factors, strict=True))
        affine = self.grid.affine.copy()
        affine[:3, 3] = self.grid.points((np.asarray(factors) - 1) / 2)
        affine[:3, :3] *= factors
        grid = Grid((shape[0], shape[1], shape[2]), affine, self.grid.frame_of_reference)
        padding = [p for n, f in zip(self.grid.shape[::-1], factors[::-1], strict=True) for p in (0, -n % f)]

        def mean(values: Tensor) -> Tensor:
            padded = torch.nn.functional.pad(values[None, None], padding, mode="replicate")
            return torch.nn.functional.avg_pool3d(padded, factors)[0, 0]

        outside = None if self.outside is None else mean(self.outside.to(self.values.dtype)) > 0
        return Volume(mean(self.values), grid, self.quantity, outside)

    def averaged(self, width_mm: float) -> Volume:
        """The moving average over about `width_mm` along every axis, at the same spacing.

        Sampling an image at single points of a coarser lattice finds or misses what is thinner than its voxels; after
        the average each sample stands for all within a voxel around it. The window holds a whole number of voxels; for
        an even number its middles lie between voxels, and the grid says so: it is shifted by half a voxel. Beyond the
        edges the last voxels are repeated. Unknown voxels have no weight; where more than half of the window is
        unknown, so is the result.
        """
        if self.quantity is Quantity.LABEL:
            raise GeometryError("labels to be averaged", "values that have a mean", "resample labels instead")
        window = [max(1, round(width_mm / s)) for s in self.grid.spacing_mm]
        if window == [1, 1, 1]:
            return self
        padding = [p for n in window[::-1] for p in ((n - 1) // 2, n // 2)]
        affine = self.grid.affine.copy()
        affine[:3, 3] = self.grid.points([(n - 1) / 2 - (n - 1) // 2 for n in window])
        grid = Grid(self.grid.shape, affine, self.grid.frame_of_reference)

        def mean(values: Tensor) -> Tensor:
            padded = torch.nn.functional.pad(values[None, None], padding, mode="replicate")
            return torch.nn.functional.avg_pool3d(padded, window, stride=1)[0, 0]

        if self.outside is None:
            return Volume(mean(self.values), grid, self.quantity)
        known = mean((~self.outside).to(self.values.dtype))
        outside = known < 0.5 - 1e-4
        values = mean(self.values.masked_fill(self.outside, 0.0)) / known.clamp_min(1e-6)
        return Volume(values.masked_fill(outside, 0.0), grid, self.quantity, outside if bool(outside.any()) else None)
