"""Does finetuning on twenty patients of another camera help? Errors on other patients of that camera, before and after.

    python benchmarks/evidence/finetuning.py -o FOLDER                  20 patients to train on, 20 to test on
    python benchmarks/evidence/finetuning.py -o FOLDER --test 6         fewer to test on
    ... --minutes 9                                                     stop finetuning; the same command goes on

The camera is that of cohorts/other-camera.toml. Patients 0 to 19 are given to `mureg finetune`, which holds a quarter
of them out; patients from 100 on are tested by `mureg evaluate` with the weights before and after. All are commands of
mureg, which skip what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

SETTINGS = Path(__file__).resolve().parent / "cohorts" / "other-camera.toml"
FIRST_TEST = 100


def mureg(*words: object) -> str:
    """Run a verb; its standard output."""
    said = [str(word) for word in words]
    print(f"mureg {' '.join(said)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "mureg.cli", *said], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=20, help="given to mureg finetune")
    parser.add_argument("--test", type=int, default=20, help="tested")
    parser.add_argument("--epochs", type=int, default=0, help="0 for those of the settings")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0)
    options = parser.parse_args()
    output, run = options.output, options.output / "run"
    output.mkdir(parents=True, exist_ok=True)
    mureg("simulate", "--cohort", SETTINGS, "--n", options.patients, "--jobs", options.jobs, "-o", output / "train")
    first = ("--first", FIRST_TEST, "--n", options.test)
    mureg("simulate", "--cohort", SETTINGS, *first, "--jobs", options.jobs, "-o", output / "test")
    how = ("--jobs", options.jobs, "--minutes", options.minutes, "--epochs", options.epochs)
    answer = json.loads(mureg("finetune", "--cohort", output / "train", "-o", run, *how, "--json"))
    print(json.dumps(answer, indent=2))
    if not answer["finished"]:
        sys.exit("not finished: the same command goes on")
    registrars = ("--registrars", "unregistered,near-heart,network", "--weights", run / "near-heart.onnx")
    choice = (*registrars, "--against", "near-heart", "--images", 0, "--figures", 0)
    print(mureg("evaluate", "--cohort", output / "test", *choice, "--jobs", options.jobs, "-o", output / "comparison"))


if __name__ == "__main__":
    main()
