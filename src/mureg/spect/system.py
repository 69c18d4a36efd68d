"""The model of one acquisition: from activity to expected counts, and its exact transpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mureg.errors import GeometryError, UnitsError, UsageError
from mureg.geometry import Array, Grid, Quantity, Volume
from mureg.jobs.threads import in_threads
from mureg.spect import stages
from mureg.spect.acquisition import Acquisition
from mureg.spect.blur import Blur, blur_of_view
from mureg.spect.collimator import Collimator
from mureg.spect.sparse import SparseMatrix, work_array
from mureg.spect.summed import SummedViews
from mureg.spect.views import Turn, View, ViewBlock, ViewModel

_VIEWS_AT_ONCE = 6
"""Views of one block where none is asked for: those of one of ten subsets of 60 views, which bounds the memory."""
_SAME_DEG, _SAME_MM = 1e-6, 1e-9
"""Rounding of angles and shifts in double precision: opposite views are exactly opposite."""


@runtime_checkable
class ScatterModel(Protocol):
    """A way to expect scattered counts; the object is its frozen settings."""

    @property
    def kind(self) -> str:
        """The name under which it is chosen."""
        ...

    @property
    def refresh_after(self) -> tuple[int, ...]:
        """Iterations of a reconstruction after which the estimate is made anew; 0 is before the first."""
        ...

    @property
    def balanced(self) -> bool:
        """Whether a reconstruction should scale the estimate so that primary and scatter make up what was measured.

        An activity found before scatter was known stands for the scattered counts as well, so that the scatter expected
        from it is too much; in proportion it is right.
        """
        ...

    def estimate(self, system: SystemModel, activity: Volume) -> Float[Array, "view row column"]:
        """Expected scattered counts in the photopeak window of every view; always added, never subtracted."""
        ...


@dataclass(frozen=True, eq=False)
class SystemModel:
    """How activity on a grid becomes the counts of an acquisition.

    Attributes:
        acquisition: gives angles, radii, pixel size, axis of rotation and rows; its counts are not used.
        grid: of the activity, along the patient axes, spacing and slices equal to the detector's pixels and rows.
        mu: attenuation map in 1/cm, or None for no attenuation. Its grid may be wider than that of the activity, with
            the same slices: what lies outside the emission field still absorbs.
        collimator: depth-dependent resolution, or None for none; needs `acquisition.radii_mm`.
        scatter: how scattered counts are expected, or None for none; `project` does not include them.

    Activity is in counts per voxel and view: a voxel of 1 adds 1 count to a view when nothing attenuates.
    Raises `GeometryError` where grid, map and detector do not fit, `UnitsError` where mu is not in 1/cm, `UsageError`
    for a collimator without radii.
    """

    acquisition: Acquisition
    grid: Grid
    mu: Volume | None = None
    collimator: Collimator | None = None
    scatter: ScatterModel | None = None

    def __post_init__(self) -> None:
        rows = self.acquisition.counts.shape[2]
        row_mm, column_mm = self.acquisition.pixel_mm
        expected = (column_mm, column_mm, row_mm)
        # of a pixel: rounding of decimal strings
        if not self.grid.along_patient_axes or not np.allclose(self.grid.spacing_mm, expected, rtol=1e-4):
            raise GeometryError(
                f"a reconstruction grid with spacing {np.round(self.grid.spacing_mm, 3).tolist()} mm",
                f"spacing {np.round(expected, 3).tolist()} mm along the patient axes, as the detector's pixels",
                "use acquisition.grid()",
            )
        middle_offset = abs(self.grid.centre_mm[2] - self.acquisition.centre_mm[2])
        if self.grid.shape[2] != rows or middle_offset > 1e-3 * row_mm:
            raise GeometryError(
                f"{self.grid.shape[2]} slices, {middle_offset:.3f} mm off the middle of the detector rows",
                f"the {rows} slices that the detector rows see",
                "use acquisition.grid()",
            )
        if self.mu is not None:
            _require_map(self.mu, self.grid)
        if self.collimator is not None and self.acquisition.radii_mm is None:
            raise UsageError(
                "resolution recovery without a known detector radius", "a radius for each view", "state the radius"
            )

    @property
    def frame(self) -> stages.Frame:
        """The rotated frame of every view."""
        spacing = self.grid.spacing_mm[0]
        n_depths, axis_mm = max(self.grid.shape[:2]), self.acquisition.centre_mm[:2]
        n_beyond = 0
        if self.mu is not None and self.mu.grid != self.grid:
            reach_mm = np.linalg.norm(self.mu.grid.corners_mm()[:, :2] - axis_mm, axis=1).max()
            n_beyond = max(0, int(np.ceil((reach_mm - n_depths / 2 * spacing) / spacing)))
        return stages.Frame(axis_mm, self.acquisition.counts.shape[3], n_depths, spacing, n_beyond)

    def block(self, views: Sequence[int], like: Array) -> ViewBlock:
        """Prepare some views, in the precision of `like`."""
        dtype = like.dtype.name
        frame = self.frame
        with_activity = stages.Frame(frame.axis_mm, frame.n_columns, frame.n_depths, frame.spacing_mm)
        attenuation = self.attenuation(views, like)
        blurs = self._blurs(with_activity, views, dtype)
        # each view counts its own share of the decays
        shares = self.acquisition.view_weights

        def view_of(number: int, opposite: bool) -> View:
            return View(
                number,
                None if attenuation is None else attenuation[number],
                None if blurs is None else blurs[number],
                1.0 if shares is None else float(shares[views[number]]),
                opposite,
            )

        turns = []
        for numbers in self._turns(views):
            (rotation,) = self._rotations(self.grid, with_activity, [views[numbers[0]]], dtype)
            own = (view_of(number, opposite=k > 0) for k, number in enumerate(numbers))
            turns.append(Turn(rotation, frame.n_columns, tuple(own)))
        return ViewBlock(tuple(turns), self.grid.shape[:2])

    def model(self, views: Sequence[int], like: Array) -> ViewModel:
        """As `block`, to be applied many times: in a form that takes less time where there is one."""
        block = self.block(views, like)
        return SummedViews.of(block) if self.mu is None and self.collimator is None else block

    def attenuation(self, views: Sequence[int], like: Array) -> list[Float[Array, "column depth z"]] | None:
        """Share of photons that gets out from every place of each view's frame; None without a map."""
        if self.mu is None:
            return None
        return self.attenuation_of(self.mu.values.astype(like.dtype, copy=False), views)

    def attenuation_of(self, mu: Float[Array, "x y z"], views: Sequence[int]) -> list[Float[Array, "column depth z"]]:
        """As `attenuation`, of other values on the grid of the map; several maps may lie one after another along z.

        A view that shares the frame of the view from the other side has its depths and columns in that order.
        """
        frame, slices = self.frame, mu.shape[-1]
        rotations = self._rotations(self.grid if self.mu is None else self.mu.grid, frame, views, mu.dtype.name)
        opposite = {number for _, *opposite_views in self._turns(views) for number in opposite_views}
        flat = np.ascontiguousarray(mu).reshape(-1, slices)

        # one array for all: large ones get large pages, which the system hands out faster
        factors = np.empty((len(views), frame.n_columns, frame.n_depths, slices), dtype=mu.dtype)

        def of_view(number: int) -> None:
            with work_array((frame.n_columns, frame.n_depths + frame.n_beyond, slices), mu.dtype) as rotated:
                rotations[number].apply(flat, rotated.reshape(-1, slices))
                own_order = factors[number, ::-1, ::-1] if number in opposite else factors[number]
                stages.attenuation_factors(rotated, frame.spacing_mm / 10.0, own_order)

        in_threads(of_view, range(len(views)))
        return list(factors)

    def project(self, activity: Float[Array, "x y z"]) -> Float[Array, "view row column"]:
        """Expected counts of every view."""
        return detector_order(np.concatenate([block.project(activity) for block in self.blocks(activity)]))

    def backproject(self, projections: Float[Array, "view row column"]) -> Float[Array, "x y z"]:
        """The exact transpose of `project`."""
        inner = inner_order(projections)
        image = np.zeros(self.grid.shape, dtype=inner.dtype)
        for views in self.view_chunks():
            image += self.block(views, inner).backproject(inner[views])
        return image

    def _rotations(self, grid: Grid, frame: stages.Frame, views: Sequence[int], dtype: str) -> list[SparseMatrix]:
        offsets = self.acquisition.column_offsets_mm
        return [
            stages.rotation_matrix(
                grid,
                frame,
                float(self.acquisition.angles_deg[view]),
                0.0 if offsets is None else float(offsets[view]),
                dtype,
            )
            for view in views
        ]

    def _turns(self, views: Sequence[int]) -> list[tuple[int, ...]]:
        """Places in `views` of those that share a rotated frame: a view, and with it the one from the other side."""
        angles, offsets = np.asarray(self.acquisition.angles_deg), self.acquisition.column_offsets_mm
        shifts = np.zeros(len(angles)) if offsets is None else np.asarray(offsets)
        remaining, turns = list(range(len(views))), []
        while remaining:
            first = remaining.pop(0)
            apart = [(angles[views[k]] - angles[views[first]]) % 360.0 for k in remaining]
            facing = [
                k
                for k, angle in zip(remaining, apart, strict=True)
                if abs(angle - 180.0) < _SAME_DEG and abs(shifts[views[k]] + shifts[views[first]]) < _SAME_MM
            ][:1]
            remaining = [k for k in remaining if k not in facing]
            turns.append((first, *facing))
        return turns

    def _blurs(self, frame: stages.Frame, views: Sequence[int], dtype: str) -> list[Blur] | None:
        """The blur of each view, its depths in the order of the frame that it uses."""
        if self.collimator is None:
            return None
        assert self.acquisition.radii_mm is not None
        radii = np.asarray(self.acquisition.radii_mm)
        variances_mm2 = self.collimator.sigma_mm(radii[:, None] - frame.depths_mm()) ** 2
        along_columns, along_z = (variances_mm2 / mm**2 for mm in (frame.spacing_mm, self.grid.spacing_mm[2]))
        nodes = tuple(stages.variance_nodes(along_z))
        reach = stages.gaussian_reach(float(along_columns.max()))
        opposite = {number for _, *opposite_views in self._turns(views) for number in opposite_views}

        def of_view(number: int) -> Blur:
            columns, steps = (
                tuple(part[views[number], :: -1 if number in opposite else 1]) for part in (along_columns, along_z)
            )
            return blur_of_view(columns, steps, nodes, reach, self.grid.shape[2], dtype)

        return [of_view(number) for number in range(len(views))]

    def blocks(self, like: Array) -> Iterator[ViewBlock]:
        """All views, a few at a time, in the precision of `like`."""
        return (self.block(views, like) for views in self.view_chunks())

    def view_chunks(self) -> list[list[int]]:
        """All views, a few at a time."""
        n_views = self.acquisition.n_views
        return [list(range(k, min(k + _VIEWS_AT_ONCE, n_views))) for k in range(0, n_views, _VIEWS_AT_ONCE)]


