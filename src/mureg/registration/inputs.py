"""What a registration network is shown: two images on one lattice, in the units it was trained with."""

from __future__ import annotations

from typing import Annotated

from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.errors import RegistrationError, UsageError
from mureg.geometry import Array, Grid, Quantity, RigidTransform, Volume

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class InputGrid:
    """Grid of the network input.

    Attributes:
        shape: number of voxels along x, y, z.
        spacing_mm: voxel size along each axis (mm).
    """

    shape: tuple[Count, Count, Count]
    spacing_mm: Annotated[float, Field(gt=0)]

    def grid(self, spect: Grid) -> Grid:
        """Grid along the patient axes, around the centre of a SPECT grid: the centre of the rigid parameters."""
        spacing = (self.spacing_mm, self.spacing_mm, self.spacing_mm)
        return Grid.centred(self.shape, spacing, spect.centre_mm, spect.frame_of_reference)


def network_inputs(
    spect: Volume, mu: Volume, grid: Grid, mu_from_spect: RigidTransform | None = None
) -> tuple[Float[Array, "x y z"], Float[Array, "x y z"]]:
    """Both images on the lattice of a network, each averaged down first and then interpolated once.

    Args:
        spect: uncorrected, in any scale.
        mu: attenuation map in 1/cm on its own grid and full extent, so that moving it uncovers no black wedge.
        grid: of the network, in SPECT space.
        mu_from_spect: pose of the map; the scanner position if left out.

    Returns:
        The SPECT divided by its mean over the lattice, and the map in 1/cm; 0 where nothing is known.

    Raises:
        UsageError: an attenuation map in another unit.
        RegistrationError: the SPECT is empty on the lattice.
    """
    if mu.quantity is not Quantity.MU_PER_CM:
        raise UsageError(f"an attenuation map in {mu.quantity.unit}", "1/cm", "convert it first")
    spacing_mm = min(grid.spacing_mm)
    emission = spect.coarsened(spacing_mm).resampled(onto=grid).values
    mean = float(emission.mean())
    if not mean > 0.0:
        raise RegistrationError(
            "the SPECT is empty around the middle of its field",
            "an image of the chest",
            "check that the right series was given",
        )
    return emission / mean, mu.coarsened(spacing_mm).resampled(onto=grid, through=mu_from_spect).values
