"""Two plain convolutional streams, fused late, and a fully convolutional estimate of the motion.

Sun, Moelker, Niessen and van Walsum, "Towards robust CT-ultrasound registration using deep learning methods", in
Understanding and Interpreting Machine Learning in Medical Image Computing Applications, Springer 2018: a fully
convolutional network that takes the displacement vector of a pair of image patches straight from the images. Chen et
al., MICCAI 2022, compare with it and describe it as two separate streams, concatenated by channels as a late fusion,
with shallow convolutional layers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from mureg.registration.networks.base import Count, Shape, Weights, require_room, require_shape, with_new_weights
from mureg.registration.networks.blocks import convolved


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DvNet:
    """Two shallow convolutional streams, late fusion, and one prediction of the rigid parameters at each position.

    Of the original, made for two-dimensional patches and two numbers, we keep what both papers say: separate streams,
    late concatenation, convolutions alone. In three dimensions and for rigid parameters: a 3x3x3 convolution, batch
    norm, ReLU and 2 x 2 x 2 maximum at each of three levels; four more convolutions on the joined features; a 1x1x1
    convolution to six maps, whose means are the rigid parameters. Widths are nowhere given for this task: the usual
    doubling from 32 in the streams, and in the joint part the widths that come nearest to Table 1: 5,423,942
    parameters, 0.3 % below its 5,440,764.

    Attributes:
        shape: number of voxels of each input along x, y, z.
        channels: features of either stream after each level, where the size is halved.
        joint: features after each convolution on the joined streams.
        weights: distribution of the initial weights.
    """

    shape: Shape = (80, 80, 40)
    channels: Annotated[tuple[Count, ...], Field(min_length=1, max_length=6)] = (32, 64, 128)
    joint: Annotated[tuple[Count, ...], Field(min_length=1)] = (256, 256, 128, 128)
    weights: Weights = "normal"
    kind: Literal["dvnet"] = "dvnet"

    def __post_init__(self) -> None:
        require_room(self.kind, self.shape, len(self.channels))

    @classmethod
    def small(cls) -> DvNet:
        """Small preset: input at half resolution, fewer channels."""
        return cls(shape=(32, 32, 32), channels=(8, 16, 32), joint=(64, 64, 32, 32), weights="he")

    @property
    def parameters_in_paper(self) -> int | None:
        """Table 1, for the paper's settings; 16,822 more than this reading has."""
        return 5_440_764 if self == DvNet() else None

    def build(self) -> nn.Module:
        """The network, its weights drawn from torch's default generator."""
        return with_new_weights(LateFusion(self), self.weights)


class LateFusion(nn.Module):
    """Streams, concatenation, joint convolutions, six maps and their means."""

    def __init__(self, settings: DvNet) -> None:
        super().__init__()
        self.shape = settings.shape
        self.streams = nn.ModuleList(_stream(settings.channels) for _ in range(2))
        widths = (2 * settings.channels[-1], *settings.joint)
        self.joint = nn.Sequential(*(convolved(a, b) for a, b in pairwise(widths)))
        self.votes = nn.Conv3d(widths[-1], 6, 1)

    def forward(
        self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]
    ) -> Float[Tensor, "batch 6"]:
        """Rigid parameters of each pair; see `NetworkSettings`."""
        require_shape(spect, mu, self.shape)
        features = torch.cat([self.streams[0](spect), self.streams[1](mu)], dim=1)
        return self.votes(self.joint(features)).mean((2, 3, 4))  # type: ignore[no-any-return]


def _stream(channels: tuple[int, ...]) -> nn.Module:
    """``[batch 1 x y z]`` to ``[batch channels[-1] x' y' z']``, halved once a level, rounded up."""
    widths = (1, *channels)
    levels = pairwise(widths)
    return nn.Sequential(*(part for a, b in levels for part in (convolved(a, b), nn.MaxPool3d(2, ceil_mode=True))))
