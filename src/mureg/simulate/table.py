"""The patient table: a curved shell of carbon fibre around foam, with a thin mattress, fixed to the scanner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from mureg.geometry import Grid
from mureg.simulate.tissues import AIR_HU

Range = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]

SHELL_HU, FOAM_HU, MATTRESS_HU = 150.0, -930.0, -900.0
"""Foam and mattress by their densities of 0.07 and 0.10 g/cm3; the shell's is chosen, no table was measured."""
SHELL_MU, FOAM_MU, MATTRESS_MU = 0.195, 0.011, 0.015
"""Carbon-fibre laminate of 1.45 g/cm3 (0.134 cm2/g for carbon at 140 keV, NIST XCOM), foam and mattress of 0.07-0.1."""


@dataclass(frozen=True)
class PatientTable:
    """A table along z without end, in the scanner's space (mm, LPS+).

    Attributes:
        top_mm: y of its upper surface at the middle (the back of the patient rests here).
        middle_mm: x of its middle.
        width_mm: from edge to edge.
        thickness_mm: of the pallet at the middle.
        shell_mm: of the carbon fibre.
        sag_mm: how much higher the edges are than the middle.
        mattress_mm: of the mattress on top.
    """

    top_mm: float
    middle_mm: float = 0.0
    width_mm: float = 400.0
    thickness_mm: float = 30.0
    shell_mm: float = 2.5
    sag_mm: float = 25.0
    mattress_mm: float = 10.0

    def hounsfield(self, grid: Grid) -> Float[Tensor, "x y 1"]:
        """HU of table in air for one slice of a grid along the patient axes; every slice is the same."""
        return self._painted(grid, AIR_HU, (MATTRESS_HU, SHELL_HU, FOAM_HU))

    def mu_per_cm(self, grid: Grid) -> Float[Tensor, "x y 1"]:
        """Attenuation at 140.5 keV for one slice; see `hounsfield`."""
        return self._painted(grid, 0.0, (MATTRESS_MU, SHELL_MU, FOAM_MU))

    def _painted(self, grid: Grid, air: float, values: tuple[float, float, float]) -> Float[Tensor, "x y 1"]:
        """Mattress, shell and foam painted over each other, each voxel sampled finely enough for the thin shell."""
        # five samples through the shell
        fine = max(1, int(np.ceil(grid.spacing_mm[1] / (self.shell_mm / 5))))
        x = grid.affine[0, 3] + np.arange(grid.shape[0]) * grid.spacing_mm[0]
        steps = (np.arange(grid.shape[1] * fine) + 0.5) / fine - 0.5
        y = grid.affine[1, 3] + steps * grid.spacing_mm[1]
        aside = (x - self.middle_mm)[:, None] / (self.width_mm / 2)
        inside = np.abs(aside) <= 1.0
        top = self.top_mm - self.sag_mm * aside**2
        below = y[None, :] - top  # how far under the patient's side of the mattress
        pallet = below - self.mattress_mm
        # rounded edges, nowhere thinner than a fifth (a root of 0.05); chosen
        thickness = self.thickness_mm * np.sqrt(np.clip(1.0 - aside**4, 0.05, None))
        result = np.full(below.shape, air)
        result[inside & (below > 0) & (pallet <= 0)] = values[0]
        result[inside & (pallet > 0) & (pallet <= thickness)] = values[1]
        foam = (pallet > self.shell_mm) & (pallet <= thickness - self.shell_mm)
        result[inside & foam & (np.abs(aside) < 1.0 - 2 * self.shell_mm / self.width_mm)] = values[2]
        mean = result.reshape(grid.shape[0], grid.shape[1], fine).mean(-1)
        return torch.from_numpy(mean.astype(np.float32))[:, :, None]


@settings(frozen=True, config=ConfigDict(extra="forbid"))
class TableRange:
    """Patient table.

    Attributes:
        width_mm: width of the table (mm).
        thickness_mm: thickness (mm).
        sag_mm: depth of the hollow (mm).
        mattress_mm: thickness of the mattress (mm).
        middle_mm: largest distance of its middle from the axis of the scanner (mm).
        shell_mm: thickness of the carbon fibre (mm; default: 2.5).
    """

    width_mm: Range = (380.0, 430.0)
    thickness_mm: Range = (18.0, 45.0)
    sag_mm: Range = (10.0, 40.0)
    mattress_mm: Range = (3.0, 20.0)
    middle_mm: Annotated[float, Field(ge=0)] = 5.0
    shell_mm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    kind: Literal["table"] = "table"

    def draw(self, generator: np.random.Generator, back_mm: float) -> PatientTable:
        """Draw a table for a patient whose back lies at y = `back_mm`."""
        width, thickness, sag, mattress = (
            float(generator.uniform(*bounds))
            for bounds in (self.width_mm, self.thickness_mm, self.sag_mm, self.mattress_mm)
        )
        middle = float(generator.uniform(-self.middle_mm, self.middle_mm))
        shell = PatientTable.shell_mm if self.shell_mm is None else float(generator.uniform(*self.shell_mm))
        return PatientTable(back_mm, middle, width, thickness, shell, sag, mattress)
