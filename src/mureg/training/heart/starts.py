"""Poses at which crops are drawn: where the registrar may be before its networks correct the pose."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple, triple
from mureg.registration import NearHeart

Length = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(ge=1)]

NO_TURN: Triple = (0.0, 0.0, 0.0)
"""Angles of a translation alone, and the origin as a centre."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class FromMutualInformation:
    """Transverse position and rotation where fine mutual information ends, scattered; axial position drawn.

    Attributes:
        axial_mm: uniform range of the axial motion that is missing at a start (mm); for every third crop, and for the
            place where mutual information begins, plus or minus `near_mm` instead.
        near_mm: see `axial_mm` (mm).
        jitter_mm: standard deviation of the transverse scatter around the result of mutual information (mm).
        jitter_deg: standard deviation of the scatter about each axis (degrees).
        largest_factor: the scatter is multiplied by a number between 1 and this, log-uniform.
    """

    axial_mm: tuple[float, float] = (-20.0, 30.0)
    near_mm: Length = 6.0
    jitter_mm: Length = 0.7
    jitter_deg: Length = 0.4
    largest_factor: Factor = 3.0
    kind: Literal["mutual-information"] = "mutual-information"

    def poses(
        self, chance: np.random.Generator, spect: Volume, body: Volume, true: RigidTransform, centre_mm: Triple
    ) -> Iterator[RigidTransform]:
        """Start poses without end, each drawn when it is asked for.

        Args:
            chance: source of the random numbers.
            spect, body: images at the spacing of the crops.
            true: ``ct_from_spect`` of the heart.
            centre_mm: centre of the heart in SPECT space.

        Raises:
            RegistrationError: mutual information has no result for this case.
        """
        offset_mm = chance.uniform(-self.near_mm, self.near_mm)
        near = true @ RigidTransform.from_six((0.0, 0.0, offset_mm), NO_TURN, centre_mm)
        result = NearHeart().fine.across(spect, body, near)
        residual_mm, _ = (result.inverse() @ true).six(centre_mm)
        for number in count():
            factor = _log_uniform(chance, self.largest_factor)
            missing_mm = chance.uniform(*(self.axial_mm if number % 3 else (-self.near_mm, self.near_mm)))
            x, y = factor * self.jitter_mm * chance.standard_normal(2)
            angles = triple(factor * self.jitter_deg * chance.standard_normal(3))
            shift = float(x), float(y), residual_mm[2] - missing_mm
            yield result @ RigidTransform.from_six(shift, angles, centre_mm)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class AroundTruth:
    """The true pose less a random motion; the numbers describe that motion, which a network has to find.

    Attributes:
        axial_mm: uniform range of its axial translation (mm).
        transverse_mm: standard deviations of its translation along x and y (mm).
        mean_y_mm: mean of its translation along y (mm).
        angle_deg: standard deviation of its angle about each axis (degrees).
        largest_factor: the standard deviations are multiplied by a number between 1 and this, log-uniform.
    """

    axial_mm: tuple[float, float] = (-20.0, 30.0)
    transverse_mm: tuple[Length, Length] = (1.0, 1.2)
    mean_y_mm: float = -0.3
    angle_deg: Length = 0.5
    largest_factor: Factor = 3.0
    kind: Literal["around-truth"] = "around-truth"

    def poses(
        self, chance: np.random.Generator, spect: Volume, body: Volume, true: RigidTransform, centre_mm: Triple
    ) -> Iterator[RigidTransform]:
        """See `FromMutualInformation.poses`; nothing is refused."""
        while True:
            factor = _log_uniform(chance, self.largest_factor)
            x = chance.normal(0.0, factor * self.transverse_mm[0])
            y = chance.normal(self.mean_y_mm, factor * self.transverse_mm[1])
            z = chance.uniform(*self.axial_mm)
            angles = triple(chance.normal(0.0, factor * self.angle_deg, 3))
            yield true @ RigidTransform.from_six((x, y, z), angles, centre_mm).inverse()


Starts = Annotated[FromMutualInformation | AroundTruth, Field(discriminator="kind")]


def _log_uniform(chance: np.random.Generator, largest: float) -> float:
    return float(np.exp(chance.uniform(0.0, math.log(largest))))
