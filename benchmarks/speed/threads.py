"""How much a second thread helps: OSEM 12 x 10, 60 views, 64^3, in turns in one process.

    python benchmarks/speed/threads.py

Prints the ratio of the median seconds, one thread over two, and adds it to results.json. On a machine that does
something else meanwhile the figure says little.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import numpy as np
from phantom import CHEST, paint

from mureg import Acquisition, Osem, Quantity, SystemModel, Volume
from mureg.jobs.cores import set_thread_count
from mureg.spect import EnergyWindow
from mureg.spect.collimator import COLLIMATORS, Collimator

RESULTS = Path(__file__).parent / "results.json"
N, VOXEL_MM, VIEWS, ROUNDS = 64, 6.8, 60, 5


def case(collimator: Collimator | None) -> tuple[Acquisition, SystemModel]:
    activity, mu = paint(CHEST, N, VOXEL_MM)
    geometry = {
        "windows": (EnergyWindow(126.5, 154.5),),
        "photopeak": 0,
        "angles_deg": 6.0 * np.arange(VIEWS),
        "pixel_mm": (VOXEL_MM, VOXEL_MM),
        "radii_mm": np.full(VIEWS, 250.0),
    }
    empty = Acquisition(counts=np.zeros((1, VIEWS, N, N), np.float32), **geometry)
    system = SystemModel(empty, empty.grid(), Volume.from_numpy(mu, empty.grid(), Quantity.MU_PER_CM), collimator)
    return Acquisition(counts=system.project(activity.astype(np.float32))[None], **geometry), system


def seconds(threads: int, acquisition: Acquisition, system: SystemModel) -> float:
    set_thread_count(threads)
    started = time.perf_counter()
    Osem().reconstruct(acquisition, system)
    return time.perf_counter() - started


def main() -> None:
    found = {}
    for name, collimator in (("ac", None), ("ac_psf", COLLIMATORS["GE LEHR"])):
        acquisition, system = case(collimator)
        seconds(1, acquisition, system)
        turns = [(seconds(1, acquisition, system), seconds(2, acquisition, system)) for _ in range(ROUNDS)]
        one, two = (statistics.median(turn) for turn in zip(*turns, strict=True))
        found[f"two_threads_{name}_ratio"] = one / two
        print(f"two_threads_{name}_ratio: {one / two:.2f} ({one:.2f} s with one thread, {two:.2f} s with two)")
    earlier = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**earlier, **found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
