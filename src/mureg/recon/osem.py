"""Ordered-subsets expectation maximisation (Hudson and Larkin, IEEE Trans Med Imaging 1994)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mureg.errors import UsageError
from mureg.geometry import Grid, Quantity, Volume
from mureg.recon import filters
from mureg.spect import Acquisition, SystemModel
from mureg.spect.batch import block_of_many, require_alike
from mureg.spect.system import ViewBlock, inner_order

Progress = Callable[[int], None]

_FULL = 0.3
"""Share of the usual counts of a row above which the row is inside the patient."""
_LEAST_SEEN = 0.1
"""Share of its sensitivity that a voxel must keep when detector rows are masked, or else it stays empty."""


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
    scatter: Float[Tensor, "view row column"] | None = None


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Osem:
    """OSEM with whatever the system models; with one subset it is MLEM (Shepp and Vardi 1982).

    Attributes:
        iterations: passes over all views.
        subsets: groups into which the views are dealt, every n-th view into one.
        stop_below: stop early when an iteration changes the image by less than this share of its norm; 0 for never.
        post_filter: smoothing of the result.
        fwhm_mm: of the Gaussian post-filter.
        cutoff_per_cm: of the Butterworth post-filter.
        order: of the Butterworth post-filter.
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
            acquisition: the measured counts; its device and precision are used throughout.
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
        return self._run([acquisition], [system], [state], progress)[0]

    def reconstruct_many(self, acquisitions: Sequence[Acquisition], systems: Sequence[SystemModel]) -> list[Volume]:
        """Reconstruct several studies of one orbit and grid at once; the same images as one by one, to rounding.

        Raises:
            GeometryError: the studies differ in orbit, pixels or grid.
        """
        require_alike(systems)
        states = [OsemState(start_image(a, s.grid)) for a, s in zip(acquisitions, systems, strict=True)]
        finished = self._run(acquisitions, systems, states, None)
        return [self._finished(state.activity, a) for state, a in zip(finished, acquisitions, strict=True)]

    def _run(
        self,
        acquisitions: Sequence[Acquisition],
        systems: Sequence[SystemModel],
        states: Sequence[OsemState],
        progress: Progress | None,
    ) -> list[OsemState]:
        n_views, n_slices = acquisitions[0].n_views, systems[0].grid.shape[2]
        if self.subsets > n_views:
            raise UsageError(
                f"{self.subsets} subsets for {n_views} views", f"at most {n_views} subsets", "ask for fewer subsets"
            )
        subsets = [list(range(k, n_views, self.subsets)) for k in range(self.subsets)]
        counts = torch.cat([inner_order(a.photopeak_counts) for a in acquisitions], dim=-1)
        blocks = [block_of_many(systems, views, counts) for views in subsets]
        seen = torch.cat([_measured_slices(a) for a in acquisitions])
        measured = [(counts[views] * seen).contiguous() for views in subsets]
        weights = [_weight(block, y, seen) for block, y in zip(blocks, measured, strict=True)]
        activity = torch.cat([state.activity.values.to(counts) for state in states], dim=-1)
        scatter = [state.scatter for state in states]
        by_subset = _by_subset(scatter, subsets)
        # keeps the ratio finite where nothing is expected
        floor = max(float(counts.mean()), 1e-20) * 1e-6
        iteration = states[0].iteration
        while iteration < self.iterations:
            if any(_due(system, iteration) for system in systems):
                volumes = _apart(activity, systems, n_slices)
                scatter = [
                    _estimated(a, s, v) if _due(s, iteration) else old
                    for a, s, v, old in zip(acquisitions, systems, volumes, scatter, strict=True)
                ]
                by_subset = _by_subset(scatter, subsets)
            before = activity.clone() if self.stop_below > 0 else None
            _pass(activity, blocks, measured, weights, by_subset, floor)
            iteration += 1
            if progress is not None:
                progress(iteration)
            if before is not None and float((activity - before).norm()) < self.stop_below * float(activity.norm()):
                break
        volumes = _apart(activity, systems, n_slices)
        return [OsemState(volume, iteration, s) for volume, s in zip(volumes, scatter, strict=True)]

    def _finished(self, activity: Volume, acquisition: Acquisition) -> Volume:
        """What is given out: nothing in slices that were not measured, smoothed where that was asked for."""
        activity = activity.with_values(activity.values * _measured_slices(acquisition))
        if self.post_filter == "gaussian":
            return filters.gaussian(activity, self.fwhm_mm)
        if self.post_filter == "butterworth":
            return filters.butterworth(activity, self.cutoff_per_cm, self.order)
        return activity


