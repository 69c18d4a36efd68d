"""Densely connected streams, one for each image: the baseline of the paper, and the trunk that its rivals share.

Chen et al., MICCAI 2022, sections 2.2 to 2.4; residual dense blocks after Zhang et al., CVPR 2018, dense connections
after Huang et al., CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from mureg.registration.networks.base import (
    Count,
    Shape,
    Weights,
    halved,
    require_room,
    require_shape,
    with_new_weights,
)
from mureg.registration.networks.blocks import Halved, convolved, regressor

Features = Float[Tensor, "batch channel x y z"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Dense:
    """Widths and depths of the densely connected networks; the defaults are the paper's.

    Attributes:
        channels: number of features of each stream.
        growth: number of features that each layer of a dense block adds.
        layers: number of layers in each dense block.
        levels: number of dense blocks of each stream; the size is halved after each.
        stem_stride: stride of the first convolution; 2 halves the size before the first level.
        joint_growth: number of features that each layer of the deep registration module adds.
        last_channels: number of features that are flattened.
        hidden: widths of the linear layers between the flattened features and the rigid parameters.
    """

    channels: Count = 32
    growth: Count = 32
    layers: Count = 4
    levels: Annotated[int, Field(ge=1, le=6)] = 3
    stem_stride: Literal[1, 2] = 1
    joint_growth: Count = 64
    last_channels: Count = 16
    hidden: tuple[Count, ...] = (1024, 128, 16)

    @classmethod
    def small(cls) -> Dense:
        """For half the resolution, on a CPU: the stem makes 16 channels of 2 x 2 x 2 voxels, so need not lose any."""
        return cls(channels=16, growth=8, stem_stride=2, joint_growth=16, last_channels=16, hidden=(64, 32, 16))

    @property
    def halvings(self) -> int:
        """How often the size is halved in all."""
        return self.levels + self.stem_stride - 1

    def shape_at(self, shape: tuple[int, int, int], level: int) -> tuple[int, int, int]:
        """Shape of features at a level, counted from 0, before they are halved; past the last, what is flattened."""
        return halved(shape, level + self.stem_stride - 1)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DenseNet:
    """Two densely connected streams that meet only where their features are concatenated: the paper's ablation.

    11,215,590 parameters for the paper's input of 80 x 80 x 40 voxels, as in Table 1 (the text says 64 x 64 x 64, which
    would make 11,412,198).

    Attributes:
        shape: number of voxels of each input along x, y, z.
        dense: widths and depths.
        weights: distribution of the initial weights.
    """

    shape: Shape = (80, 80, 40)
    dense: Dense = Dense()
    weights: Weights = "normal"
    kind: Literal["densenet"] = "densenet"

    def __post_init__(self) -> None:
        require_room(self.kind, self.shape, self.dense.halvings)

    @classmethod
    def small(cls) -> DenseNet:
        """Small preset: input at half resolution, fewer channels."""
        return cls(shape=(32, 32, 32), dense=Dense.small(), weights="he")

    @property
    def parameters_in_paper(self) -> int | None:
        """Table 1, for the paper's settings."""
        return 11_215_590 if self == DenseNet() else None

    def build(self) -> nn.Module:
        """The network, its weights drawn from torch's default generator."""
        exchanges = [Apart() for _ in range(self.dense.levels)]
        return with_new_weights(DenseRegistration(self.shape, self.dense, exchanges), self.weights)


class DenseBlock(nn.Module):
    """Residual dense block: every layer sees the input and what all layers before it have found.

    Layers of 3x3x3 convolution without bias, batch norm, ReLU; their outputs and the input are joined, brought back to
    the channels of the input by a 1x1x1 convolution without bias, and added to the input.
    """

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(convolved(channels + i * growth, growth) for i in range(layers))
        self.joined = nn.Conv3d(channels + layers * growth, channels, 1, bias=False)

    def forward(self, features: Features) -> Features:
        """Features of the same shape."""
        stack = features
        for layer in self.layers:
            stack = torch.cat([stack, layer(stack)], dim=1)
        return features + self.joined(stack)  # type: ignore[no-any-return]


class Apart(nn.Module):
    """No exchange between the two streams."""

    def forward(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Return both feature maps unchanged."""
        return first, second


class TwoStreams(nn.Module):
    """Two streams of dense blocks, with something exchanged between them at each level.

    Args:
        dense: widths and depths.
        exchanges: one module a level, called with the features of both streams ``[batch channel x y z]`` before they
            are halved, and giving two of the same shape.
    """

    def __init__(self, dense: Dense, exchanges: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stems = nn.ModuleList(convolved(1, dense.channels, stride=dense.stem_stride, bias=True) for _ in range(2))
        self.blocks = nn.ModuleList(
            DenseBlock(dense.channels, dense.growth, dense.layers) for _ in range(2 * len(exchanges))
        )
        self.exchanges = nn.ModuleList(exchanges)
        self.halved = Halved()

    def forward(self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]) -> Tensor:
        """Concatenated features ``[batch 2*channel x' y' z']``, each size halved `Dense.halvings` times, rounded up."""
        first, second = self.stems[0](spect), self.stems[1](mu)
        for level, exchange in enumerate(self.exchanges):
            first, second = self.blocks[2 * level](first), self.blocks[2 * level + 1](second)
            first, second = exchange(first, second)
            first, second = self.halved(first), self.halved(second)
        return torch.cat([first, second], dim=1)


class DenseRegistration(nn.Module):
    """Two streams, the deep registration module on their concatenated features, linear layers to rigid parameters."""

    def __init__(self, shape: tuple[int, int, int], dense: Dense, exchanges: Sequence[nn.Module]) -> None:
        super().__init__()
        self.shape = shape
        self.streams = TwoStreams(dense, exchanges)
        self.deep = nn.Sequential(
            DenseBlock(2 * dense.channels, dense.joint_growth, dense.layers),
            convolved(2 * dense.channels, dense.channels, bias=True),
            nn.Conv3d(dense.channels, dense.last_channels, 3, padding=1),
        )
        self.six = regressor(dense.last_channels * prod(dense.shape_at(shape, dense.levels)), dense.hidden)

    def forward(
        self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]
    ) -> Float[Tensor, "batch 6"]:
        """Rigid parameters of each pair; see `NetworkSettings`."""
        require_shape(spect, mu, self.shape)
        return self._rigid_parameters(self.streams(spect, mu))

    def _rigid_parameters(self, features: Features) -> Float[Tensor, "batch 6"]:
        """Rigid parameters of joint features, in float32 under autocast.

        On CPUs, gradients of bfloat16 convolutions over 2 x 2 x 2 voxels are not numbers (PyTorch 2.13, oneDNN).
        """
        device = features.device.type
        if device in ("cpu", "cuda") and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._rigid_parameters(features.float())
        return self.six(self.deep(features).flatten(1))  # type: ignore[no-any-return]
