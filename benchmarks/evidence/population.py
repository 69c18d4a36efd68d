"""Training cases of population "population": one emission with several CTs each, in parts that go on where one ended.

    python benchmarks/evidence/population.py -o runs/population --ct-folder ../shared/data/ct --minutes 100

Cases of the seeds of all folds are made in turn, so that a run that ends early has as many of each. A case that exists
is not made again; one that is refused leaves a sentence. The patient's name in the file says in which fold a case is
(`mureg.cohort.folds`), so that folds are formed when networks are trained.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from mureg import __version__
from mureg.cohort.folds import load_folds
from mureg.cohort.settings import CohortSettings, as_toml, load_settings
from mureg.errors import MuregError, UsageError
from mureg.files.atomic import writing
from mureg.files.lock import LOCK, locked
from mureg.training.heart.emissions import emission_name, simulate_emission, write_emission

SETTINGS = "population.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--ct-folder", type=Path, required=True)
    parser.add_argument("--per-seed", type=int, default=2000, help="cases of each of the four seeds")
    parser.add_argument("--cts", type=int, default=3, help="CTs of each emission")
    parser.add_argument("--minutes", type=float, default=100.0, help="no case is begun after this time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_settings("population")
    cases = options.output / "cases"
    cases.mkdir(parents=True, exist_ok=True)
    with locked(options.output / LOCK, options.output.name):
        begin(options.output, settings, options.cts)
        work(settings, options, cases)


def begin(output: Path, settings: CohortSettings, n_cts: int) -> None:
    """Write what the cases are drawn from, or refuse a folder whose cases were drawn from something else."""
    wanted = f"# Training cases of mureg {__version__}, {n_cts} CTs of each emission.\n\n{as_toml(settings)}"
    place = output / SETTINGS
    if not place.exists():
        with writing(place) as scratch:
            scratch.write_text(wanted, "utf-8")
    elif place.read_text("utf-8") != wanted:
        raise UsageError(f"{output.name} holds cases of other settings", "the same", "choose another output")


def wanted_cases(settings: CohortSettings, per_seed: int) -> Iterator[tuple[CohortSettings, int]]:
    """Every case, seed by seed in turn."""
    populations = [replace(settings, seed=seed) for fold in load_folds() for seed in fold.torso_seeds]
    for index in range(per_seed):
        yield from ((population, index) for population in populations)


def work(settings: CohortSettings, options: argparse.Namespace, cases: Path) -> None:
    """Make the missing cases until the time is over; one line for every fiftieth."""
    started, made, cpu = time.monotonic(), 0, time.process_time()
    for population, index in wanted_cases(settings, options.per_seed):
        path = cases / f"{emission_name(population, index)}.npz"
        refusal = path.with_suffix(".refused.txt")
        if path.exists() or refusal.exists():
            continue
        if time.monotonic() - started > 60.0 * options.minutes:
            print(json.dumps({"stopped_before": path.stem, "made": made}), flush=True)
            return
        try:
            write_emission(simulate_emission(population, index, options.cts, options.ct_folder), path)
        except MuregError as problem:
            if isinstance(problem, UsageError):
                raise
            with writing(refusal) as scratch:
                scratch.write_text(f"{problem}\n", "utf-8")
        made += 1
        if made % 50 == 0:
            seconds = {"cpu_s": (time.process_time() - cpu) / made, "wall_s": (time.monotonic() - started) / made}
            print(json.dumps({"case": path.stem, "made": made, **seconds}), flush=True)
    print(json.dumps({"finished": True, "made": made}), flush=True)


if __name__ == "__main__":
    main()
