"""What every registration network takes and gives, how its weights are drawn, and which sizes it refuses."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mureg.errors import UsageError
from mureg.registration.card import UNIT_MM

__all__ = [
    "NORMAL_DEVIATION",
    "UNIT_MM",
    "Count",
    "NetworkSettings",
    "Shape",
    "Weights",
    "halved",
    "initialised",
    "n_parameters",
    "require_room",
    "require_shape",
    "with_new_weights",
]

Shape = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Count = Annotated[int, Field(ge=1)]
Weights = Literal["normal", "he"]
"""How weights are drawn before training.

``normal``: N(0, 0.02), as the paper's code does. A linear layer of n inputs then scales its signal by 0.02 sqrt(n): the
four of the paper (8000, 1024, 128, 16 inputs) by 1/48 together, those of the small preset (128, 64, 32, 16) by 1/3000,
and gradients on their way back alike. ``he``: variance kept from layer to layer whatever the width (He et al., ICCV
2015); the default of the small presets.
"""

NORMAL_DEVIATION = 0.02
"""As the paper's code draws weights (docs/reference/networks.md)."""

Module = TypeVar("Module", bound=nn.Module)


@runtime_checkable
class NetworkSettings(Protocol):
    """Settings of a network: frozen, comparable, storable; `build` makes the network.

    The module that `build` gives is called as ``network(spect, mu)`` with two tensors ``[batch 1 x y z]`` of `shape`
    (SPECT divided by its mean; attenuation in 1/cm) and returns ``[batch 6]``: the rigid parameters of
    ``ct_from_spect`` about the centre of the SPECT grid, translations in units of `UNIT_MM`, angles in degrees
    (`RigidTransform.from_six`).
    """

    @property
    def kind(self) -> str:
        """The name under which it is chosen."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of either input along x, y, z."""
        ...

    @property
    def parameters_in_paper(self) -> int | None:
        """What Table 1 of the paper counts for these settings; None for settings that are not the paper's."""
        ...

    @classmethod
    def small(cls) -> NetworkSettings:
        """The same structure at half resolution with fewer channels, for a CPU."""
        ...

    def build(self) -> nn.Module:
        """The network, its weights drawn from torch's default generator."""
        ...


def initialised(settings: NetworkSettings, seed: int) -> nn.Module:
    """Build a network whose weights follow from `seed` alone; the state of torch's generators is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return settings.build()


def with_new_weights(module: Module, weights: Weights) -> Module:
    """Draw the weights of all convolutions and linear layers anew, set their biases to 0; norms keep theirs."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d | nn.Linear):
            if weights == "normal":
                nn.init.normal_(part.weight, 0.0, NORMAL_DEVIATION)
            else:
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu" if isinstance(part, nn.Conv3d) else "linear")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


def n_parameters(module: nn.Module) -> int:
    """Numbers that training changes (running means and variances are not counted, as in the paper)."""
    return sum(parameter.numel() for parameter in module.parameters())


def halved(shape: tuple[int, int, int], times: int) -> tuple[int, int, int]:
    """Shape after so many halvings, an odd last plane kept: ``ceil(n / 2**times)`` along each axis."""
    x, y, z = (math.ceil(n / 2**times) for n in shape)
    return x, y, z


def require_room(kind: str, shape: tuple[int, int, int], halvings: int) -> None:
    """Refuse a shape of which so many halvings leave a single voxel: batch norm has nothing to compare it with.

    Raises:
        UsageError: only one voxel would remain.
    """
    if halved(shape, halvings) == (1, 1, 1):
        raise UsageError(
            f"an input of {_times(shape)} voxels for {kind}, of which {halvings} halvings leave a single voxel",
            f"more than {2**halvings} voxels along one axis",
            "give a larger shape or fewer levels",
        )


def require_shape(
    spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"], shape: tuple[int, int, int]
) -> None:
    """Refuse inputs of another shape than the network was made for.

    Raises:
        UsageError: either input has another shape.
    """
    for name, image in (("SPECT", spect), ("attenuation map", mu)):
        if tuple(image.shape[2:]) != shape:
            raise UsageError(
                f"a {name} of {_times(tuple(image.shape[2:]))} voxels",
                f"{_times(shape)}, for which the network was made",
                "resample it onto the network's grid",
            )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