def _require_map(mu: Volume, grid: Grid) -> None:
    """Refuse a map in another unit or on slices other than those of the activity."""
    if mu.quantity is not Quantity.MU_PER_CM:
        raise UnitsError(f"an attenuation map in {mu.quantity.unit}", "1/cm", "convert it first")
    # mm, rounding
    same_slices = mu.grid.shape[2] == grid.shape[2] and abs(mu.grid.centre_mm[2] - grid.centre_mm[2]) < 1e-3
    if not same_slices or not mu.grid.along_patient_axes or not np.allclose(mu.grid.spacing_mm, grid.spacing_mm):
        raise GeometryError(
            "an attenuation map whose voxels or slices are not those of the activity",
            "the same spacing and slices, of any width",
            "use mu.resampled(onto=grid)",
        )


def detector_order(projections: Float[Array, "view column z"]) -> Float[Array, "view row column"]:
    """Reorder from the internal layout to the detector's: row 0 nearest the head."""
    return projections.transpose(0, 2, 1)[:, ::-1]


def inner_order(projections: Float[Array, "view row column"]) -> Float[Array, "view column z"]:
    """From the detector's layout to the inner one: z innermost, running to the head."""
    return np.ascontiguousarray(projections[:, ::-1].transpose(0, 2, 1))
