"""``mureg evaluate``: every registrar on every case of cohorts with known truth."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.cli.common import Common, Output, counting, emit, parse
from mureg.comparison.figures import comparison_figures
from mureg.comparison.files import write_summaries
from mureg.comparison.markdown import name_of, warnings
from mureg.comparison.methods import choose
from mureg.comparison.protocol import FIGURES, FOLDER, Comparison, compare
from mureg.comparison.settings import Selection, Settings, Split, read_settings
from mureg.comparison.summary import Summary
from mureg.errors import UsageError

SOME_FAILED = 5
Cohorts = Annotated[tuple[Path, ...], tyro.conf.arg(name="cohort"), tyro.conf.UseAppendAction]


@dataclass(frozen=True)
class Evaluate:
    """Compare registrars on virtual patients; the same command goes on where an earlier run was stopped.

    Attributes:
        cohorts: a folder that mureg simulate made; may be given several times.
        registrars: some of headers, oracle, mutual-information, near-heart, projection, elastix, ants and paths to
            .safetensors, with commas.
            A network gets a second row with its SPECT blanked, unless it was trained so.
        output: folder for cases.csv, summary.csv, summary.json, tables.md, settings.toml and figures/.
        against: the row that tests compare with; the first that registers anything where it is left out.
        images: reconstruct corrected images for the first so many cases of each cohort, 0 for none; all by default.
        classical: ask mutual-information, elastix and ants about the first so many cases of each cohort only.
        figures: draw pictures of the first so many of those cases.
        split: which patients, by the division that training uses.
        skip: leave out so many cases at the beginning of each cohort.
        limit: take at most so many cases of each cohort.
        peers: Python that has itk-elastix and antspyx; this one by default.
        settings: TOML file as an earlier run wrote it, for other settings than the usual ones.
        jobs: processes on this machine, each with one thread.
        device: where networks, maps and images are computed; auto takes a GPU when there is one.
        json: print one JSON object on standard output and nothing else there.
    """

    cohorts: Cohorts
    output: Output
    registrars: str = "headers,oracle,mutual-information"
    against: str = ""
    images: int | None = None
    classical: int | None = None
    figures: int = 2
    split: Split = "all"
    skip: int = 0
    limit: int | None = None
    peers: Path | None = None
    settings: Path | None = None
    jobs: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    json: bool = False


def main(arguments: Sequence[str]) -> int:
    """Parse, measure what is missing, sum up, draw, say. Exit code 5 where a method crashed or images were refused.

    A registration that was refused is a result, and counts in the tables as a failure.
    """
    options = parse("evaluate", arguments, Evaluate)
    settings = Settings() if options.settings is None else read_settings(options.settings)
    selection = _selection(options)
    names = [name.strip() for name in options.registrars.split(",") if name.strip()]
    methods = choose(names, settings.registrars)
    device = Common(device=options.device).prepare()
    try:
        weights = [Path(name) for name in names if Path(name).is_file()]
        with FOLDER.claimed(options.output, [*options.cohorts, *weights]):
            with counting(options.json, "evaluating") as progress:
                comparison = compare(
                    options.cohorts,
                    methods,
                    options.output,
                    settings,
                    selection,
                    python=options.peers or Path(sys.executable),
                    against=options.against,
                    jobs=options.jobs,
                    device=device,
                    progress=progress,
                )
            summaries = write_summaries(comparison, options.output, settings)
            pictures = comparison_figures(comparison, settings.measurement, options.output / FIGURES, options.figures)
    except KeyboardInterrupt:
        print("mureg: stopped; what was measured is kept, and the same command goes on from there.", file=sys.stderr)
        return 130
    answer = _answer(comparison, summaries, options.output, pictures)
    emit(Common(json=options.json), answer, list(_lines(comparison, summaries, options.output)))
    broken = any(row.status == "crashed" or row.images == "failed" for row in comparison.rows)
    return SOME_FAILED if broken else 0


def _selection(options: Evaluate) -> Selection:
    numbers = {"skip": options.skip, "images": options.images, "figures": options.figures}
    for name, value in numbers.items():
        if value is not None and value < 0:
            raise UsageError(f"--{name} {value}", "0 or more", "correct it")
    for name, value in {"limit": options.limit, "classical": options.classical}.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}", "1 or more", "leave it out for all cases")
    return Selection(options.split, options.skip, options.limit, options.images, options.classical)


def _answer(comparison: Comparison, summaries: list[Summary], output: Path, pictures: list[Path]) -> dict[str, Any]:
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


def _lines(comparison: Comparison, summaries: list[Summary], output: Path) -> Iterator[str]:
    yield f"measured   {comparison.measured} of {len(comparison.rows)} rows, the others were there"
    width = max(len(name_of(summary.method)) for summary in summaries)
    for cohort in dict.fromkeys(summary.cohort for summary in summaries):
        yield f"{cohort}: target registration error over the heart, mm (mean, interval, share beyond one pixel)"
        for summary in (one for one in summaries if one.cohort == cohort):
            heart = summary.figures["heart_mm"]
            failed = f", {summary.failed} failed" if summary.failed else ""
            yield (
                f"  {name_of(summary.method):{width}}  {heart.mean:5.2f} [{heart.low:.2f}, {heart.high:.2f}] "
                f"{100 * heart.share_above:3.0f} %  of {summary.n} cases{failed}"
            )
    yield from (f"warning    {sentence}" for sentence in warnings(summaries))
    yield f"tables in  {output / 'tables.md'}"
    yield RESEARCH_USE_ONLY
