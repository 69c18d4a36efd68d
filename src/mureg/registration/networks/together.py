"""Several networks in place of one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Together(nn.Module):
    """Networks that were trained separately: the mean of their predictions, and each prediction."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(
        self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]
    ) -> Float[Tensor, "batch 6"]:
        """Mean of the predictions of all networks."""
        return self.each(spect, mu).mean(0)

    def each(
        self, spect: Float[Tensor, "batch 1 x y z"], mu: Float[Tensor, "batch 1 x y z"]
    ) -> Float[Tensor, "member batch 6"]:
        """Predictions of each network, along the first axis."""
        return torch.stack([member(spect, mu) for member in self.members])
