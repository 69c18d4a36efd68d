"""Both images as two channels of one, and a residual network with grouped convolutions: one stage of MSReg.

Guo, Kruger, Xu, Wood and Yan, "Deep adaptive registration of multi-modal prostate images", Comput Med Imaging Graph
2020; ResNeXt after Xie et al., CVPR 2017, carried to three dimensions as in Hara, Kataoka and Satoh, CVPR 2018.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from mureg.registration.networks.base import Count, Shape, Weights, require_room, require_shape, with_new_weights
from mureg.registration.networks.blocks import convolved


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MsReg:
    """Early fusion: both images are the two channels of one input to a three-dimensional ResNeXt with six outputs.

    Guo et al. train several such networks one after another; the paper compares with the first alone ("one-stage"),
    and says no more than early concatenation and a series of ResNeXt. Our reading is the plain ResNeXt: a 7x7x7
    convolution at stride 2, a 3x3x3 maximum at stride 2, four stages of bottlenecks with 32 groups, the mean over all
    voxels, one linear layer. With two features a group in the first stage and three bottlenecks a stage it has
    11,404,166 parameters, 3.5 % below the 11,820,998 of Table 1; ResNeXt-50's own (3, 4, 6, 3) would have 12.5 % more
    than Table 1, and with its four features a group more than twice as many.

    Attributes:
        shape: number of voxels of each input along x, y, z.
        stem: features after the first convolution.
        stem_kernel: kernel size of the first convolution.
        stem_pooled: whether a maximum over 3x3x3 voxels at stride 2 follows.
        stages: bottlenecks of each stage; all stages but the first begin by halving the size.
        groups: number of groups of the grouped convolutions.
        group_width: features of a group in the first stage; twice as many in each later one.
        expanded: features that a bottleneck of the first stage gives; twice as many in each later one.
        weights: distribution of the initial weights.
    """

    shape: Shape = (80, 80, 40)
    stem: Count = 64
    stem_kernel: Literal[3, 5, 7] = 7
    stem_pooled: bool = True
    stages: Annotated[tuple[Count, ...], Field(min_length=1, max_length=5)] = (3, 3, 3, 3)
    groups: Count = 32
    group_width: Count = 2
    expanded: Count = 256
    weights: Weights = "normal"
    kind: Literal["msreg"] = "msreg"

    def __post_init__(self) -> None:
        require_room(self.kind, self.shape, len(self.stages) + self.stem_pooled)

    @classmethod
    def small(cls) -> MsReg:
        """At half resolution (which makes up for the pooling after the stem), with fewer channels and stages."""
        return cls(
            shape=(32, 32, 32),
            stem=16,
            stem_kernel=5,
            stem_pooled=False,
            stages=(2, 2, 2),
            groups=4,
            group_width=4,
            expanded=64,
            weights="he",
        )

    @property
    def parameters_in_paper(self) -> int | None:
        """Table 1, for the paper's settings; 416,832 more than this reading has."""
        return 11_820_998 if self == MsReg() else None

    def build(self) -> nn.Module:
        """The network, its weights drawn from torch's default generator."""
        return with_new_weights(ResNeXt(self), self.weights)


class Bottleneck(nn.Module):
    """Convolutions of 1x1x1, grouped 3x3x3 and 1x1x1, each with batch norm, added to the (projected) input."""

    def __init__(self, n_in: int, inside: int, n_out: int, groups: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            convolved(n_in, inside, kernel=1),
            convolved(inside, inside, stride=stride, groups=groups),
            nn.Conv3d(inside, n_out, 1, bias=False),
            nn.BatchNorm3d(n_out),
        )
        keeps_shape = n_in == n_out and stride == 1
        self.past = (
            nn.Identity()
            if keeps_shape
            else nn.Sequential(nn.Conv3d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm3d(n_out))
        )

    def forward(self, features: Float[Tensor, "batch n_in x y z"]) -> Float[Tensor, "batch n_out u v w"]:
        """Features of `n_out` channels, halved (rounded up) at stride 2."""
        return torch.relu(self.way(features) + self.past(features))


class ResNeXt(nn.Module):
    """Stem, stages, mean over all voxels, one linear layer."""

    def __init__(self, settings: MsReg) -> None:
        super().__init__()
        self.shape = settings.shape
        stem = [convolved(2, settings.stem, kernel=settings.stem_kernel, stride=2)]
        if settings.stem_pooled:
            stem.append(nn.MaxPool3d(3, stride=2, padding=1))
        self.stem = nn.Sequential(*stem)
        blocks, n_in = [], settings.stem
        for i, n_blocks in enumerate(settings.stages):
            inside, n_out = settings.groups * settings.group_width * 2**i, settings.expanded * 2**i
            for j in range(n_blocks):
                blocks.append(Bottleneck(n_in, inside, n_out, settings.groups, stride=2 if i > 0 and j == 0 else 1))
                n_in = n_out
        self.blocks = nn.Sequential(*blocks)
        self.six = nn.Linear(n_in, 6)

    def forward(
        self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]
    ) -> Float[Tensor, "batch 6"]:
        """Rigid parameters of each pair; see `NetworkSettings`."""
        require_shape(spect, mu, self.shape)
        features = self.blocks(self.stem(torch.cat([spect, mu], dim=1)))
        return self.six(features.mean((2, 3, 4)))  # type: ignore[no-any-return]
