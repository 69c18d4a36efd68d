"""What the networks are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def convolved(
    n_in: int, n_out: int, *, kernel: int = 3, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Module:
    """Convolution that keeps the size (at stride 2 halves it, rounded up), batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv3d(n_in, n_out, kernel, stride, padding=kernel // 2, groups=groups, bias=bias),
        nn.BatchNorm3d(n_out),
        nn.ReLU(inplace=True),
    )


class Halved(nn.Module):
    """Means of 2 x 2 x 2 voxels; at an odd end, means of the voxels there are, so that nothing is lost."""

    def forward(self, features: Float[Tensor, "batch channel x y z"]) -> Float[Tensor, "batch channel u v w"]:
        """``ceil(n / 2)`` voxels along each axis."""
        kernel = [min(2, n) for n in features.shape[2:]]
        return functional.avg_pool3d(features, kernel, ceil_mode=True)


def regressor(n_in: int, hidden: Sequence[int]) -> nn.Module:
    """Linear layers, one after another, from the flattened features to rigid parameters: ``[batch n_in] -> [batch 6]``.

    As in the paper's code there is no activation between them, so that whatever their widths they do together what one
    ``6 x n_in`` matrix does; the rest of their parameters changes how training goes, not what can be learnt.
    """
    widths = [n_in, *hidden, 6]
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))