def start_image(acquisition: Acquisition, grid: Grid) -> Volume:
    """A uniform cylinder, as wide as every view sees; any level will do, the first update sets the scale."""
    values = _field_of_view(grid, acquisition).to(acquisition.counts)
    return Volume(values, grid, Quantity.ACTIVITY)


def _pass(
    activity: Float[Tensor, "x y z"],
    blocks: Sequence[ViewBlock],
    measured: Sequence[Tensor],
    weights: Sequence[Tensor],
    scatter: Sequence[Tensor] | None,
    floor: float,
) -> None:
    """One iteration, in place: every subset corrects the image by what it measured over what it expects."""
    for k, (block, y, weight) in enumerate(zip(blocks, measured, weights, strict=True)):
        expected = block.project(activity)
        if scatter is not None:
            expected.add_(scatter[k])
        ratio = torch.div(y, expected.clamp_min_(floor), out=expected)
        activity.mul_(block.backproject(ratio)).mul_(weight)


def _due(system: SystemModel, iteration: int) -> bool:
    """Whether scatter is to be estimated anew before this iteration."""
    return system.scatter is not None and iteration in system.scatter.refresh_after


def _estimated(acquisition: Acquisition, system: SystemModel, activity: Volume) -> Float[Tensor, "view row column"]:
    """The scatter to expect from now on."""
    assert system.scatter is not None
    scatter = system.scatter.estimate(system, activity)
    if not system.scatter.balanced:
        return scatter
    expected = system.project(activity.values).sum() + scatter.sum()
    return scatter * (acquisition.photopeak_counts.sum() / expected.clamp_min(1e-20))


def _by_subset(scatter: Sequence[Tensor | None], subsets: Sequence[Sequence[int]]) -> list[Tensor] | None:
    known = [inner_order(one) for one in scatter if one is not None]
    if not known:
        return None
    together = torch.cat(known, dim=-1)
    return [together[list(views)].contiguous() for views in subsets]


def _apart(activity: Tensor, systems: Sequence[SystemModel], n_slices: int) -> list[Volume]:
    parts = [activity] if len(systems) == 1 else [part.contiguous() for part in torch.split(activity, n_slices, dim=-1)]
    return [Volume(part, system.grid, Quantity.ACTIVITY) for part, system in zip(parts, systems, strict=True)]


def _measured_slices(acquisition: Acquisition) -> Float[Tensor, " z"]:
    """1 for slices whose detector rows took all their counts, 0 for those at the mask of the camera's useful field.

    At an end where rows that hold nothing in any view meet rows full of counts, with at most one partly masked row
    between, the empty ones say nothing. Taken for measured zeros they would draw bright edges once resolution is
    modelled. Rows that fade to nothing are kept.
    """
    rows = acquisition.photopeak_counts.sum((0, 2)).flip(0)  # row 0 is at the head, slice 0 at the feet
    seen = torch.ones_like(rows)
    taken = torch.nonzero(rows)[:, 0]
    if len(taken) == 0:
        return seen
    full = torch.nonzero(rows > _FULL * rows[taken].median())[:, 0]
    if taken[0] > 0 and full[0] - taken[0] <= 1:
        seen[: full[0]] = 0.0
    if taken[-1] < len(rows) - 1 and taken[-1] - full[-1] <= 1:
        seen[full[-1] + 1 :] = 0.0
    return seen


def _weight(block: ViewBlock, like: Tensor, seen: Float[Tensor, " z"]) -> Float[Tensor, "x y z"]:
    """1 / sensitivity of a subset, and 0 where a voxel is hardly seen by it."""
    full = block.backproject(torch.ones_like(like))
    usable = full > 1e-6 * full.max()
    if bool((seen == 0).any()):
        measured = block.backproject(seen.expand_as(like).contiguous())
        usable &= measured > _LEAST_SEEN * full
        full = measured
    return torch.where(usable, 1.0 / full.clamp_min(1e-30), 0.0)


def _field_of_view(grid: Grid, acquisition: Acquisition) -> Bool[Tensor, "x y z"]:
    """Voxels inside the cylinder around the axis of rotation that every view sees."""
    nx, ny, nz = grid.shape
    spacing = grid.spacing_mm[0]
    x = grid.affine[0, 3] + np.arange(nx) * spacing - acquisition.centre_mm[0]
    y = grid.affine[1, 3] + np.arange(ny) * spacing - acquisition.centre_mm[1]
    inside = np.hypot(x[:, None], y[None, :]) <= acquisition.counts.shape[3] * spacing / 2
    return torch.from_numpy(inside)[:, :, None].expand(nx, ny, nz).contiguous()
