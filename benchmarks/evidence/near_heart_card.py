"""The card of the shipped networks at the heart, from errors of the networks that have not seen the anatomy.

    python benchmarks/evidence/near_heart_card.py measure --folds runs/heart-folds
    python benchmarks/evidence/near_heart_card.py card --folds runs/heart-folds --weights runs/heart-folds/fold-all

The shipped networks are trained on all anatomies, so no real anatomy is left to measure their covariance. `measure`
registers each case by the networks of the fold that leaves its anatomy out (drawn torsos by any fold, in turns: their
populations took no part in the training), by default and in quick mode, and writes rows to evidence/near-heart. `card`
writes the networks of `--weights` into the package, with the covariance of these rows. What is there is not measured
again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mureg.cohort.anatomies import patient_name
from mureg.cohort.folds import fold_of
from mureg.cohort.settings import load_settings
from mureg.registration.card import read_card
from mureg.registration.weights import weights_path
from mureg.training.heart.cases import CaseStore, NumberedCase
from mureg.training.heart.error_book import ErrorBook
from mureg.training.heart.errors import MODES, ErrorTask, measure_error, settings_fingerprints
from mureg.training.heart.recipe import load_recipe
from mureg.training.heart.run import UNCALIBRATED, WEIGHTS_FILE
from mureg.training.weights import read_network, save_network

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "evidence" / "near-heart" / "population"
RECIPE = ROOT / "benchmarks" / "evidence" / "recipes" / "population.toml"
REAL = "bank"
"""Population of real anatomies."""


def weights_of(case: NumberedCase, folds: Path) -> Path:
    """Networks that have not seen the anatomy of a case."""
    if case.population == REAL:
        k = fold_of(patient_name(load_settings(REAL), case.number, case.ct_folder))
    else:
        k = case.number % 4
    return folds / f"fold-{k}" / UNCALIBRATED / WEIGHTS_FILE


def tasks(book: ErrorBook, folds: Path, ct_folder: Path) -> Iterator[ErrorTask]:
    """Registrations that have no row, each with its networks."""
    store = CaseStore({}, ct_folder)
    for task in sorted(book.tasks(store, Path(), frozenset()), key=lambda one: one.case.number):
        yield replace(task, weights=weights_of(task.case, folds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("measure", "card"))
    parser.add_argument("--folds", type=Path, required=True, help="folder with a run for each fold, fold-0 to fold-3")
    parser.add_argument("--weights", type=Path, help="run of the networks to ship")
    parser.add_argument("--ct-folder", type=Path, default=ROOT.parent / "shared" / "data" / "ct")
    options = parser.parse_args()
    calibration = load_recipe(str(RECIPE)).calibration
    book = ErrorBook(OUTPUT, calibration)
    if options.step == "measure":
        OUTPUT.mkdir(parents=True, exist_ok=True)
        book.begin(settings_fingerprints())
        for task in tasks(book, options.folds, options.ct_folder):
            result = measure_error(task)
            book.add(result)
            print(task.mode, task.case.name, result.refusal or result.row[2], flush=True)
        return 0
    for mode in MODES:
        for group in book.covariance(mode).groups:
            print(f"coverage of {group.line}")
    module, card = read_network(options.weights / UNCALIBRATED / WEIGHTS_FILE)
    card = book.stated_on(replace(card, licence="Apache-2.0", gains=calibration.gains))
    target = weights_path("shipped")
    save_network(target, module, card)
    print(f"{target.name} {read_card(target).weights_sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
