"""Make the paper's comparison on virtual patients, from the committed settings in benchmarks/evidence/reproduction/.

    python benchmarks/evidence/reproduction.py -o FOLDER                 small networks, for a processor: many hours
    python benchmarks/evidence/reproduction.py -o FOLDER --paper         the paper's networks too, for a GPU
    python benchmarks/evidence/reproduction.py -o FOLDER --scale short   60 test patients, a quarter of the budget,
                                                  slow registrars on 16 cases; --scale full goes on in the same folder
    python benchmarks/evidence/reproduction.py -o FOLDER --scale tiny    the whole way with four patients, in minutes
    ... --minutes 9          stop after nine minutes; the same command goes on. Killing it at any time is as good
    ... --dry-run            print the commands and do nothing

Steps, for each level (--steps, --levels): `cohorts` makes 200/50/200 patients with two studies each, patients 0-199 for
training, 200-249 for validation, 250-449 for testing, in three folders; `train` trains every network on the same cases
with the same budget of cases seen; `evaluate` puts them, with ablated SPECT too, beside unregistered, oracle, mutual
information and, where --peers has them, elastix and ANTs; `collect` copies the summaries, without weights, to
evidence/reproduction/LEVEL (at short scale to evidence/reproduction-short, at tiny scale into FOLDER) and writes
budget.csv and hashes.json. Each
skips what is there. All of them are commands of mureg, and are printed as they are run.
"""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproduction_evidence import Trained, note_machine, seen, write_evidence

from mureg.cohort.settings import load_settings as load_cohort
from mureg.cohort.simulation import case_name
from mureg.cohort.store.cohort import CASES, is_case
from mureg.comparison.peers import PEERS, refuse_missing
from mureg.errors import UsageError
from mureg.registration.networks import NETWORKS
from mureg.training.folder import BEST
from mureg.training.motion import AsInTheCase
from mureg.training.settings import as_toml, read_table, settings_from

