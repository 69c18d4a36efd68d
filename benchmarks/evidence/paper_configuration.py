"""The paper's own configuration (Chen et al., MICCAI 2022) in short sittings on one GPU, then its Tables 1 and 2.

    python benchmarks/evidence/paper_configuration.py -o FOLDER --checkpoints PARTS --minutes 9
    python benchmarks/evidence/paper_configuration.py -o FOLDER --checkpoints PARTS --scale tiny

Five networks, 300 epochs of 400 cases, batches of 4, L1 on the rigid parameters, side by side on one card (--at-once).
Give the same command until it ends with 0: each call goes on where the last one stopped, and stops in time (exit code
130). A call that ends leaves a checkpoint of every network in PARTS, in files of at most 16 MB. On another machine,
with an empty FOLDER, the call goes on from PARTS; cases that are not there are simulated again from their seeds. With
--compact a checkpoint takes a sixth of the space and the run goes on without the moments of the optimiser.

When every network has seen its 120,000 cases, the steps `evaluate` and `collect` of reproduction.py write the tables;
there is no table from an unfinished run. `--scale tiny` is the same on a few cases, with small networks and 1/8 of the
voxels, for a processor: it shows that the script works, and nothing about the networks.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from pathlib import Path

import reproduction
from checkpoint_parts import pack, unpack
from reproduction_evidence import Trained, card, seen

from mureg.errors import MuregError
from mureg.registration.networks import NETWORKS
from mureg.training.checkpoints import STATE
from mureg.training.folder import LAST

SIZES = {"80": "paper-80", "64": "paper-64"}
TINY = {"shape": [40, 40, 20], "spacing_mm": 13.6}
"""Grid at tiny scale: the paper's field with half the voxels along each axis."""
PACKING_MINUTES = 0.5
"""Of a call, for the checkpoints."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="cohorts, runs, comparison; large")
    parser.add_argument("--checkpoints", type=Path, help="checkpoints in parts (default: none)")
    parser.add_argument("--compact", action="store_true", help="checkpoints without moments, in half precision")
    parser.add_argument("--minutes", type=float, default=math.inf, help="the call stops before then")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--at-once", type=int, default=len(NETWORKS), help="networks trained side by side")
    parser.add_argument("--jobs", type=int, default=2, help="processes that simulate, prepare and evaluate")
    parser.add_argument("--size", choices=SIZES, default="80", help="80 x 80 x 40 as in its code; 64^3 as in its text")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16: twice as fast, not as in the paper")
    parser.add_argument("--level", choices=reproduction.LEVELS, default="easy", help="easy has the motion of the paper")
    parser.add_argument("--scale", choices=("full", "tiny"), default="full")
    parser.add_argument("--samples", type=int, help="another budget, of every network: cases seen")
    parser.add_argument("--steps", nargs="+", choices=list(reproduction.STEPS), default=list(reproduction.STEPS))
    parser.add_argument("--evidence", type=Path, help="where the tables go (default: FOLDER/evidence)")
    return parser.parse_args(arguments)


def work_of(options: argparse.Namespace) -> reproduction.Work:
    """The same work as that of reproduction.py, on the paper's settings alone."""
    words = ["-o", str(options.output), "--scale", options.scale, "--levels", options.level]
    words += ["--jobs", str(options.jobs), "--at-once", str(options.at_once), "--networks", *options.networks]
    words += ["--evidence", str(options.evidence or options.output / "evidence")]
    words += ["--samples", str(options.samples)] if options.samples else []
    inner = reproduction.parse(words)
    inner.sizes, inner.ablated = (SIZES[options.size],), ()
    if options.scale == "tiny":
        network = {"preset": "small", "shape": TINY["shape"]}
        inner.changes = {"grid": TINY, "network": network, "validate_every": 1}
    if options.bf16:
        inner.changes = {**inner.changes, "bf16": True, "channels_last": True}
    return reproduction.Work(options.level, inner.output, reproduction.SCALES[options.scale], inner)


def train(work: reproduction.Work, options: argparse.Namespace, until: float) -> None:
    """Go on from the checkpoints, train, and leave checkpoints, also where the time is over."""
    runs = list(work.runs())
    if options.checkpoints is not None:
        for run in runs:
            before = seen(run)
            if (after := unpack(options.checkpoints, run.folder, before)) > before:
                print(f"{run.name}: {after} cases seen, from {options.checkpoints.name}", flush=True)
    clock = reproduction.Clock(work.output, until - 60.0 * PACKING_MINUTES)
    try:
        reproduction.train(work, clock)
    finally:
        for run in runs:
            keep(run, options)


def keep(run: Trained, options: argparse.Namespace) -> None:
    """Leave the checkpoint of a run that has begun, and say how far it is."""
    if not (n_seen := seen(run)):
        return
    n_all, epoch = run.settings.samples, card(run, LAST)["trained_on"]["epochs"]
    print(f"{run.name}: epoch {epoch}, {n_seen} of {n_all} cases seen", flush=True)
    finished = n_seen >= n_all
    if options.checkpoints is not None and (finished or (run.folder / STATE).exists()):
        pack(run.folder, options.checkpoints, finished=finished, compact=options.compact)


def main(arguments: list[str] | None = None) -> int:
    """Every step in turn. Exit code 130 where the time was over, 1 or another where a step was refused."""
    options = parse(arguments)
    options.output = options.output.absolute()
    work, until = work_of(options), time.monotonic() + 60.0 * options.minutes
    try:
        for name in options.steps:
            if name == "train":
                train(work, options, until)
            else:
                reproduction.STEPS[name](work, reproduction.Clock(work.output, until))
    except reproduction.StoppedError:
        print("stopped; the same command goes on")
        return int(reproduction.STOPPED)
    except MuregError as problem:
        print(problem, file=sys.stderr)
        return problem.exit_code
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(reproduction.STOPPED))
    sys.exit(main())
