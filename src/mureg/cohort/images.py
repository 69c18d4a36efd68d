"""How a case's uncorrected image was made: by the program, or elsewhere with settings of its own."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.recon import Osem
from mureg.spect import Physics
from mureg.spect.physics import WITHOUT

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Filter = Literal["none", "gaussian", "butterworth"]

UNCORRECTED = Osem()
"""How the program reconstructs: as `mureg register` does."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ImageRange:
    """Images given without projections, reconstructed with other settings than those of the program.

    Attributes:
        share_given: share of studies that come as such an image (0 to 1); the program reconstructs the others.
        iterations: fewest and most iterations.
        subsets: numbers of subsets to choose from, with equal probability.
        filters: post-filters to choose from, with equal probability.
        fwhm_mm: width of a Gaussian filter (mm).
        cutoff_per_cm: cut-off frequency of a Butterworth filter (1/cm).
        order: order of a Butterworth filter.
        share_resolution: share of the given images with resolution recovery (0 to 1).
    """

    share_given: Share = 0.35
    iterations: tuple[Count, Count] = (2, 16)
    subsets: tuple[Count, ...] = (2, 4, 6, 8, 10)
    filters: tuple[Filter, ...] = ("none", "gaussian", "butterworth", "butterworth")
    fwhm_mm: tuple[Positive, Positive] = (6.0, 14.0)
    cutoff_per_cm: tuple[Positive, Positive] = (0.35, 0.8)
    order: tuple[Positive, Positive] = (4.0, 10.0)
    share_resolution: Share = 0.15

    def draw(self, generator: np.random.Generator) -> tuple[Osem, Physics] | None:
        """Settings of an image given without projections; None where the program reconstructs."""
        is_given, recovered = generator.random(2) < (self.share_given, self.share_resolution)
        fwhm, cutoff, order = (float(generator.uniform(*b)) for b in (self.fwhm_mm, self.cutoff_per_cm, self.order))
        osem = Osem(
            iterations=int(generator.integers(self.iterations[0], self.iterations[1] + 1)),
            subsets=int(generator.choice(self.subsets)),
            post_filter=self.filters[int(generator.integers(len(self.filters)))],
            fwhm_mm=fwhm,
            cutoff_per_cm=cutoff,
            order=order,
        )
        return (osem, Physics(resolution=bool(recovered), scatter="none")) if is_given else None


def image_facts(osem: Osem, is_given: bool, physics: Physics = WITHOUT) -> dict[str, float | int | str | bool]:
    """What is known about how an image was made, by name."""
    width = {"none": 0.0, "gaussian": osem.fwhm_mm, "butterworth": osem.cutoff_per_cm}[osem.post_filter]
    return {
        "image_given": is_given,
        "image_iterations": osem.iterations,
        "image_subsets": osem.subsets,
        "image_filter": osem.post_filter,
        "image_filter_width": width,
        "image_resolution_recovery": physics.resolution,
    }
