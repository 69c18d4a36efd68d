"""Write the projections of the referee test, as PyTomography makes them.

    .venv-peers/bin/python benchmarks/evidence/make_pytomography_reference.py

Writes tests/referees/data/pytomography_projections.npz: projections with and without attenuation, and a few of the
full model with the collimator's blur on finer voxels, in mureg's conventions; and the numbers of the phantom and the
geometry from which the test builds the same cases again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytomography
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))

from compare import LEHR_BLUR_MM
from phantom import CHEST, paint
from with_pytomography import PyTomography
from worker import Case

N, VOXEL_MM = 32, 13.6
# every quarter of the circle, both directions of turning, whole and odd angles
ANGLES_DEG = np.concatenate([135.0 + 24.0 * np.arange(15), [90.0, 83.7, 45.0, 7.3, 0.0, -45.0, 180.0, 270.0]])
# PyTomography samples the Gaussian of the blur, which is only true to its width where that exceeds the voxels
FINE_N, FINE_MM, RADIUS_MM = 96, 4.5, 250.0
FINE_ANGLES_DEG = np.array([203.0, 47.0])


def full_model(program: PyTomography) -> np.ndarray:
    activity, mu = paint(CHEST, FINE_N, FINE_MM)
    counts = np.zeros((len(FINE_ANGLES_DEG), FINE_N, FINE_N), np.float32)
    case = Case(activity, mu, counts, FINE_ANGLES_DEG, RADIUS_MM, FINE_MM, 1, 1, LEHR_BLUR_MM)
    return program.project(case).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[2] / "tests/referees/data/pytomography_projections.npz"
    parser.add_argument("-o", "--output", type=Path, default=default)
    arguments = parser.parse_args()
    pytomography.set_device(torch.device("cpu"))
    activity, mu = paint(CHEST, N, VOXEL_MM)
    case = Case(
        activity=activity,
        mu=mu,
        counts=np.zeros((len(ANGLES_DEG), N, N), np.float32),
        angles_deg=ANGLES_DEG,
        radius_mm=250.0,
        voxel_mm=VOXEL_MM,
        iterations=1,
        subsets=1,
        blur_mm=np.zeros(3),
    )
    program = PyTomography()
    np.savez_compressed(
        arguments.output,
        attenuated=program.project(case),
        unattenuated=program.project(replace(case, mu=0 * mu)),
        full_model=full_model(program),
        fine_angles_deg=FINE_ANGLES_DEG,
        fine_mm=FINE_MM,
        radius_mm=RADIUS_MM,
        ellipsoids=CHEST,
        n=N,
        voxel_mm=VOXEL_MM,
        angles_deg=ANGLES_DEG,
        made_with=", ".join(f"{name} {number}" for name, number in program.versions.items()),
    )
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
