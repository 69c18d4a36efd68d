"""The dual-branch squeeze-fusion-excitation block, and the densely connected network that has one at each level.

Chen et al., MICCAI 2022, section 2.2. The equation of each line stands beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from mureg.registration.networks.base import Shape, Weights, require_room, with_new_weights
from mureg.registration.networks.dense import Dense, DenseRegistration

Features = Float[Tensor, "batch channel x y z"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DenseNetDusfe:
    """Two densely connected streams with a DuSFE block at each level: what the paper proposes.

    11,228,541 parameters are what equations (1) to (11) ask for: 12,951 more than without the blocks. Table 1 says
    11,726,397. That number comes out if each of the three blocks also owns two 3x3x3 convolutions, with bias, from
    three times the channels to the channels (96 to 32: 82,976 parameters each, 497,856 in all), which are made but
    which nothing ever passes through. `dead_weights` makes them, for the count alone: they have no gradient, never
    change, and the output is the same to the bit. (DistributedDataParallel must be informed of parameters without
    gradient.)

    Attributes:
        shape: number of voxels of each input along x, y, z.
        dense: widths and depths.
        dead_weights: also create the convolutions of the paper that are never used.
        weights: distribution of the initial weights.
    """

    shape: Shape = (80, 80, 40)
    dense: Dense = Dense()
    dead_weights: bool = False
    weights: Weights = "normal"
    kind: Literal["densenet-dusfe"] = "densenet-dusfe"

    def __post_init__(self) -> None:
        require_room(self.kind, self.shape, self.dense.halvings)

    @classmethod
    def small(cls) -> DenseNetDusfe:
        """Small preset: input at half resolution, fewer channels."""
        return cls(shape=(32, 32, 32), dense=Dense.small(), weights="he")

    @property
    def parameters_in_paper(self) -> int | None:
        """Table 1, for the paper's settings; it counts the dead weights."""
        return 11_726_397 if replace(self, dead_weights=False) == DenseNetDusfe() else None

    def build(self) -> nn.Module:
        """The network, its weights drawn from torch's default generator."""
        exchanges = [Dusfe(self.dense.channels) for _ in range(self.dense.levels)]
        network = with_new_weights(DenseRegistration(self.shape, self.dense, exchanges), self.weights)
        if self.dead_weights:  # after all others are drawn, so that the living weights are the same with and without
            for exchange in exchanges:
                exchange.add_dead_weights()
        return network


class ChannelSfe(nn.Module):
    """Channel-wise squeeze, fusion and excitation, equations (1) to (5)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fused = nn.Linear(2 * channels, channels)
        self.excited = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))

    def forward(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Either stream with each channel weighed between 0 and 1."""
        v1, v2 = first.mean((2, 3, 4)), second.mean((2, 3, 4))  # (1), (2)
        v_fuse = self.fused(torch.cat([v1, v2], dim=1))  # (3)
        r1, r2 = (excited(v_fuse)[:, :, None, None, None] for excited in self.excited)  # (4)
        return torch.sigmoid(r1) * first, torch.sigmoid(r2) * second  # (5)


class SpatialSfe(nn.Module):
    """Spatial squeeze, fusion and excitation, equations (6) to (9).

    The equations name no biases here; one for each of the five kernels is needed for the count of 11,228,541 and is
    kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeezed = nn.ModuleList(nn.Conv3d(channels, 1, 1) for _ in range(2))
        self.fused = nn.Conv3d(2, 1, 1)
        self.excited = nn.ModuleList(nn.Conv3d(1, 1, 3, padding=1) for _ in range(2))

    def forward(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Either stream with each voxel weighed between 0 and 1."""
        m1, m2 = self.squeezed[0](first), self.squeezed[1](second)  # (6)
        m_fuse = self.fused(torch.cat([m1, m2], dim=1))  # (7)
        s1, s2 = (excited(m_fuse) for excited in self.excited)  # (8)
        return torch.sigmoid(s1) * first, torch.sigmoid(s2) * second  # (9)


class Dusfe(nn.Module):
    """Two streams tell each other what they hold: either is weighed by channel and by voxel in the light of both.

    Both weighed copies are added to the stream. For any two streams with the same number of channels and the same
    size, whatever these are; nothing in it depends on the size. ``4 C^2 + 5 C + 61`` parameters for C channels: 4,317
    for 32.

    Args:
        channels: of either stream.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.channel = ChannelSfe(channels)
        self.spatial = SpatialSfe(channels)

    def forward(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Both streams, each of the shape in which it came."""
        first_c, second_c = self.channel(first, second)
        first_s, second_s = self.spatial(first, second)
        return first + first_c + first_s, second + second_c + second_s  # (10), (11)

    def add_dead_weights(self) -> None:
        """Add two 3x3x3 convolutions that `forward` never uses; see `DenseNetDusfe`."""
        self.dead = nn.ModuleList(nn.Conv3d(3 * self.channels, self.channels, 3, padding=1) for _ in range(2))
