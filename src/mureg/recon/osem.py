"""Ordered-subsets expectation maximisation (Hudson and Larkin, IEEE Trans Med Imaging 1994)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.errors import UsageError
from mureg.geometry import Array, Quantity, Volume
from mureg.recon import filters
from mureg.spect import Acquisition, SystemModel
from mureg.spect.expectation import (
    expectation_floor,
    expected_scatter,
    inverse_sensitivity,
    measured_slices,
    ordered_subsets,
    start_image,
    update_by_subsets,
)
from mureg.spect.system import inner_order

Progress = Callable[[int], None]


@plain_dataclass(frozen=True, eq=False)
class OsemState:
    """Where a run stands: enough to go on with it as if it had never stopped.

    Attributes:
        activity: before any post-filter.
        iteration: how many are done.
        scatter: expected scattered counts [view, row, column] in use, None before the first estimate.
    """

    activity: Volume
    iteration: int = 0
    scatter: Float[Array, "view row column"] | None = None


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Osem:
    """Ordered-subsets expectation maximisation; with one subset it is MLEM (Shepp and Vardi 1982).

    Attributes:
        iterations: number of iterations (passes over all views).
        subsets: number of ordered subsets; every n-th view belongs to one.
        stop_below: stop when an iteration changes the image by less than this share of its norm (0 to 1); 0 for never.
        post_filter: filter of the result.
        fwhm_mm: full width at half maximum of the Gaussian filter (mm).
        cutoff_per_cm: cut-off frequency of the Butterworth filter (1/cm).
        order: order of the Butterworth filter.
    """

    iterations: Annotated[int, Field(ge=1, le=1000)] = 12
    subsets: Annotated[int, Field(ge=1, le=512)] = 10
    stop_below: Annotated[float, Field(ge=0, lt=1)] = 0.0
    post_filter: Literal["none", "gaussian", "butterworth"] = "none"
    fwhm_mm: Annotated[float, Field(gt=0)] = 10.0
    cutoff_per_cm: Annotated[float, Field(gt=0)] = 0.5
    order: Annotated[float, Field(gt=0)] = 5.0
    kind: Literal["osem"] = "osem"

    def reconstruct(self, acquisition: Acquisition, system: SystemModel, progress: Progress | None = None) -> Volume:
        """Estimate the activity from the photopeak counts, starting from a uniform cylinder.

        Args:
            acquisition: the measured counts; its precision is used throughout.
            system: the model of the same acquisition.
            progress: called after each iteration with the number done.

        Returns:
            Activity in counts per voxel and view on `system.grid`, at least 0 and finite; 0 outside the cylinder that
            every view sees.

        Raises:
            UsageError: more subsets than views.
        """
        return self._finished(self.run(acquisition, system, progress=progress).activity, acquisition)

    def run(
        self,
        acquisition: Acquisition,
        system: SystemModel,
        state: OsemState | None = None,
        progress: Progress | None = None,
    ) -> OsemState:
        """Do iterations from `state` (or from the start image in it) until `iterations` are done in all.

        Stopping and going on gives what one long run gives. The post-filter is not applied.
        """
        state = state or OsemState(start_image(acquisition, system.grid))
        n_views = acquisition.n_views
        if self.subsets > n_views:
            raise UsageError(
                f"{self.subsets} subsets for {n_views} views", f"at most {n_views} subsets", "ask for fewer subsets"
            )
        subsets = ordered_subsets(n_views, self.subsets)
        counts = inner_order(acquisition.photopeak_counts)
        blocks = [system.model(views, counts) for views in subsets]
        slice_mask = measured_slices(acquisition)
        measured = [counts[views] * slice_mask for views in subsets]
        activity = np.array(state.activity.values, dtype=counts.dtype, order="C")
        seen = np.zeros_like(activity)
        weights = [inverse_sensitivity(block, y, slice_mask, seen) for block, y in zip(blocks, measured, strict=True)]
        scatter, iteration = state.scatter, state.iteration
        by_subset = _by_subset(scatter, subsets)
        floor = expectation_floor(counts)
        while iteration < self.iterations:
            if _due(system, iteration):
                image = Volume(activity, system.grid, Quantity.ACTIVITY)
                scatter = expected_scatter(acquisition, system, image, seen)
                by_subset = _by_subset(scatter, subsets)
            before = activity.copy() if self.stop_below > 0 else None
            update_by_subsets(activity, blocks, measured, weights, by_subset, floor)
            iteration += 1
            if progress is not None:
                progress(iteration)
            if before is not None and _norm(activity - before) < self.stop_below * _norm(activity):
                break
        return OsemState(Volume(activity, system.grid, Quantity.ACTIVITY), iteration, scatter)

    def _finished(self, activity: Volume, acquisition: Acquisition) -> Volume:
        """What is given out: nothing in slices that were not measured, smoothed where that was asked for."""
        activity = activity.with_values(activity.values * measured_slices(acquisition))
        if self.post_filter == "gaussian":
            return filters.gaussian(activity, self.fwhm_mm)
        if self.post_filter == "butterworth":
            return filters.butterworth(activity, self.cutoff_per_cm, self.order)
        return activity


def _due(system: SystemModel, iteration: int) -> bool:
    """Whether scatter is to be estimated anew before this iteration."""
    return system.scatter is not None and iteration in system.scatter.refresh_after


def _by_subset(scatter: Array | None, subsets: Sequence[Sequence[int]]) -> list[Array] | None:
    if scatter is None:
        return None
    inner = inner_order(scatter)
    return [inner[list(views)] for views in subsets]


def _norm(image: Array) -> float:
    return float(np.linalg.norm(image.ravel().astype(np.float64)))
