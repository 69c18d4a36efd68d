"""Reduces the displacement fields of `breathing_fields.py` to the model that is shipped in data/breathing.toml.

    python benchmarks/evidence/breathing_model.py FOLDER --fields WORK --out evidence/breathing --model breathing.toml

One mode is taken from all phases (regression on the displacement of the right dome), and fitted by ridge regression to
the smooth functions of `mureg.simulate.measured_motion`. Writes model.csv: for every phase the part of the measured
motion that the model with that phase's dome and heart does not explain, in the lungs and below the domes.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import tomli_w
import torch
from breathing_fields import DOME_BOX_MM, HEART_BOX_MM, PHASES, Array, PhaseField, at, fields, write

from mureg.cohort.anatomies import ct_base
from mureg.simulate.measured_motion import BodyRegions, BreathModel, MeasuredMotion, basis

RIDGE = 0.003
LOWEST_MM = -140.0
"""Below, tissue of other phases was not scanned."""
DECIMALS = 3
DOME_WEIGHT = 5.0


def places_of(regions: BodyRegions) -> Array:
    """Middles [x, y, z, 3] of the voxels of the regions."""
    points: Array = regions.grid.points(np.stack(np.meshgrid(*map(np.arange, regions.grid.shape), indexing="ij"), -1))
    return points


def domes_and_hearts(measured: list[PhaseField]) -> tuple[Array, Array]:
    """How far dome and heart [y, z] have gone in each phase."""
    boxes = []
    for box in (DOME_BOX_MM, HEART_BOX_MM):
        grid = np.stack(np.meshgrid(*[np.arange(low, high, 4.0) for low, high in box], indexing="ij"), -1).reshape(
            -1, 3
        )
        boxes.append(np.array([at(field, grid).mean(0) for field in measured]))
    return boxes[0][:, 2], boxes[1][:, 1:]


def fitted(regions: BodyRegions, mode: Array, heart_share: float, heart_back: float) -> BreathModel:
    """Coefficients that explain the mode (mm LPS for each mm of the dome) outside the heart."""
    where = regions.coordinates()
    known = regions.movable & (places_of(regions)[..., 2] > LOWEST_MM) & (where["height"] > 0)
    with_heart = regions.with_heart()[known]
    matrix = basis({name: values[known] for name, values in where.items()}) * (1.0 - with_heart)[:, None]
    wanted = mode[known] - with_heart[:, None] * np.array([0.0, heart_back, -heart_share])
    side = where["side"][known]
    weight = np.where(regions.right_dome(where)[known], DOME_WEIGHT, 1.0)[:, None]
    columns = []
    same = np.ones_like(side)
    for k, (factor, sign) in enumerate(((side, 1.0), (same, 1.0), (same, -1.0))):
        a = matrix * factor[:, None]
        gram = (weight * a).T @ a + RIDGE * len(a) / a.shape[1] * np.eye(a.shape[1])
        columns.append(np.linalg.solve(gram, (weight * a).T @ (sign * wanted[:, k])))
    return BreathModel(np.round(np.stack(columns, -1), DECIMALS), round(heart_back, DECIMALS), 0.0, ())


def accuracy(
    regions: BodyRegions, motion: MeasuredMotion, field: PhaseField, sinks_mm: tuple[float, float]
) -> list[dict[str, object]]:
    """Motion and residual of one phase in the lungs, and in what moves below the domes."""
    points = places_of(regions)
    lung = regions.lung & (points[..., 2] > LOWEST_MM)
    below = regions.movable & ~regions.lung & ~regions.heart
    below &= (points[..., 2] > LOWEST_MM) & (points[..., 2] < regions.dome_z_mm)
    rows: list[dict[str, object]] = []
    for name, mask in (("lungs", lung), ("below the domes", below)):
        seen = at(field, points[mask])
        model = motion.shift(torch.from_numpy(points[mask]), *sinks_mm).numpy()
        size, missing = (np.linalg.norm(v, axis=1) for v in (seen, seen - model))
        rows.append({
            "phase": field.phase, "where": name,
            "motion_mean_mm": f"{size.mean():.2f}", "motion_p95_mm": f"{np.percentile(size, 95):.2f}",
            "residual_mean_mm": f"{missing.mean():.2f}", "residual_p95_mm": f"{np.percentile(missing, 95):.2f}",
            "explained": f"{1 - (missing**2).sum() / (size**2).sum():.3f}",
        })  # fmt: skip
    return rows


def main() -> None:
    """Fit, state the accuracy, write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("--fields", "--out", "--model"):
        parser.add_argument(name, type=Path, required=True)
    given = parser.parse_args()
    measured = fields(given.folder, given.fields)
    regions = ct_base(given.folder / "popi_4dct_60.nii.gz").regions
    domes, hearts = domes_and_hearts(measured)
    points = places_of(regions).reshape(-1, 3)
    moved = np.array([at(field, points) for field in measured])
    mode = (-np.tensordot(domes, moved, 1) / (domes**2).sum()).reshape(*regions.grid.shape, 3)
    back, share = -(domes @ hearts[:, 0]) / (domes @ domes), domes @ hearts[:, 1] / (domes @ domes)
    model = fitted(regions, mode, float(share), float(back))
    at_dome = -float(mode[..., 2][regions.right_dome(regions.coordinates())].mean())
    model = replace(model, at_dome=round(at_dome, DECIMALS))
    motion = MeasuredMotion.of(regions, model)
    rows = []
    for field, dome, heart in zip(measured, domes, hearts[:, 1], strict=True):
        rows += accuracy(regions, motion, field, (-dome, -heart))
    write(given.out / "model.csv", rows)
    depth = dict(zip(PHASES, domes / domes.min(), strict=True)) | {60: 0.0}
    cycle = [round(float(depth[(60 + 10 * k) % 100]), 2) for k in range(10)]
    text = tomli_w.dumps(
        {
            "heart_back": model.heart_back,
            "at_dome": model.at_dome,
            "cycle": cycle,
            "coefficients": model.coefficients.tolist(),
        }
    )
    given.model.write_text(HEAD + compact(text), encoding="utf-8")


HEAD = """# Motion in a breath, measured in one patient (POPI 4-D CT, Centre Leon Berard / CREATIS, via OpenTPS), fitted
# by benchmarks/evidence/breathing_model.py. Displacement to the outside, the back and the feet for each mm that the
# right dome goes towards the feet, one line for each function of `mureg.simulate.measured_motion.basis`; heart_back:
# of the heart, to the back; at_dome: mean descent of the region of the right dome for each mm of its top; cycle: depth
# at ten even times from end expiration.
"""


def compact(text: str) -> str:
    """One line for each list of numbers."""

    def joined(found: re.Match[str]) -> str:
        return f"[{', '.join(found[1].replace(',', ' ').split())}]"

    return re.sub(r"\[\s*(-?[\d.][^\[\]]*?),?\s*\]", joined, text)


if __name__ == "__main__":
    main()
