"""``mureg train near-heart``: the networks of the registrar near-heart, from a recipe to the calibrated card."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from mureg.cli.common import Common, Output, parse
from mureg.cli.help import Flat
from mureg.cli.training_options import Device, chosen_device
from mureg.errors import STOPPED_BY_HAND, UsageError, printable
from mureg.registration.weights import SHIPPED as SHIPPED_WEIGHTS
from mureg.registration.weights import weights_path

if TYPE_CHECKING:  # they need PyTorch
    from mureg.training.heart.run import HeartResult

LOG = logging.getLogger("mureg.cli.train_heart")
NAME = "near-heart"
Step = Literal["crops", "networks", "errors", "card"]
"""The steps of `mureg.training.heart.run`, in their order."""
SHIPPED_RECIPE = "near-heart"


@dataclass(frozen=True)
class TrainHeart:
    """Train and calibrate the networks of the registrar near-heart by a recipe: crops, networks, errors, card.

    The same command continues a run that was stopped. Research use only.

    Attributes:
        output: folder of the run; near-heart.onnx in it is the result.
        recipe: near-heart, which made the shipped networks, or a TOML file.
        cohort: folders of stored cohorts; their cases are read, all others are simulated.
        ct_folder: folder of real CTs, for populations that are made from them and are not stored.
        emissions: folders of stored training cases, one emission with several CTs each; for crops alone.
        crops_of: folder of another run whose crops are used; needs --steps without crops.
        steps: steps to do, of crops, networks, errors and card (default: all).
        weights: networks to calibrate instead of training some, with the steps errors and card: a file, or shipped.
        jobs: number of processes for crops and errors.
        minutes: time limit (min): no case or epoch begins after it; 0 for no limit.
        device: processor for the networks; auto takes a GPU where there is one.

    Example:
        mureg train near-heart --cohort runs/easy runs/clinical -o runs/near-heart --jobs 2
    """

    output: Output
    recipe: str = SHIPPED_RECIPE
    cohort: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH ...")] = ()
    ct_folder: Path | None = None
    emissions: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH ...")] = ()
    crops_of: Path | None = None
    steps: Annotated[tuple[Step, ...], tyro.conf.arg(metavar="STEP ...")] = get_args(Step)
    weights: str | None = None
    jobs: int = 1
    minutes: float = 0.0
    device: Device = "auto"
    common: Annotated[Common, Flat] = field(default_factory=Common)


OPTIONS = TrainHeart


def main(arguments: Sequence[str]) -> int:
    """Parse, work, report. Exit code 130 where the user stopped it."""
    options = parse(f"train {NAME}", arguments, TrainHeart)
    from mureg.training.heart.cases import CaseStore
    from mureg.training.heart.recipe import load_recipe
    from mureg.training.heart.run import HeartRun
    from mureg.training.parallel import Team

    if options.minutes < 0:
        raise UsageError(f"--minutes {options.minutes:g}", "0 or more", "correct it")
    options.common.prepare()
    device = chosen_device(options.device)
    weights = None if options.weights is None else weights_path(options.weights)
    recipe = load_recipe(options.recipe)
    recipe_file = None if options.recipe == SHIPPED_RECIPE else Path(options.recipe)
    weights_source = None if options.weights == SHIPPED_WEIGHTS else weights
    store = CaseStore.of(options.cohort, options.ct_folder, options.emissions)
    try:
        report = Lines(prints=options.common.messages.has_lines)
        run = HeartRun(
            recipe, options.output, store, report, options.jobs, Team(device=device), weights, options.crops_of
        )
        inputs = (
            *(*options.cohort, *options.emissions, options.ct_folder),
            *(options.crops_of, recipe_file, weights_source),
        )
        result = run.work(options.steps, options.minutes or float("inf"), inputs)
    except KeyboardInterrupt:
        print("mureg: stopped; finished cases and epochs are kept, and the same command continues.", file=sys.stderr)
        return STOPPED_BY_HAND
    options.common.messages.emit(_answer(result), list(_lines(result)))
    return 0


class Lines:
    """Notes each line in the log, and prints it on standard error where lines are asked for."""

    def __init__(self, *, prints: bool) -> None:
        self._prints = prints

    def say(self, line: str) -> None:
        """Note and print a line."""
        LOG.info("%s", line)
        if self._prints:
            print(printable(line), file=sys.stderr, flush=True)

    def at(self, n_done: int, of: int, loss: float) -> None:
        """Discard the position."""


def _answer(result: HeartResult) -> dict[str, Any]:
    return {
        "output": str(result.folder),
        "finished": result.is_finished,
        "step": result.step,
        "refusals": list(result.refusals),
        "coverage": {mode: [asdict(group) for group in groups] for mode, groups in result.coverage.items()},
        "weights": str(result.weights) if result.coverage else None,
    }


def _lines(result: HeartResult) -> Iterator[str]:
    if result.refusals:
        yield f"refused    {len(result.refusals)} cases, such as {result.refusals[0]}"
    if not result.is_finished:
        yield f"stopped    in the step {result.step}; the same command continues"
    for groups in result.coverage.values():
        yield from (f"coverage   {group.line}" for group in groups)
    if result.coverage:
        yield f"weights    {result.weights}"
    yield f"run in     {result.folder}"