HERE = Path(__file__).resolve().parent
SETTINGS, EVIDENCE = HERE / "reproduction", HERE.parents[1] / "evidence" / "reproduction"
PEERS_PYTHON = HERE.parents[1] / ".venv-peers" / "registration" / "bin" / "python"
LEVELS = ("easy", "clinical")
FIRST_PATIENT = {"train": 0, "validation": 200, "test": 250}
"""The same at every scale: a smaller run uses some of the same patients, in the same sets."""
STUDIES = 2
PROPOSED = "densenet-dusfe"
SMALL, PAPER_SIZES = "small", ("paper-80", "paper-64")
"""Sizes of the networks, by their file of settings; the small ones have one for each level."""
STOPPED, SOME_FAILED = 130, 5


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes:
        patients: of each set.
        samples: cases seen by each network, 0 for what the settings say.
        images: test cases with corrected images.
        classical: test cases that mutual information, elastix and ANTs register, None for all.
    """

    patients: dict[str, int]
    samples: int
    images: int
    classical: int | None = None


PATIENTS = {"train": 200, "validation": 50, "test": 200}
SCALES = {
    "full": Scale(PATIENTS, 0, 100),
    "short": Scale({**PATIENTS, "test": 60}, 6000, 16, 16),
    "tiny": Scale({"train": 2, "validation": 1, "test": 1}, 8, 1, 1),
}


class StoppedError(Exception):
    """The time is over; the same command goes on."""


@dataclass(frozen=True)
class Clock:
    """Runs commands in a folder until the time is over; what lies in it is named from there, wherever it may be."""

    home: Path
    until: float = math.inf
    dry: bool = False

    @property
    def minutes_left(self) -> float:
        return (self.until - time.monotonic()) / 60

    def named(self, word: object) -> str:
        return str(word.relative_to(self.home) if isinstance(word, Path) and word.is_relative_to(self.home) else word)

    def mureg(self, *words: object, may_fail: bool = False) -> None:
        """Run a verb of mureg. It is interrupted as by Ctrl-C when the time is over, and keeps what it has done."""
        said = [self.named(word) for word in words]
        if not self.dry and self.minutes_left <= 0:
            raise StoppedError
        print(f"mureg {' '.join(said)}", flush=True)
        if self.dry:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        with subprocess.Popen([sys.executable, "-m", "mureg.cli", *said], cwd=self.home) as process:
            code = _waited(process, 60 * self.minutes_left)
        if code in (STOPPED, -signal.SIGINT):
            raise StoppedError
        if code and not (may_fail and code == SOME_FAILED):
            sys.exit(f"mureg {said[0]} ended with {code}")


def _waited(process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(None if math.isinf(seconds) else seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit) as why:
        if not isinstance(why, KeyboardInterrupt):  # a terminal has told it, too
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        return STOPPED


@dataclass(frozen=True)
class Work:
    """Everything that is done on one level."""

    level: str
    output: Path
    scale: Scale
    options: argparse.Namespace

    @property
    def cohort_settings(self) -> Path:
        return SETTINGS / f"cohort-{self.level}.toml"

    def cohort(self, of: str) -> Path:
        return self.output / f"{self.level}-{of}"

    @property
    def comparison(self) -> Path:
        return self.output / f"{self.level}-comparison"

    def cases(self, of: str) -> range:
        """Numbers of the cases of a set."""
        return range(STUDIES * FIRST_PATIENT[of], STUDIES * (FIRST_PATIENT[of] + self.scale.patients[of]))

    def runs(self) -> Iterator[Trained]:
        """Every network that is asked for, all with the settings of one file but for their kind.

        The proposed one is trained once more with its SPECT ablated, on the cases' own motion: motion that is drawn
        anew has nothing to do with the map, and could not teach what a map tells of it.
        """
        for size in self.options.sizes:
            file, ending = (f"small-{self.level}", "") if size == SMALL else (size, size.removeprefix("paper"))
            table = read_table(str(SETTINGS / f"{file}.toml")) | self.options.changes
            samples = self.options.samples or self.scale.samples or table["samples"]
            ablated = {"input": {"ablated": True}, "motion": {"kind": AsInTheCase.kind}}
            asked: list[tuple[str, str, dict[str, Any]]] = [(kind, "", {}) for kind in self.options.networks]
            asked += [(kind, "-ablated", ablated) for kind in self.options.ablated if kind in self.options.networks]
            for kind, how, other in asked:
                changes = {"network": {**table["network"], "kind": kind}, "samples": samples, **other}
                settings = settings_from(table, file, changes)
                folder = self.output / f"{self.level}-runs" / f"{kind}{ending}{how}"
                yield Trained(folder.name, settings, folder)


def cohorts(work: Work, clock: Clock) -> None:
    settings = load_cohort(str(work.cohort_settings))
    for of, n in work.scale.patients.items():
        cases = work.cases(of)
        if all(is_case(work.cohort(of) / CASES / case_name(settings, index)) for index in cases):
            print(f"{work.cohort(of).name}: {n} patients, {len(cases)} cases are there")
            continue
        command = ("simulate", "--cohort", work.cohort_settings, "--first", cases.start, "--n", len(cases))
        clock.mureg(*command, "--jobs", work.options.jobs, "-o", work.cohort(of))


def train(work: Work, clock: Clock) -> None:
    with ThreadPoolExecutor(work.options.at_once) as pool:
        for _ in pool.map(lambda run: train_one(work, clock, run), list(work.runs())):
            pass


def train_one(work: Work, clock: Clock, run: Trained) -> None:
    if seen(run) >= run.settings.samples:
        print(f"{work.level}, {run.name}: {seen(run)} cases seen, trained")
        return
    settings = work.output / "settings" / f"{work.level}-{run.name}.toml"
    if not clock.dry:
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(as_toml(run.settings), "utf-8")
    threads = max(1, work.options.jobs // work.options.at_once)
    sets = ("--train", work.cohort("train"), "--validation", work.cohort("validation"))
    how = ["--cache", work.output / "prepared", "--jobs", work.options.jobs, "--threads", threads]
    how += [] if math.isinf(clock.until) else ["--minutes", f"{max(clock.minutes_left - 0.25, 0.01):.2f}"]
    try:
        clock.mureg("train", settings, *sets, "-o", run.folder, *how)
    finally:
        if not clock.dry and seen(run):  # a run that was interrupted has used the machine, too
            note_machine(run.folder, threads)
    if not clock.dry and seen(run) < run.settings.samples:
        raise StoppedError


def evaluate(work: Work, clock: Clock) -> None:
    runs = list(work.runs())
    if not clock.dry and (missing := [run.name for run in runs if seen(run) < run.settings.samples]):
        sys.exit(f"{work.level}: {', '.join(missing)} not trained to the end; --steps train first")
    registrars = ["unregistered", "oracle", "mutual-information", *peers(work.options.peers)]
    registrars += [clock.named(run.folder / BEST) for run in runs]
    proposed = [run.name for run in runs if run.settings.network.kind == PROPOSED and not run.settings.input.ablated]
    command: list[object] = ["evaluate", "--cohort", work.cohort("test"), "--registrars", ",".join(registrars)]
    command += ["--images", work.scale.images if work.options.images is None else work.options.images]
    classical = work.options.classical or work.scale.classical
    command += ["--classical", classical] if classical else []
    command += ["--against", proposed[:2][-1]] if proposed else []  # small, or the size of the paper's code
    command += ["--peers", work.options.peers] if set(registrars) & set(PEERS) else []
    command += ["--settings", work.options.settings] if work.options.settings else []
    clock.mureg(*command, "--jobs", work.options.jobs, "-o", work.comparison, may_fail=True)


def peers(python: Path) -> list[str]:
    """Those of elastix and ANTs that a Python has."""
    found = []
    for name, settings in PEERS.items() if python.is_file() else ():
        try:
            refuse_missing({name: settings()}, python)
        except UsageError:
            continue
        found.append(name)
    if missing := [name for name in PEERS if name not in found]:
        print(
            f"without {' and '.join(missing)}: benchmarks/evidence/difficulty_levels.py --self-check installs both, "
            "or name --peers"
        )
    return found


def collect(work: Work, clock: Clock) -> None:
    to = work.options.evidence / work.level
    print("collect", to, flush=True)
    if not clock.dry:
        settings = {path.name: path for path in sorted(SETTINGS.glob("*.toml"))}
        write_evidence(to, work.comparison, list(work.runs()), work.cohort_settings, settings)


STEPS: dict[str, Callable[[Work, Clock], None]] = {f.__name__: f for f in (cohorts, train, evaluate, collect)}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="cohorts, runs and comparisons; large")
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--paper", action="store_true", help="the paper's configuration too, on 80x80x40 and 64^3")
    for name, all_of in (("steps", STEPS), ("levels", LEVELS), ("networks", NETWORKS)):
        parser.add_argument(
            f"--{name}", nargs="+", choices=list(all_of), default=list(all_of), metavar=name.upper()[:-1]
        )
    parser.add_argument("--jobs", type=int, default=2, help="processes; threads of the trainings on a CPU")
    parser.add_argument("--at-once", type=int, default=1, help="networks trained beside each other; 6 on a large GPU")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then")
    parser.add_argument("--samples", type=int, help="another budget, of every network: cases seen")
    parser.add_argument("--images", type=int, help="test cases with corrected images; 100, 16 or 1")
    parser.add_argument("--classical", type=int, help="test cases for the slow registrars; all, 16 or 1")
    parser.add_argument("--peers", type=Path, default=PEERS_PYTHON, help="Python that has elastix and ANTs")
    parser.add_argument(
        "--settings",
        type=Path,
        help="for mureg evaluate: tuned.toml of benchmarks/evidence/difficulty_levels.py --tune",
    )
    parser.add_argument("--evidence", type=Path, help="where summaries go")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(arguments)
    if (
        min(options.jobs, options.at_once) < 1
        or not options.minutes > 0
        or (options.samples is not None and options.samples < 1)
    ):
        parser.error("--jobs, --at-once and --samples are at least 1, --minutes more than 0")
    for name in ("output", "peers", "settings", "evidence"):
        path = getattr(options, name)
        setattr(options, name, None if path is None else path.absolute())
    places = {"full": EVIDENCE, "short": EVIDENCE.with_name("reproduction-short"), "tiny": options.output / "evidence"}
    options.evidence = options.evidence or places[options.scale]
    options.sizes = (SMALL, *PAPER_SIZES) if options.paper else (SMALL,)
    options.ablated, options.changes = (PROPOSED,), {}
    return options


def plan(options: argparse.Namespace) -> Iterable[tuple[Callable[[Work, Clock], None], Work]]:
    """What is to be done: one level after the other, each from its first step to its last."""
    for level in (level for level in LEVELS if level in options.levels):
        for name in (name for name in STEPS if name in options.steps):
            yield STEPS[name], Work(level, options.output, SCALES[options.scale], options)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    print("cd", options.output)
    clock = Clock(options.output, time.monotonic() + 60 * options.minutes, options.dry_run)
    try:
        for step, work in plan(options):
            step(work, clock)
    except StoppedError:
        print("stopped; the same command goes on")
        return STOPPED
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    sys.exit(main())
