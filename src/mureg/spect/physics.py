"""Which effects of the camera a reconstruction models."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mureg.geometry import Volume
from mureg.spect.acquisition import Acquisition
from mureg.spect.collimator import choose_collimator
from mureg.spect.scatter import SimulatedScatter, WindowScatter
from mureg.spect.system import ScatterModel, SystemModel


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Physics:
    """Effects of the camera that the reconstruction models, besides attenuation.

    Attributes:
        resolution: model the depth-dependent collimator resolution.
        collimator: collimator name, such as "LEHR"; empty for that of the header.
        radius_mm: detector radius used where the header gives none (mm).
        scatter: scatter estimate: simulated from the map; simulated and scaled to a lower energy window; dual or triple
            energy window; or none.
    """

    resolution: bool = True
    collimator: str = ""
    radius_mm: Annotated[float, Field(gt=0)] = 250.0
    scatter: Literal["simulated", "simulated-by-window", "dual-window", "triple-window", "none"] = "simulated"
    kind: Literal["physics"] = "physics"

    def system(self, acquisition: Acquisition, mu: Volume | None) -> tuple[SystemModel, tuple[str, ...]]:
        """The model of an acquisition on its own grid, and what had to be assumed.

        Args:
            acquisition: the projections.
            mu: attenuation map on the SPECT grid or wider, or None for no attenuation.
        """
        notes = []
        collimator = None
        if self.resolution:
            collimator, note = choose_collimator(self.collimator or acquisition.collimator, acquisition.manufacturer)
            notes += [note] if note else []
            if acquisition.radii_mm is None:
                acquisition = replace(acquisition, radii_mm=np.full(acquisition.n_views, self.radius_mm))
                notes.append(f"detector radius unknown: a circular orbit of {self.radius_mm:g} mm was assumed")
        scatter = self._scatter()
        if mu is None and isinstance(scatter, SimulatedScatter):
            scatter = None
            notes.append("scatter was not modelled: simulating it needs an attenuation map")
        return SystemModel(acquisition, acquisition.grid(), mu, collimator, scatter), tuple(notes)

    def _scatter(self) -> ScatterModel | None:
        models: dict[str, ScatterModel | None] = {
            "simulated": SimulatedScatter(),
            "simulated-by-window": SimulatedScatter(amount="windows"),
            "dual-window": WindowScatter("dual"),
            "triple-window": WindowScatter("triple"),
            "none": None,
        }
        return models[self.scatter]


WITHOUT = Physics(resolution=False, scatter="none")
"""Attenuation alone, or nothing at all: the uncorrected image of the clinic."""
