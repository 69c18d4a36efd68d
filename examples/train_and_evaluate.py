"""Make virtual patients, train a small network, fine-tune it, and compare it with the unregistered studies.

    python examples/train_and_evaluate.py -o out           # about ten minutes of one core
    python examples/train_and_evaluate.py --quick -o out   # shows that it runs; the network is of no use

It needs `pip install ".[train]"`. Every step is a verb of the command line, so each can be repeated in a terminal.
The same command continues a stopped run. Research use only: not for diagnosis.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mureg.cli import main as mureg


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="six patients, one epoch")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    out = options.output
    patients, epochs, more = (6, 1, 1) if options.quick else (24, 30, 5)
    # for training, validation and testing; by patient, in the order that a seed gives
    shares = ("--set", "data.shares=[0.5, 0.5, 0.0]", "--set", "data.split_seed=1")
    cohort, first, tuned, table = (str(out / name) for name in ("cohort", "first", "tuned", "comparison"))

    run("simulate", "--cohort", "easy", "--n", str(patients), "-o", cohort)
    run("train", "small", "--cohort", cohort, "--set", f"epochs={epochs}", *shares, "-o", first)
    # fine-tuning takes patients of your own department: --pairs pairs.csv; here other virtual patients stand for them
    run("simulate", "--cohort", "clinical", "--n", str(patients), "-o", f"{cohort}-clinical")
    weights = str(Path(first) / "best.onnx")
    run("finetune", "--weights", weights, "--cohort", f"{cohort}-clinical", "--epochs", str(more), *shares, "-o", tuned)
    best = str(Path(tuned) / "best.onnx")
    run(
        "evaluate",
        "--cohort",
        f"{cohort}-clinical",
        "--registrars",
        f"unregistered,{best}",
        "--images",
        "0",
        "--figures",
        "0",
        "-o",
        table,
    )
    print((Path(table) / "tables.md").read_text("utf-8"))
    return 0


def run(*words: str) -> None:
    """One verb of mureg; a failure ends the program with its exit code."""
    print("mureg", *words, flush=True)
    code = mureg(words)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
