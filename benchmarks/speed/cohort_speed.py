"""How fast cases are simulated: seconds and memory of one process, and what a second Dask worker brings.

    python benchmarks/speed/cohort_speed.py [--cohort clinical] [--cases 8]

The uncorrected reconstruction of the same case, 12 x 10 OSEM on one thread, is timed in the same run: machines differ,
the ratio hardly does.
"""

from __future__ import annotations

import argparse
import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # as workers have it

import resource
import tempfile
import time
from pathlib import Path

from distributed import Client, LocalCluster

from mureg.cohort.run import simulate_cohort
from mureg.cohort.settings import CohortSettings, load_settings
from mureg.cohort.simulation import UNCORRECTED, simulate_case
from mureg.jobs.cores import prepare_process
from mureg.recon.images import reconstruct
from mureg.spect.physics import WITHOUT


def one_process(settings: CohortSettings, cases: int) -> None:
    prepare_process()
    simulate_case(settings, cases)  # matrices and tables that every later case shares
    wall = processor = osem = 0.0
    for index in range(cases):
        started, before = time.perf_counter(), time.process_time()
        case = simulate_case(settings, index)
        wall, processor = wall + time.perf_counter() - started, processor + time.process_time() - before
        started = time.perf_counter()
        reconstruct(case.study.spect, None, UNCORRECTED, WITHOUT)
        osem += time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{settings.name}: {wall / cases:.2f} s a case ({processor / cases:.2f} s of the processor), {wall / osem:.1f}"
    )
    print(f"times its uncorrected reconstruction ({osem / cases:.2f} s); peak memory {memory:.0f} MB", flush=True)


def on_dask(settings: CohortSettings, cases: int, workers: int) -> float:
    """Cases a second once the workers have started and made one case each."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        simulate_cohort(settings, 2 * workers, Path(folder) / "warm", scheduler=cluster.scheduler_address)
        run = simulate_cohort(settings, cases, Path(folder) / "cohort", scheduler=cluster.scheduler_address)
    return cases / run.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast are cases simulated?")
    parser.add_argument("--cohort", default="clinical")
    parser.add_argument("--cases", type=int, default=8)
    arguments = parser.parse_args()
    settings = load_settings(arguments.cohort)
    one_process(settings, arguments.cases)
    one, two = (on_dask(settings, arguments.cases, workers) for workers in (1, 2))
    print(f"Dask: {one:.3f} cases a second with one worker, {two:.3f} with two: {two / one:.2f} times", flush=True)


if __name__ == "__main__":
    main()
