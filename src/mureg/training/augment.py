"""Changes that make more of few patients: each is drawn, then applied, and off unless it is asked for."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from mureg.geometry.rigid import Triple

_FAT_PER_CM, _SOFT_PER_CM = (0.127, 0.157), 0.157
"""Fat has 0.142 1/cm by `mureg.simulate.tissues`, soft tissue 0.155 to 0.161: around the one, up to the other."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Augmentation:
    """Limits of the random changes of each case; 0 and false switch a change off.

    Attributes:
        gain: largest relative change of the SPECT scale, up or down (0 to 1).
        gamma: largest gamma: the SPECT is raised to a power between exp(-gamma) and exp(gamma), then divided by its
            mean. It changes the contrast of hot organs.
        noise: standard deviation of noise on the SPECT, relative to its mean; it grows with the square root of the
            value, as counting noise does.
        mu_scale: largest relative change of the scale of the attenuation map, up or down (0 to 1).
        mu_fade: largest loss of contrast between fat and other soft tissue in the map (0 to 1).
        shift_mm: largest common shift of both images along x, y, z (mm), so that the position in the field carries no
            information.
        flip: mirror half of the cases left to right, both images and the motion.
    """

    gain: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.0
    noise: Annotated[float, Field(ge=0)] = 0.0
    mu_scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mu_fade: Annotated[float, Field(ge=0, le=1)] = 0.0
    shift_mm: Triple = (0.0, 0.0, 0.0)
    flip: bool = False

    @property
    def moves(self) -> bool:
        """Whether both images are moved or mirrored together."""
        return self.flip or any(self.shift_mm)

    def draw(self, chance: np.random.Generator) -> Change:
        """Draw the changes of one case; always the same number of draws, whatever is asked for."""
        gain, gamma, mu = chance.uniform(-1.0, 1.0, 3) * (self.gain, self.gamma, self.mu_scale)
        together = np.eye(4)
        together[:3, 3] = chance.uniform(-1.0, 1.0, 3) * self.shift_mm
        if chance.random() < 0.5 and self.flip:
            together = together @ np.diag((-1.0, 1.0, 1.0, 1.0))
        noise_seed = int(chance.integers(2**62))
        fade = float(chance.uniform(0.0, 1.0)) * self.mu_fade
        moved = torch.from_numpy(together)
        return Change(1.0 + gain, float(np.exp(gamma)), self.noise, noise_seed, 1.0 + mu, fade, moved)


@plain_dataclass(frozen=True, eq=False)
class Change:
    """What was drawn for one case.

    Attributes:
        gain, power, noise, noise_seed: of the SPECT.
        mu_scale, mu_fade: of the attenuation map.
        together: 4x4, old from new: both new images show at a point what the old ones show at ``together @ point``.
            A motion T between them becomes ``together^-1 @ T @ together``.
    """

    gain: float
    power: float
    noise: float
    noise_seed: int
    mu_scale: float
    mu_fade: float
    together: Float[Tensor, "4 4"]


def faded(mu: Float[Tensor, "x y z"], share: float) -> Float[Tensor, "x y z"]:
    """An attenuation map in 1/cm in which fat lies nearer to other soft tissue by a share of what lies between."""
    if share == 0.0:
        return mu
    soft = (mu > _FAT_PER_CM[0]) & (mu < _FAT_PER_CM[1])
    return mu.where(~soft, mu + share * (_SOFT_PER_CM - mu))


def recoloured(spect: Float[Tensor, "x y z"], change: Change) -> Float[Tensor, "x y z"]:
    """A SPECT, already divided by its mean, with the drawn contrast, noise and scale."""
    if change.power != 1.0:
        spect = spect.clamp_min(0.0) ** change.power
        spect = spect / spect.mean().clamp_min(1e-12)
    if change.noise > 0.0:
        generator = torch.Generator(spect.device).manual_seed(change.noise_seed)
        white = torch.randn(spect.shape, generator=generator, device=spect.device, dtype=spect.dtype)
        spect = (spect + change.noise * white * spect.clamp_min(0.0).sqrt()).clamp_min(0.0)
    return spect * change.gain if change.gain != 1.0 else spect
