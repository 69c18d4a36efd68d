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
from jaxtyping import Bool, Float
from scipy import ndimage

from mureg.errors import GeometryError
from mureg.geometry.blocks import block_means
from mureg.geometry.grid import Grid
from mureg.geometry.interpolation import Array, interpolate, lies_beyond
from mureg.geometry.picture import as_png, grey_pictures, slice_grids
from mureg.geometry.rigid import RigidTransform


class Quantity(Enum):
    """What the voxel values mean: a name, the unit and the display window."""

    # usual for the mediastinum; to a third above soft tissue (0.15 1/cm)
    HU = ("HU", -200.0, 300.0)
    MU_PER_CM = ("1/cm", 0.0, 0.2)
    COUNTS = ("counts", 0.0, None)
    ACTIVITY = ("relative activity per voxel", 0.0, None)
    LABEL = ("label", 0.0, None)

    def __init__(self, unit: str, window_low: float, window_high: float | None) -> None:
        self.unit, self.window_low, self.window_high = unit, window_low, window_high


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values on a grid.

    Attributes:
        values: floating-point array [x, y, z] in the unit of `quantity`, finite everywhere.
        grid: where the voxels lie.
        quantity: what the values mean.
        outside: voxels about which nothing is known (beyond the scan, padding); their value is a filler, not air.
            None when every voxel is known.
    """

    values: Float[Array, "x y z"]
    grid: Grid
    quantity: Quantity
    outside: Bool[Array, "x y z"] | None = None

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
        if not math.isfinite(float(self.values.sum())) and not bool(np.isfinite(self.values).all()):
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
        mask = None if outside is None or not outside.any() else np.array(outside, dtype=bool)
        return cls(np.array(values, dtype=np.float32, order="C"), grid, quantity, mask)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """For ``np.asarray(volume)``: the values [x, y, z], read-only where they are not copied."""
        view = self.values.view()
        view.flags.writeable = False
        needs_conversion = dtype is not None and np.dtype(dtype) != view.dtype
        if needs_conversion and copy is False:
            raise ValueError("values of another type cannot be given without a copy")
        return np.array(view, dtype=dtype) if needs_conversion or copy else view

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
        values = self.values if self.outside is None else self.values[~self.outside]
        unit, unknown = self.quantity.unit, 1.0 - self.known_share
        extent = f"{float(values.min()):.4g} to {float(values.max()):.4g} {unit}" if values.size else "nothing known"
        name = "" if self.quantity.name.lower() == unit.lower() else f"{self.quantity.name} "
        share = f", {100.0 * unknown:.2g} % unknown" if unknown else ""
        return f"Volume({self.grid.size_in_words()}, {name}{extent}{share})"

    def _repr_html_(self) -> str:
        """Three slices through the middle, for notebooks; unknown voxels are black."""
        black, white = self.quantity.window_low, self.quantity.window_high
        sampled = [self.resampled(grid) for grid in slice_grids(self.grid)]
        planes = [v.values if v.outside is None else np.where(v.outside, black, v.values) for v in sampled]
        pictures = grey_pictures(planes, black, white)
        picture = base64.b64encode(as_png(pictures)).decode()
        caption = "transverse, coronal and sagittal slice through the middle; the patient's right is on the left"
        return (
            f'<figure style="margin: 0"><img alt="{caption}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{html.escape(repr(self))}<br>{caption}</figcaption></figure>"
        )

    def with_values(self, values: Float[Array, "x y z"], quantity: Quantity | None = None) -> Volume:
        """The same grid and mask with other values."""
        return replace(self, values=values, quantity=quantity or self.quantity)

    @property
    def known_share(self) -> float:
        """Share of voxels about which something is known, 0 to 1."""
        return 1.0 if self.outside is None else 1.0 - float(self.outside.mean())

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
        index_matrix = self._index_matrix(onto, through)
        nearest = self.quantity is Quantity.LABEL
        if self.outside is None:
            values, outside = interpolate(self.values, index_matrix, onto.shape, nearest=nearest)
        else:
            filled_values = np.where(self.outside, 0.0, self.values).astype(self.values.dtype, copy=False)
            values, beyond = interpolate(filled_values, index_matrix, onto.shape, nearest=nearest)
            outside = beyond | self._touches_unknown(index_matrix, onto)
            values[outside] = 0.0
        return Volume(values, onto, self.quantity, outside if bool(outside.any()) else None)

    def unknown_on(self, grid: Grid, through: RigidTransform | None = None) -> Bool[Array, "x y z"]:
        """The voxels of a grid that lie outside this volume or touch its unknown voxels; arguments as for `resampled`.

        Half of the time of `resampled`, where the values are not needed.
        """
        index_matrix = self._index_matrix(grid, through)
        outside: Bool[Array, "x y z"] = lies_beyond(index_matrix, grid.shape, self.grid.shape)
        return outside if self.outside is None else outside | self._touches_unknown(index_matrix, grid)

    def _index_matrix(self, onto: Grid, through: RigidTransform | None) -> Float[np.ndarray, "4 4"]:
        self_from_onto = (through or RigidTransform.identity()).matrix
        return np.asarray(np.linalg.inv(self.grid.affine) @ self_from_onto @ onto.affine)

    def _touches_unknown(self, index_matrix: Float[np.ndarray, "4 4"], onto: Grid) -> Bool[Array, "x y z"]:
        assert self.outside is not None
        nearest = self.quantity is Quantity.LABEL
        outside_share, _ = interpolate(self.outside.astype(np.float32), index_matrix, onto.shape, nearest=nearest)
        return np.asarray(outside_share > 1e-4)  # rounding of the weights in single precision

    def part(self, grid: Grid) -> Volume:
        """The part on a grid whose voxels are all voxels of this one. Raises `GeometryError` for any other grid."""
        first = self.grid.indices(grid.points((0, 0, 0)))
        low = np.rint(first).astype(int)
        ends = low + grid.shape
        aligned = np.allclose(self.grid.affine[:3, :3], grid.affine[:3, :3], rtol=0.0, atol=1e-9)
        if not aligned or np.abs(first - low).max() > 1e-6 or (low < 0).any() or (ends > self.grid.shape).any():
            raise GeometryError(
                f"a grid of {grid.size_in_words()}", "some of the voxels of the volume", "resample onto it instead"
            )
        box = tuple(slice(a, b) for a, b in zip(low, ends, strict=True))
        outside = None if self.outside is None else self.outside[box].copy()
        if outside is not None and not bool(outside.any()):
            outside = None
        return Volume(self.values[box].copy(), grid, self.quantity, outside)

    def coarsened(self, spacing_mm: float) -> Volume:
        """Average whole blocks of voxels until their spacing is about `spacing_mm`, over the full extent.

        Sampling a fine CT straight onto a coarse grid would pick single noisy voxels; averaging first keeps the mean.
        The last voxels that fill no whole block are repeated into it. A block that holds an unknown voxel is unknown.
        """
        if self.quantity is Quantity.LABEL:
            raise GeometryError("labels to be averaged", "values that have a mean", "resample labels instead")
        # 1e-6: rounding where the spacings are multiples
        factors = [max(1, int(spacing_mm / s + 1e-6)) for s in self.grid.spacing_mm]
        if factors == [1, 1, 1]:
            return self
        shape = tuple(-(-n // f) for n, f in zip(self.grid.shape, factors, strict=True))
        affine = self.grid.affine.copy()
        affine[:3, 3] = self.grid.points((np.asarray(factors) - 1) / 2)
        affine[:3, :3] *= factors
        grid = Grid((shape[0], shape[1], shape[2]), affine, self.grid.frame_of_reference)

        outside = None if self.outside is None else block_means(self.outside.astype(np.float32), factors) > 0
        return Volume(block_means(self.values, factors), grid, self.quantity, outside)

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
        affine = self.grid.affine.copy()
        affine[:3, 3] = self.grid.points([(n - 1) / 2 - (n - 1) // 2 for n in window])
        grid = Grid(self.grid.shape, affine, self.grid.frame_of_reference)

        def mean(values: Array) -> Array:
            # the window of an even number of voxels reaches one further up than down, as `grid` says
            shifts = [-(1 - n % 2) for n in window]
            return np.asarray(ndimage.uniform_filter(values, window, mode="nearest", origin=shifts))

        if self.outside is None:
            return Volume(mean(self.values), grid, self.quantity)
        share_known = mean((~self.outside).astype(self.values.dtype))
        outside = share_known < 0.5 - 1e-4  # a half, with rounding
        filled = mean(np.where(self.outside, 0.0, self.values).astype(self.values.dtype, copy=False))
        values = np.where(outside, 0.0, filled / np.maximum(share_known, 1e-6)).astype(self.values.dtype, copy=False)
        return Volume(values, grid, self.quantity, outside if bool(outside.any()) else None)
