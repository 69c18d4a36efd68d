"""Densely connected streams that exchange features by non-local attention.

Chen et al., MICCAI 2022, section 2.4 names the method and cites Song et al., MICCAI 2021 (cross-modal attention for MR
and ultrasound volumes), who build on Wang et al., CVPR 2018 (non-local networks, embedded Gaussian).
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from mureg.errors import UsageError
from mureg.registration.networks.base import Shape, Weights, require_room, with_new_weights
from mureg.registration.networks.dense import Apart, Dense, DenseRegistration

Features = Float[Tensor, "batch channel x y z"]

MOST_VOXELS = 40_000
"""Attention compares every voxel with every other; beyond this many it is no longer affordable: 1.6 x 10^9 pairs
for each image and direction. A round value."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DenseNetNonLocal:
    """Two densely connected streams with cross-modal non-local attention where the other network has DuSFE.

    The paper does not say where the attention sits, nor how wide it is. Our reading: the block of Song et al. (half
    the channels inside, 1x1x1 convolutions, batch norm that starts at 0 so that the block starts as nothing at all),
    one for either stream, at the last level alone: there 20 x 20 x 10 voxels of the paper's input are compared with
    each other, while 40 x 40 x 20 at the level before would already need a matrix of 10^9 numbers a pair and
    direction. 11,219,974 parameters, 1.8 % below the 11,419,846 of Table 1. The 199,872 that are missing are 91 such
    blocks; no place for them is described, so none was invented.

    Attributes:
        shape: number of voxels of each input along x, y, z.
        dense: widths and depths.
        attend_at: levels with attention between the streams, counted from 0; negative ones from the last.
        weights: distribution of the initial weights.
    """

    shape: Shape = (80, 80, 40)
    dense: Dense = Dense()
    attend_at: Annotated[tuple[int, ...], Field(min_length=1)] = (-1,)
    weights: Weights = "normal"
    kind: Literal["densenet-nonlocal"] = "densenet-nonlocal"

    def __post_init__(self) -> None:
        require_room(self.kind, self.shape, self.dense.halvings)
        for level in self.attend_at:
            if not -self.dense.levels <= level < self.dense.levels:
                raise UsageError(
                    f"attention at level {level} of {self.dense.levels}",
                    f"levels from {-self.dense.levels} to {self.dense.levels - 1}",
                    "change attend_at",
                )
            voxels = prod(self.dense.shape_at(self.shape, level % self.dense.levels))
            if voxels > MOST_VOXELS:
                raise UsageError(
                    f"attention between {voxels:,} voxels at level {level}",
                    f"at most {MOST_VOXELS:,}",
                    "attend at a later level or give a smaller shape",
                )

    @classmethod
    def small(cls) -> DenseNetNonLocal:
        """Small preset: input at half resolution, fewer channels."""
        return cls(shape=(32, 32, 32), dense=Dense.small(), weights="he")

    @property
    def parameters_in_paper(self) -> int | None:
        """Table 1, for the paper's settings; 199,872 more than this reading has."""
        return 11_419_846 if self == DenseNetNonLocal() else None

    def build(self) -> nn.Module:
        """The network, its weights drawn from torch's default generator."""
        levels = {level % self.dense.levels for level in self.attend_at}
        exchanges = [CrossAttention(self.dense.channels) if i in levels else Apart() for i in range(self.dense.levels)]
        return with_new_weights(DenseRegistration(self.shape, self.dense, exchanges), self.weights)


class NonLocal(nn.Module):
    """What one stream holds anywhere, gathered to where the other stream asks for it, and added.

    ``F + norm(W softmax(theta(other) . phi(F)) g(F))``: an embedded Gaussian (no scaling of the products) over all
    pairs of voxels, as in Song et al. The norm's scale starts at 0, so that the block starts as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = max(channels // 2, 1)
        self.asked, self.key, self.value = (nn.Conv3d(channels, inside, 1) for _ in range(3))
        self.out = nn.Conv3d(inside, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, own: Features, other: Features) -> Features:
        """The own features, of the same shape."""
        query, key, value = (_listed(part) for part in (self.asked(other), self.key(own), self.value(own)))
        features = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        features = features[:, 0].transpose(1, 2).reshape(own.shape[0], -1, *own.shape[2:])
        return own + self.norm(self.out(features))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """Non-local attention both ways; weights are not shared between the two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.both = nn.ModuleList(NonLocal(channels) for _ in range(2))

    def forward(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Both streams, each of the shape in which it came."""
        return self.both[0](first, second), self.both[1](second, first)


def _listed(features: Features) -> Float[Tensor, "batch 1 voxel channel"]:
    """Voxels in a row, as one head of attention."""
    return torch.flatten(features, 2).transpose(1, 2)[:, None]
