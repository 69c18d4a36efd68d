"""Time mureg's OSEM against PyTomography's and check that both model the same camera.

Run through `make bench`, or `python benchmarks/speed/run.py` with options.

Timed, on both sides: from counts in memory and a bare geometry to the reconstructed image, with everything
a user pays for each reconstruction (system model, attenuation factors, sensitivity, every iteration). Not
timed: imports, reading files, one short reconstruction beforehand. The two programs take turns in one run,
each in its own process and environment, on one thread; the ratio is that of the median seconds.

The data are PyTomography's own projections of an analytic chest with Poisson noise, so that nothing is handed
to the reconstructions that suits mureg. `projection_nrmse` compares the noise-free projections of the two;
`reconstruction_*_nrmse` is told for information: PyTomography rotates back instead of transposing, starts
from ones everywhere (mureg: ones inside the cylinder every view sees), and noise amplifies the difference.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from phantom import CHEST, paint
from worker import Array, Case

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
N, VOXEL_MM, RADIUS_MM = 64, 6.8, 250.0
LEHR_BLUR_MM = np.array([3.8, 1.5, 1.5 / (35.0 - 2.0 / 2.72)]) / 2.3548
"""3.8 mm intrinsic; holes of 1.5 mm, 35 mm long less penetration: FWHM of 7, 11, 13 mm at 10, 20, 25 cm."""


class Side:
    """One program in its own process, environment and single thread."""

    def __init__(self, python: Path, script: str, case: Path, folder: Path) -> None:
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.script = script
        self.process = subprocess.Popen(
            [python, "-W", "ignore", HERE / script, case, folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **single},
        )  # fmt: skip
        self.versions = self._answer()["versions"]

    def ask(self, command: str) -> dict[str, Any]:
        print(command, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.script} ended early with code {self.process.wait()}; its message stands above")
        return json.loads(line)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def nrmse(found: Array, reference: Array) -> float:
    """Root mean square of the difference over that of the reference."""
    return float(np.sqrt(np.mean((found - reference) ** 2) / np.mean(reference**2)))


def make_case(arguments: argparse.Namespace, blurred: bool) -> Case:
    activity, mu = paint(CHEST, N, VOXEL_MM)
    return Case(
        activity=activity,
        mu=mu,
        counts=np.zeros((arguments.views, N, N), np.float32),
        angles_deg=135.0 + np.arange(arguments.views) * arguments.arc / arguments.views,
        radius_mm=RADIUS_MM,
        voxel_mm=VOXEL_MM,
        iterations=arguments.iterations,
        subsets=arguments.subsets,
        blur_mm=LEHR_BLUR_MM if blurred else np.zeros(3),
    )


def with_noise(case: Case, projections: Array, million_counts: float) -> Case:
    expected = projections * (million_counts * 1e6 / projections.sum(dtype=np.float64))
    return replace(case, counts=np.random.default_rng(1).poisson(expected).astype(np.float32))


def measure(arguments: argparse.Namespace, folder: Path, blurred: bool) -> dict[str, Any]:
    peer_python, own_python = ROOT / ".venv-peers/bin/python", ROOT / ".venv/bin/python"
    path = folder / "case.npz"
    case = make_case(arguments, blurred)
    case.save(path)
    with Side(peer_python, "with_pytomography.py", path, folder) as peer:
        peer.ask("project")
    with_noise(case, np.load(folder / "pytomography_projections.npy"), arguments.million_counts).save(path)

    answers: dict[str, list[dict[str, Any]]] = {"mureg": [], "pytomography": []}
    with (
        Side(own_python, "with_mureg.py", path, folder) as own,
        Side(peer_python, "with_pytomography.py", path, folder) as peer,
    ):
        own.ask("project")
        for turn in range(arguments.repeats):
            for name, side in (("mureg", own), ("pytomography", peer)):
                answers[name].append(side.ask("reconstruct"))
                seconds = answers[name][-1]["seconds"]
                print(f"  {turn + 1}/{arguments.repeats} {name:13s} {seconds:8.2f} s", flush=True)
    images = {name: np.load(folder / f"{name}_reconstruction.npy") for name in answers}
    projections = {name: np.load(folder / f"{name}_projections.npy") for name in answers}
    seconds = {name: [round(a["seconds"], 3) for a in given] for name, given in answers.items()}
    peak_mb = {name: round(max(a["peak_mb"] for a in given)) for name, given in answers.items()}
    median = {name: statistics.median(given) for name, given in seconds.items()}
    blur = "_psf" if blurred else ""
    return {
        f"osem_ac{blur}_ratio": median["pytomography"] / median["mureg"],
        f"projection{blur}_nrmse": nrmse(projections["mureg"], projections["pytomography"]),
        f"reconstruction_ac{blur}_nrmse": nrmse(images["mureg"], images["pytomography"]),
        f"seconds_ac{blur}": seconds,
        f"peak{blur}_mb": peak_mb["mureg"],
        f"peak{blur}_mb_pytomography": peak_mb["pytomography"],
        "repeats": arguments.repeats,
        "case": f"{arguments.views} views over {arguments.arc:g} degrees, {N}^3 at {VOXEL_MM} mm, "
        f"OSEM {arguments.iterations} x {arguments.subsets}, one thread",
        "versions": {**peer.versions, **own.versions, "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--views", type=int, default=60)
    parser.add_argument("--arc", type=float, default=360.0, help="degrees the views are spread over")
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--subsets", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--million-counts", type=float, default=6.0)
    parser.add_argument("--no-psf", action="store_true", help="leave out the runs with the collimator's blur")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for blurred in (False,) if arguments.no_psf else (False, True):
        print(f"OSEM with attenuation{' and resolution' if blurred else ''}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            found |= measure(arguments, Path(folder), blurred)
    earlier = json.loads(arguments.results.read_text(encoding="utf-8")) if arguments.results.exists() else {}
    arguments.results.write_text(json.dumps({**earlier, **found}, indent=2) + "\n", encoding="utf-8")
    for name, value in found.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    main()
