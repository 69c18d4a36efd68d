"""``mureg evaluate``: every registrar on every case of cohorts with known truth."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.cli.algorithms import Changes, ReconstructorName
from mureg.cli.common import Output, parse
from mureg.cli.help import Flat
from mureg.cli.messages import Messages
from mureg.cli.progress import counting
from mureg.comparison.markdown import name_of, warnings
from mureg.comparison.methods import choose
from mureg.comparison.settings import Selection, Settings, Split, changed, read_settings
from mureg.comparison.summary import MethodSummary
from mureg.errors import SOME_FAILED, STOPPED_BY_HAND, UsageError
from mureg.jobs.cores import set_thread_count
from mureg.registration import NetworkRegistrar

if TYPE_CHECKING:  # it needs the packages for research
    from mureg.comparison.protocol import Comparison

Cohorts = Annotated[tuple[Path, ...], tyro.conf.arg(name="cohort", metavar="PATH"), tyro.conf.UseAppendAction]
WeightsNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE"), tyro.conf.UseAppendAction]


@dataclass(frozen=True)
class Evaluate:
    """Compare registrars on virtual patients. The same command continues a run that was stopped. Research use only.

    Attributes:
        cohorts: folder that mureg simulate made; repeatable.
        registrars: names with commas: unregistered (scanner position), oracle (truth), mutual-information,
            gradient-fields, near-heart, projection, elastix, ants, package.module:Class, a name of mureg weights, or
            .onnx files (which get a second row with the SPECT input ablated).
        weights: networks for the name network among the registrars: a name of mureg weights or an .onnx file;
            repeatable.
        reconstructor: reconstruction of the corrected images (default: osem, or that of --settings); also the name of
            one of another installed package, or package.module:Class.
        output: folder for tables, settings.toml and figures/.
        against: method with which statistical tests compare the others (default: the first after unregistered and
            oracle).
        images: number of cases of each cohort with corrected images (default: all; 0 for none).
        classical: number of cases of each cohort for mutual-information, elastix and ants (default: all).
        figures: number of cases of each cohort with figures.
        split: set of patients to measure, by the division that training uses.
        skip: number of cases to skip at the beginning of each cohort.
        limit: largest number of cases of each cohort (default: all).
        peers: Python interpreter that has itk-elastix and antspyx (default: this one).
        settings: TOML file from an earlier run or from mureg settings evaluate (default: none).
        changes: change one setting, such as near_heart.passes=3; repeatable; takes precedence over --settings.
        jobs: number of processes on this machine, each with one thread.

    Example:
        mureg evaluate --cohort clinical --registrars unregistered,mutual-information,near-heart -o comparison
    """

    cohorts: Cohorts
    output: Output
    registrars: str = "unregistered,oracle,mutual-information"
    weights: WeightsNames = ()
    reconstructor: ReconstructorName = None
    against: str = ""
    images: int | None = None
    classical: int | None = None
    figures: int = 2
    split: Split = "all"
    skip: int = 0
    limit: int | None = None
    peers: Path | None = None
    settings: Path | None = None
    changes: Changes = ()
    jobs: int = 1
    messages: Annotated[Messages, Flat] = field(default_factory=Messages)


OPTIONS = Evaluate


def main(arguments: Sequence[str]) -> int:
    """Parse, measure what is missing, sum up, draw, report. Exit code 5 where a method crashed or images were refused.

    A registration that was refused is a result, and counts in the tables as a failure.
    """
    options = parse("evaluate", arguments, Evaluate)
    from mureg.comparison.figures import comparison_figures
    from mureg.comparison.files import write_summaries
    from mureg.comparison.protocol import FIGURES, FOLDER, compare

    start = Settings() if options.settings is None else read_settings(options.settings)
    settings = changed(start, options.changes, options.reconstructor)
    selection = _selection(options)
    names = _names(options)
    methods = choose(names, settings.registrars)
    set_thread_count(None)
    try:
        weights = [Path(name) for name in names if Path(name).is_file()]
        with FOLDER.claimed(options.output, [*options.cohorts, *weights]):
            with counting(options.messages, "evaluating") as progress:
                comparison = compare(
                    options.cohorts,
                    methods,
                    options.output,
                    settings,
                    selection,
                    python=options.peers or Path(sys.executable),
                    against=options.against,
                    jobs=options.jobs,
                    progress=progress,
                )
            summaries = write_summaries(comparison, options.output, settings)
            pictures = comparison_figures(comparison, settings.measurement, options.output / FIGURES, options.figures)
    except KeyboardInterrupt:
        print("mureg: stopped; finished rows are kept, and the same command continues the run.", file=sys.stderr)
        return STOPPED_BY_HAND
    answer = _answer(comparison, summaries, options.output, pictures)
    options.messages.emit(answer, list(_lines(comparison, summaries, options.output)))
    has_failures = any(row.status == "crashed" or row.images == "failed" for row in comparison.rows)
    return SOME_FAILED if has_failures else 0


def _names(options: Evaluate) -> list[str]:
    """Names of the rows, the weights in place of the word network."""
    names = [name.strip() for name in options.registrars.split(",") if name.strip()]
    if options.weights and NetworkRegistrar.kind not in names:
        names.append(NetworkRegistrar.kind)
    if NetworkRegistrar.kind in names and not options.weights:
        raise UsageError(
            f"the registrar {NetworkRegistrar.kind} without weights",
            "a name or file of weights",
            "add --weights; mureg weights lists them",
        )
    return [part for name in names for part in (options.weights if name == NetworkRegistrar.kind else (name,))]


def _selection(options: Evaluate) -> Selection:
    numbers = {"skip": options.skip, "images": options.images, "figures": options.figures}
    for name, value in numbers.items():
        if value is not None and value < 0:
            raise UsageError(f"--{name} {value}", "0 or more", "correct it")
    for name, value in {"limit": options.limit, "classical": options.classical}.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}", "1 or more", "leave it out for all cases")
    return Selection(options.split, options.skip, options.limit, options.images, options.classical)


def _answer(
    comparison: Comparison, summaries: list[MethodSummary], output: Path, pictures: list[Path]
) -> dict[str, Any]:
    return {
        "output": str(output),
        "cases": len(comparison.folders),
        "measured": comparison.measured,
        "failed": sum(summary.failed for summary in summaries),
        "against": comparison.against,
        "settings_sha256": comparison.settings_sha256,
        "heart_mm": [
            {"cohort": s.cohort, "method": s.method, "mean": s.figures["heart_mm"].mean, "failed": s.failed}
            for s in summaries
        ],
        "warnings": warnings(summaries),
        "figures": [str(path.relative_to(output)) for path in pictures],
        "use": RESEARCH_USE_ONLY,
    }


def _lines(comparison: Comparison, summaries: list[MethodSummary], output: Path) -> Iterator[str]:
    older = len(comparison.rows) - comparison.measured
    yield f"measured   {comparison.measured} rows; {older} of an earlier run kept"
    width = max(len(name_of(summary.method)) for summary in summaries)
    for cohort in dict.fromkeys(summary.cohort for summary in summaries):
        yield f"{cohort}: target registration error over the heart, mm (mean, interval, share beyond one pixel)"
        for summary in (row for row in summaries if row.cohort == cohort):
            heart = summary.figures["heart_mm"]
            failures = f", {summary.failed} failed" if summary.failed else ""
            yield (
                f"  {name_of(summary.method):{width}}  {heart.mean:5.2f} [{heart.low:.2f}, {heart.high:.2f}] "
                f"{100 * heart.share_above:3.0f} %  of {summary.n} cases{failures}"
            )
    yield from (f"warning    {sentence}" for sentence in warnings(summaries))
    yield f"tables in  {output / 'tables.md'}"
    yield RESEARCH_USE_ONLY
