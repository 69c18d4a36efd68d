"""Images of projections: uncorrected, or corrected with an attenuation map at a pose."""

from __future__ import annotations

import numpy as np

from mureg.attenuation.maps import AttenuationMaps
from mureg.errors import UsageError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.recon.base import Reconstructor
from mureg.recon.osem import Osem
from mureg.spect import Acquisition, Physics


def reconstruct(
    acquisition: Acquisition,
    mu: Volume | None = None,
    reconstructor: Reconstructor = Osem(),  # noqa: B008
    physics: Physics = Physics(),  # noqa: B008
) -> Volume:
    """Reconstruct projections, with attenuation correction where a map is given.

    Args:
        acquisition: the projections.
        mu: attenuation map in 1/cm on any grid in SPECT space, already registered.
        reconstructor: OSEM, 12 iterations of 10 subsets, by default.
        physics: which other effects to model.

    Returns:
        Activity on `acquisition.grid()`.
    """
    return reconstruct_and_say(acquisition, mu, reconstructor, physics)[0]


def reconstruct_and_say(
    acquisition: Acquisition, mu: Volume | None, reconstructor: Reconstructor, physics: Physics
) -> tuple[Volume, tuple[str, ...]]:
    """`reconstruct`, and what had to be assumed about the camera, one sentence each."""
    grid = acquisition.grid()
    on_grid = None if mu is None else mu if _fits(mu.grid, grid) else finer_than(mu, grid).resampled(onto=grid)
    system, notes = physics.system(acquisition, on_grid)
    return _image(reconstructor.reconstruct(acquisition, system), system.grid, reconstructor), notes


def corrected_at(
    ct_from_spect: RigidTransform,
    acquisition: Acquisition,
    maps: AttenuationMaps,
    outline: Volume,
    reconstructor: Reconstructor,
    physics: Physics,
) -> tuple[Volume, tuple[str, ...]]:
    """The SPECT corrected with the map at a pose, and what had to be assumed; `outline` as for `AttenuationMaps`."""
    return reconstruct_and_say(acquisition, wide_map(ct_from_spect, acquisition, maps, outline), reconstructor, physics)


def wide_map(ct_from_spect: RigidTransform, acquisition: Acquisition, maps: AttenuationMaps, outline: Volume) -> Volume:
    """The map at a pose, with what lies beside the emission field, since that absorbs as well."""
    return maps.on_spect(maps.attenuation_grid(acquisition.grid(), ct_from_spect), ct_from_spect, outline)


def finer_than(mu: Volume, grid: Grid) -> Volume:
    """Average a fine map to about half the voxels of `grid`, so that sampling it there does not pick single voxels."""
    return mu.coarsened(min(grid.spacing_mm) / 2)


def _fits(mu: Grid, grid: Grid) -> bool:
    """Whether a map can be used as it is: on the emission grid, or on a wider one with the same slices."""
    # rounding: anything else is resampled
    alike = mu.along_patient_axes and np.allclose(mu.spacing_mm, grid.spacing_mm, rtol=1e-6)
    return alike and mu.shape[2] == grid.shape[2] and abs(mu.centre_mm[2] - grid.centre_mm[2]) < 1e-6


def _image(answer: object, grid: Grid, reconstructor: Reconstructor) -> Volume:
    """The answer of a reconstruction, which may be of another package. Raises `UsageError` for what is no image."""
    if isinstance(answer, Volume) and answer.grid == grid:
        return answer
    shape = f"an image of {answer.grid.shape} voxels on another grid" if isinstance(answer, Volume) else None
    raise UsageError(
        f"the reconstruction {reconstructor.kind} gave {shape or f'an object of the class {type(answer).__name__}'}",
        f"a Volume on the grid of the system model, {grid.shape} voxels",
        "correct the reconstruction, or use another one",
    )
