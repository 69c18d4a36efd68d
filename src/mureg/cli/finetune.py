"""``mureg finetune``: weights that are there, adapted to a department's own patients."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mureg.cli.algorithms import Changes, WeightsName
from mureg.cli.common import Common, Output, parse
from mureg.cli.help import Flat
from mureg.cli.training_options import Sitting, chosen_device
from mureg.errors import STOPPED_BY_HAND, UsageError
from mureg.files.places import refuse_overlap
from mureg.registration.weights import NEAR_HEART, is_name, weights_path

if TYPE_CHECKING:  # they need PyTorch
    from torch import nn

    from mureg.registration.card import Card
    from mureg.training.examples import ExampleSource
    from mureg.training.heart.finetune import FinetuneResult
    from mureg.training.loop import Trained


@dataclass(frozen=True)
class Finetune:
    """Continue training weights on other patients. The same command continues a stopped run. Research use only.

    Attributes:
        output: folder of the run.
        weights: networks to begin from: a name that mureg weights lists, an .onnx file, or .safetensors of mureg 0.1.0
            (default: near-heart).
        cohort: folder of a cohort, divided by patient.
        pairs: CSV list instead of a cohort (columns spect, ct or mu, transform, patient). A pair without a transform
            counts as aligned.
        settings: training settings: finetune, finetune-heart, or a TOML file (default: those for the weights). Network
            and grid always come with the weights.
        changes: change one setting, such as optimiser.learning_rate=1e-5; repeatable.
        epochs: number of times that every case is seen; 0 for that of the settings.

    Example:
        mureg finetune --pairs pairs.csv -o runs/ours
    """

    output: Output
    weights: WeightsName = None
    cohort: Path | None = None
    pairs: Path | None = None
    settings: str | None = None
    changes: Changes = ()
    epochs: int = 0
    sitting: Annotated[Sitting, Flat] = field(default_factory=Sitting)
    common: Annotated[Common, Flat] = field(default_factory=Common)


OPTIONS = Finetune


def main(arguments: Sequence[str]) -> int:
    """Parse the options, load the weights, train, and print the result; returns the exit code."""
    options = parse("finetune", arguments, Finetune)
    from mureg.training.settings import FINETUNE, FINETUNE_HEART, read_table, table_with
    from mureg.training.weights import read_network

    if options.cohort is not None and options.pairs is not None:
        raise UsageError("both --cohort and --pairs", "one of them", "leave the other out")
    weights = weights_path(options.weights or NEAR_HEART)
    module, card = read_network(weights)
    settings = options.settings or (FINETUNE_HEART if card.around == "heart" else FINETUNE)
    table = table_with(read_table(settings), options.changes)
    cases = options.cohort or options.pairs
    table["data"] = {**table.get("data", {}), **({"cases": str(cases)} if cases else {})}
    if options.epochs:
        table.pop("samples", None)
        table["epochs"] = options.epochs
    table.setdefault("licence", card.licence)
    if card.around == "heart":
        return _around_heart(options, weights, table)
    return _whole_field(options, weights, module, card, table, settings)


def _whole_field(
    options: Finetune, weights: Path, module: nn.Module, card: Card, table: dict[str, Any], settings: str
) -> int:
    from mureg.cli.training import fit
    from mureg.training.settings import settings_from

    changes: dict[str, Any] = {
        "network": card.network,
        "grid": asdict(card.grid),
        **({"input": {"ablated": True}} if card.ablated else {}),
        "begin_from": card.weights_sha256,
    }
    complete = settings_from(table, settings, changes)

    def judge(
        training: Trained, held_out: Sequence[ExampleSource], tell: Callable[[int, int], None]
    ) -> tuple[dict[str, Any], list[str]]:
        return _judged(training, weights, held_out, tell)

    inputs = [] if options.weights is None or is_name(options.weights) else [weights]
    return fit(complete, options.output, options.sitting, options.common, inputs, module.state_dict(), judge)


def _judged(
    training: Trained, weights: Path, held_out: Sequence[ExampleSource], tell: Callable[[int, int], None]
) -> tuple[dict[str, Any], list[str]]:
    """The table of a run of the whole field; weights of mureg 0.1.0 cannot register, so there is none for these."""
    from mureg.cli.held_out import table_of, use_line, warnings
    from mureg.registration.card import SUFFIX
    from mureg.training.before_after import measured, write
    from mureg.training.folder import BEST

    after = training.folder / BEST
    if weights.suffix != SUFFIX:
        return {}, [use_line(after)]
    errors = measured(held_out, weights, after, tell)
    write(errors, training.folder)
    answer, lines = table_of(errors)
    n_trained = int(training.n_patients)
    sentences = warnings(errors, n_trained + len({e.patient for e in errors}), sum(s.aligned for s in held_out))
    sentences.append("these patients chose the epoch, so the error of other patients is a little larger")
    return answer | {"warnings": sentences}, [*lines, *(f"warning    {s}" for s in sentences), use_line(after)]


def _around_heart(options: Finetune, weights: Path, table: dict[str, Any]) -> int:
    from mureg.cli.train_heart import Lines
    from mureg.training.heart.finetune import HeartFinetuning
    from mureg.training.parallel import Team
    from mureg.training.sources import files_of_list, open_sources

    sitting, common = options.sitting, options.common
    if sitting.minutes < 0:
        raise UsageError(f"--minutes {sitting.minutes:g}", "0 or more", "correct it")
    if sitting.cache is not None:
        raise UsageError("--cache with networks around the heart", "crops in the run's folder", "leave --cache out")
    cases = table["data"].get("cases", "")
    if not cases:
        raise UsageError("no cases to train on", "a cohort or a list of pairs", "give --cohort or --pairs")
    common.prepare()
    sources, place = open_sources(cases), Path(cases)
    inputs = [place, *(files_of_list(place) if place.is_file() else ())]
    refuse_overlap(options.output, inputs)  # before what the cases hold is looked at
    run = HeartFinetuning(
        weights,
        table,
        sources,
        options.output,
        Lines(prints=common.messages.has_lines),
        sitting.jobs,
        Team(device=chosen_device(sitting.device)),
    )
    try:
        result = run.work(sitting.minutes or float("inf"), inputs)
    except KeyboardInterrupt:
        print("mureg: stopped; finished cases and epochs are kept, and the same command continues.", file=sys.stderr)
        return STOPPED_BY_HAND
    common.messages.emit(*_heart_answer(result, sum(source.aligned for source in sources)))
    return 0


def _heart_answer(result: FinetuneResult, n_aligned: int) -> tuple[dict[str, Any], list[str]]:
    from mureg.cli.held_out import table_of, use_line, warnings

    answer: dict[str, Any] = {
        "output": str(result.folder),
        "finished": result.is_finished,
        "step": result.step,
        "refusals": list(result.refusals),
    }
    lines = [f"refused    {len(result.refusals)} cases, such as {result.refusals[0]}"] if result.refusals else []
    if not result.is_finished:
        return answer, [*lines, f"stopped    in the step {result.step}; the same command continues"]
    table, table_lines = table_of(result.errors)
    sentences = warnings(result.errors, result.n_patients + len({e.patient for e in result.errors}), n_aligned)
    answer |= table | {"interval": result.interval, "warnings": sentences, "weights": str(result.weights)}
    return answer, [
        f"trained    on {result.n_crops} crops of {result.n_patients} patients",
        *lines,
        *table_lines,
        f"interval   {result.interval}",
        *(f"warning    {sentence}" for sentence in sentences),
        f"weights    {result.weights}",
        use_line(result.weights),
    ]
