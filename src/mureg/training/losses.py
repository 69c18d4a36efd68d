"""What training makes small. A loss is its frozen settings, and one line in the catalogue."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mureg.training.batches import Batch
from mureg.training.pose import displacement_mm, matrices, rigid_parameters


@runtime_checkable
class Loss(Protocol):
    """Loss function of the predicted rigid parameters, one value for each case."""

    @property
    def kind(self) -> str:
        """The name under which it is chosen."""
        ...

    def of(self, six: Float[Tensor, "case 6"], batch: Batch) -> Float[Tensor, " case"]:
        """The loss of the predictions for each case of a batch; differentiable."""
        ...


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RigidParameters:
    """Mean absolute error of the rigid parameters, as in the paper: units of 6.8 mm and degrees in one sum."""

    kind: Literal["rigid-parameters"] = "rigid-parameters"

    def of(self, six: Float[Tensor, "case 6"], batch: Batch) -> Float[Tensor, " case"]:
        """Mean absolute error of the six parameters, in network units; see `Loss.of`."""
        return (six - rigid_parameters(batch.ct_from_spect).to(six.dtype)).abs().mean(1)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Displacement:
    """Distance of heart and liver points from their true place (mm; McQuaid and Hutton 2008).

    Attributes:
        liver: weight of the mean over the liver points; the mean over the heart points has weight 1.
    """

    liver: Annotated[float, Field(ge=0)] = 0.5
    kind: Literal["displacement"] = "displacement"

    def of(self, six: Float[Tensor, "case 6"], batch: Batch) -> Float[Tensor, " case"]:
        """See `Loss.of`; the weighted mean of the two, in mm."""
        matrices_found, true = matrices(six), batch.ct_from_spect.to(six.dtype)
        heart = displacement_mm(matrices_found, true, batch.heart_mm.to(six.dtype))
        if self.liver == 0.0:
            return heart
        liver = displacement_mm(matrices_found, true, batch.liver_mm.to(six.dtype))
        return (heart + self.liver * liver) / (1.0 + self.liver)


LOSSES: dict[str, type] = {RigidParameters.kind: RigidParameters, Displacement.kind: Displacement}
"""Every loss by its kind."""

AnyLoss = Annotated[RigidParameters | Displacement, Field(discriminator="kind")]
