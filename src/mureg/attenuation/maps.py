"""From a CT or a ready map to the attenuation that the photons of a SPECT have to pass."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from mureg.attenuation.body import find_body, find_truncation, in_patient_order, separate_table
from mureg.attenuation.contrast import Clipped, without_contrast_and_metal
from mureg.attenuation.hu_to_mu import MU_WATER_PER_CM, HuToMu, mu_map
from mureg.attenuation.slices import AIR_PER_CM, missing_slices, with_more_slices, with_repeated_slices
from mureg.errors import GeometryError, UnitsError, UsageError
from mureg.geometry import Array, Grid, Quantity, RigidTransform, Volume
from mureg.notes import Note, Rank

_ABSORBS_PER_CM = 0.01  # less is air with its noise: 6 % of water; chosen
_NOTED_TRUNCATION, _NOTED_ML = 0.01, 1.0  # worth a note: 1 % of the outline, 1 ml of metal; round values
_SERIOUS_TRUNCATION = 0.25
"""Share of the body's outline along the edge of the CT above which the study has to be checked: a quarter. The sample
study has 5 %, a CT whose field cuts the body on all sides far more."""
_SLICES_AT_ONCE = 16
"""Maps are lengthened by multiples of so many slices, so that one length serves many poses."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class AttenuationMap:
    """Conversion of a CT or attenuation map to the map of the reconstruction.

    Attributes:
        contrast: vessels with contrast medium and metal in the CT: clip sets them to soft tissue and to 2000 HU; keep
            uses the HU as they are. A CT without contrast and a ready map stay unchanged.
        table: include the attenuation of the patient table (keep) or not (drop). The table stays in place when the body
            moves.
        body: include the attenuation of the body (keep) or not (drop).
        below_water: conversion below 0 HU: to-air is a line to zero attenuation at -1000 HU; scanner is the published
            line of the scanner, which ends at about -930 HU and underestimates lung attenuation by about 20 %.
        beyond: attenuation beyond the ends of the CT: slices repeats the last slices and uses water inside the emission
            outline elsewhere; water uses water alone; none uses no attenuation.
    """

    contrast: Literal["clip", "keep"] = "clip"
    table: Literal["keep", "drop"] = "keep"
    body: Literal["keep", "drop"] = "keep"
    below_water: Literal["to-air", "scanner"] = "to-air"
    beyond: Literal["slices", "water", "none"] = "slices"
    kind: Literal["attenuation"] = "attenuation"

    def prepare(self, attenuation: Volume, conversion: HuToMu | None = None) -> AttenuationMaps:
        """Separate body and table, take out contrast medium, convert to attenuation.

        Args:
            attenuation: a CT in HU, or an attenuation map in 1/cm, on its own grid and full extent.
            conversion: HU to mu; needed for a CT.

        Returns:
            The maps on the same voxels, their indices in patient order.

        Raises:
            UsageError: a CT without conversion.
            UnitsError: neither HU nor 1/cm.
            UnreadableInputError: nothing in it could be a patient.
        """
        if attenuation.quantity not in (Quantity.HU, Quantity.MU_PER_CM):
            raise UnitsError(f"a volume in {attenuation.quantity.unit}", "HU or 1/cm", "pass the CT or the map")
        attenuation = in_patient_order(attenuation)
        mask = find_body(attenuation)
        truncation = find_truncation(attenuation, mask)
        notes: list[str] = []
        image_name = "CT" if attenuation.quantity is Quantity.HU else "attenuation map"
        if truncation.share > _NOTED_TRUNCATION:
            sentence = (
                f"the body is wider than the field of the {image_name}: {100 * truncation.share:.0f} % of its "
                f"outline runs along the edge, in {truncation.slices} of {truncation.of_slices} slices; "
                "what lies beyond is missing"
            )
            serious = truncation.share > _SERIOUS_TRUNCATION
            notes.append(Note(sentence, Rank.CHANGES_ANSWER if serious else Rank.GUESSED))
        if attenuation.quantity is Quantity.HU:
            if conversion is None:
                raise UsageError("a CT without a conversion to attenuation", "one", "use choose_conversion")
            if self.contrast == "clip":
                attenuation, clipped = without_contrast_and_metal(attenuation, mask)
                notes += _clipping_notes(clipped)
            attenuation = mu_map(attenuation, conversion.to_air() if self.below_water == "to-air" else conversion)
        body, table = separate_table(attenuation, mask)
        return AttenuationMaps(
            body if self.body == "keep" else body.with_values(np.zeros_like(body.values)),
            table if self.table == "keep" else None,
            self,
            tuple(notes),
        )


