"""Networks that cost nothing, for tests of what is done with networks. Importable by fresh processes."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Tiny:
    """One convolution and one linear layer; batch norm and dropout where they are asked for."""

    shape: tuple[int, int, int] = (12, 12, 12)
    norm: bool = False
    dropout: float = 0.0
    kind: Literal["tiny"] = "tiny"

    @property
    def parameters_in_paper(self) -> int | None:
        return None

    @classmethod
    def small(cls) -> Tiny:
        return cls()

    def build(self) -> nn.Module:
        return _Tiny(self)


class _Tiny(nn.Module):
    def __init__(self, settings: Tiny) -> None:
        super().__init__()
        x, y, z = (n // 2 for n in settings.shape)
        self.seen = nn.Conv3d(2, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm3d(4) if settings.norm else nn.Identity()
        self.dropped = nn.Dropout(settings.dropout)
        self.told = nn.Linear(4 * x * y * z, 6)

    def forward(self, spect: Tensor, mu: Tensor) -> Tensor:
        features = self.norm(self.seen(torch.cat((spect, 10.0 * mu), dim=1)))
        return self.told(self.dropped(features.flatten(1)))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Constant:
    """Says the same rigid parameters whatever it is shown."""

    six: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    shape: tuple[int, int, int] = (12, 12, 12)
    kind: Literal["constant"] = "constant"

    @property
    def parameters_in_paper(self) -> int | None:
        return None

    @classmethod
    def small(cls) -> Constant:
        return cls()

    def build(self) -> nn.Module:
        return _Constant(self.six)


class _Constant(nn.Module):
    def __init__(self, six: Six) -> None:
        super().__init__()
        self.six = nn.Parameter(torch.tensor(six))

    def forward(self, spect: Tensor, mu: Tensor) -> Tensor:
        return self.six.expand(len(spect), 6)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Centroids:
    """Reads the shift between the two images off their centres of mass, as if both showed one object."""

    spacing_mm: float = 10.0
    shape: tuple[int, int, int] = (12, 12, 12)
    kind: Literal["centroids"] = "centroids"

    @property
    def parameters_in_paper(self) -> int | None:
        return None

    @classmethod
    def small(cls) -> Centroids:
        return cls()

    def build(self) -> nn.Module:
        return _Centroids(self.spacing_mm)


class _Centroids(nn.Module):
    def __init__(self, spacing_mm: float) -> None:
        super().__init__()
        self.spacing_mm = nn.Parameter(torch.tensor(spacing_mm))

    def forward(self, spect: Tensor, mu: Tensor) -> Tensor:
        shift = (self._centre(mu) - self._centre(spect)) * self.spacing_mm / 6.8
        return torch.cat((shift, torch.zeros_like(shift)), dim=1)

    @staticmethod
    def _centre(image: Tensor) -> Tensor:
        weights = image[:, 0] / image.sum((1, 2, 3, 4))[:, None, None, None]
        parts = []
        for axis in (1, 2, 3):
            along = weights.sum([a for a in (1, 2, 3) if a != axis])
            parts.append((along * torch.arange(along.shape[1], dtype=along.dtype)).sum(1))
        return torch.stack(parts, dim=1)


ALL = {one.kind: one for one in (Tiny, Constant, Centroids)}