@plain_dataclass(frozen=True, eq=False)
class AttenuationMaps:
    """Body and table apart, in 1/cm, on the grid of the CT or map they come from.

    Attributes:
        body: moves with ``ct_from_spect``; 0 where there is no body.
        table: fixed to the scanner, stays at its header position; None where it was dropped.
        settings: how they were made.
        notes: what was found and done on the way, one sentence each.
    """

    body: Volume
    table: Volume | None
    settings: AttenuationMap
    notes: tuple[str, ...] = ()
    _cache: dict[Hashable, Volume] = field(default_factory=dict, init=False, repr=False)
    """What `on_spect` needs for every pose and no pose changes."""

    def __post_init__(self) -> None:
        if self.table is not None and self.table.grid != self.body.grid:
            raise GeometryError("body and table on two grids", "one", "make both with AttenuationMap.prepare")

    def coarsened(self, spacing_mm: float) -> AttenuationMaps:
        """Averaged to voxels of about `spacing_mm`; do it once before `on_spect` is called for many poses."""
        table = None if self.table is None else self.table.coarsened(spacing_mm)
        return AttenuationMaps(self.body.coarsened(spacing_mm), table, self.settings, self.notes)

    def attenuation_grid(self, emission: Grid, ct_from_spect: RigidTransform | None = None) -> Grid:
        """The emission grid, widened in x and y to hold all that absorbs; see `attenuation_grid`."""
        through = ct_from_spect or RigidTransform.identity()
        corners = [through.inverse().apply(_reach_mm(self.body))]
        if self.table is not None:
            corners.append(_reach_mm(self.table))
        return _widened(emission, np.concatenate(corners))

    def on_spect(
        self, grid: Grid, ct_from_spect: RigidTransform | None = None, outline: Volume | None = None
    ) -> Volume:
        """The map for one pose: the body carried along, the table left in its place, one interpolation each.

        Args:
            grid: in SPECT space, of the emission or wider.
            ct_from_spect: pose of the body; identity when left out.
            outline: label of where the emission comes from (`emission_outline`), on any grid in SPECT space; needed
                for water beyond the CT.

        Each voxel stands for the mean over itself: sampled at its middle alone, the thin shells of a table or of the
        skin would be found or missed by chance.

        Returns:
            Attenuation in 1/cm. `outside` marks what the CT does not cover, filled or not: it must not pull a pose.
        """
        voxel_mm = min(grid.spacing_mm)
        sharp, smooth = self._sharp("body", self.body, voxel_mm), self._smooth("body", self.body, voxel_mm)
        at_points = sharp.resampled(onto=grid, through=ct_from_spect)
        unknown, values = at_points.outside, _averages(smooth.resampled(grid, ct_from_spect), at_points)
        if unknown is not None:
            values = np.where(unknown, AIR_PER_CM, values)
        if unknown is not None and self.settings.body == "keep" and self.settings.beyond != "none":
            filled, still_unknown = values, unknown
            if self.settings.beyond == "slices":
                longer = self._longer("body", smooth, grid, ct_from_spect).resampled(grid, ct_from_spect)
                filled = longer.values
                still_unknown = np.zeros_like(unknown) if longer.outside is None else longer.outside
            if outline is not None:
                radiates = outline.resampled(onto=grid).values > 0.5
                filled = np.where(still_unknown & radiates, np.float32(MU_WATER_PER_CM), filled)
            values = np.where(unknown, filled, values)
        if self.table is not None:
            values = values + self._table_on(grid, self.table, voxel_mm).values
        return Volume(values, grid, Quantity.MU_PER_CM, unknown)

    def _table_on(self, grid: Grid, table: Volume, voxel_mm: float) -> Volume:
        """The table where it stands; beyond the scan it goes on as it is at its ends."""

        def table_on_grid() -> Volume:
            sharp = _around_what_absorbs(self._sharp("table", table, voxel_mm), voxel_mm)
            if sharp is None:
                return Volume(np.zeros(grid.shape, table.values.dtype), grid, Quantity.MU_PER_CM)
            smooth = sharp.averaged(voxel_mm)
            if self.settings.beyond == "slices":
                smooth, sharp = (with_repeated_slices(mask, grid, None) for mask in (smooth, sharp))
            return Volume(_averages(smooth.resampled(grid), sharp.resampled(grid)), grid, Quantity.MU_PER_CM)

        return self._once(("table", grid), table_on_grid)

    def _sharp(self, name: str, volume: Volume, voxel_mm: float) -> Volume:
        """A part at about half the voxels of the target."""
        return self._once((name, voxel_mm), lambda: volume.coarsened(voxel_mm / 2))

    def _smooth(self, name: str, volume: Volume, voxel_mm: float) -> Volume:
        """A part averaged over the voxels of the target."""
        return self._once((name, voxel_mm, "smooth"), lambda: self._sharp(name, volume, voxel_mm).averaged(voxel_mm))

    def _longer(self, name: str, part: Volume, onto: Grid, ct_from_spect: RigidTransform | None) -> Volume:
        """A part lengthened until it covers a grid."""
        before, after = (-(-n // _SLICES_AT_ONCE) * _SLICES_AT_ONCE for n in missing_slices(part, onto, ct_from_spect))
        key = name, part.grid.spacing_mm, part.grid.shape, before, after
        return self._once(key, lambda: with_more_slices(part, before, after))

    def _once(self, key: Hashable, make: Callable[[], Volume]) -> Volume:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


def attenuation_grid(emission: Grid, ct: Grid, ct_from_spect: RigidTransform | None = None) -> Grid:
    """The emission grid, widened in x and y by whole voxels until it holds the field of a CT.

    Spacing and slices stay: what lies beside the emission field absorbs photons on their way to the detector, what
    lies above or below does not.

    Args:
        emission: along the patient axes.
        ct: the grid of the CT, or of the part of it that matters.
        ct_from_spect: pose; identity when left out.
    """
    return _widened(emission, (ct_from_spect or RigidTransform.identity()).inverse().apply(ct.corners_mm()))


def extended_share(mu: Volume) -> float:
    """Of all that absorbs in a map made by `on_spect`, the share that the CT did not cover, 0 to 1."""
    if mu.outside is None:
        return 0.0
    return float(mu.values[mu.outside].sum()) / max(float(mu.values.sum()), 1e-12)


def _widened(emission: Grid, corners_mm: Float[np.ndarray, "corner 3"]) -> Grid:
    if not emission.along_patient_axes:
        raise GeometryError("an emission grid at an angle", "one along the patient axes", "use acquisition.grid()")
    if not len(corners_mm):
        return emission
    indices = emission.indices(corners_mm)[:, :2]
    before = np.maximum(0, np.ceil(-0.5 - indices.min(0) - 1e-6)).astype(int)
    after = np.maximum(0, np.ceil(indices.max(0) + 0.5 - np.asarray(emission.shape[:2]) - 1e-6)).astype(int)
    affine = emission.affine.copy()
    affine[:3, 3] = emission.points((-before[0], -before[1], 0))
    nx, ny = np.asarray(emission.shape[:2]) + before + after
    return Grid((int(nx), int(ny), emission.shape[2]), affine, emission.frame_of_reference)


def _reach_mm(mu: Volume) -> Float[np.ndarray, "corner 3"]:
    """Corners of the box around everything that absorbs, in mm."""
    absorbs = mu.values > _ABSORBS_PER_CM
    if not bool(absorbs.any()):
        return np.empty((0, 3))
    ends = []
    for axis in range(3):
        inside = np.flatnonzero(absorbs.any(tuple(a for a in range(3) if a != axis)))
        ends.append((float(inside[0]) - 0.5, float(inside[-1]) + 0.5))
    corners: Float[np.ndarray, "corner 3"] = mu.grid.points(np.stack(np.meshgrid(*ends), -1).reshape(-1, 3))
    return corners


def _around_what_absorbs(mu: Volume, width_mm: float) -> Volume | None:
    """The columns that absorb, with room for an average over a width; None where nothing absorbs.

    A table fills a tenth of the field of a CT.
    """
    first, end = [0, 0, 0], list(mu.grid.shape)
    for axis in (0, 1):
        absorbs = np.flatnonzero(mu.values.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(absorbs):
            return None
        room = round(width_mm / mu.grid.spacing_mm[axis]) + 2
        first[axis] = max(0, int(absorbs[0]) - room)
        end[axis] = min(end[axis], int(absorbs[-1]) + 1 + room)
    affine = mu.grid.affine.copy()
    affine[:3, 3] = mu.grid.points((first[0], first[1], 0))
    return mu.part(Grid((end[0] - first[0], end[1] - first[1], end[2]), affine, mu.grid.frame_of_reference))


def _averages(smooth: Volume, sharp: Volume) -> Float[Array, "x y z"]:
    """The averaged map on a grid; at its rim, half a voxel narrower than the scan, the map as it was."""
    return smooth.values if smooth.outside is None else np.where(smooth.outside, sharp.values, smooth.values)


def _clipping_notes(clipped: Clipped) -> list[str]:
    notes: list[str] = []
    if clipped.contrast_ml > 0.0:
        sentence = f"the CT has contrast medium: {clipped.contrast_ml:.0f} ml of vessels count as soft tissue"
        notes.append(Note(sentence, Rank.RECORD))
    if clipped.metal_ml > _NOTED_ML:
        notes.append(f"{clipped.metal_ml:.0f} ml above 2000 HU (metal or its streaks) count as dense bone")
    return notes
