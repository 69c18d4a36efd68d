"""A comparison: every method on every case, measured once, however often the run is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mureg.cohort.store.cohort import CASES, Cohort
from mureg.comparison.measure import Task, measure
from mureg.comparison.methods import Method
from mureg.comparison.peers import Ants, Elastix, refuse_missing
from mureg.comparison.rows import MethodRow
from mureg.comparison.settings import FILE as SETTINGS
from mureg.comparison.settings import Selection, Settings, refuse_other_measurement, settings_toml, write_settings
from mureg.comparison.table import ResultTable
from mureg.errors import UsageError
from mureg.files.run_folder import RunFolder
from mureg.jobs.tasks import check_jobs, shared_out

TABLE, FIGURES = "cases.csv", "figures"
Progress = Callable[[int, int], None]


def _is_comparison(folder: Path) -> bool:
    """Whether mureg 0.1.0 wrote it, which left no marker."""
    return (folder / TABLE).is_file() and (folder / SETTINGS).is_file()


FOLDER = RunFolder("comparison", _is_comparison, (FIGURES,))


@dataclass(frozen=True)
class Comparison:
    """What was measured.

    Attributes:
        rows: of the cases and methods asked for, in the order of cohorts, cases, methods.
        methods: in order.
        folders: of the cases, by cohort and name.
        measured: rows that this run added or completed.
        against: the row that others are compared with.
        settings_sha256: of the settings file in the output folder.
    """

    rows: tuple[MethodRow, ...]
    methods: tuple[Method, ...]
    folders: dict[tuple[str, str], Path]
    measured: int
    against: str
    settings_sha256: str


def compare(
    cohorts: Sequence[Path],
    methods: Sequence[Method],
    output: Path,
    settings: Settings = Settings(),  # noqa: B008 (frozen settings)
    selection: Selection = Selection(),  # noqa: B008
    *,
    python: Path,
    against: str = "",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Measure what is missing in ``cases.csv`` of the output folder, and write its ``settings.toml``.

    Args:
        cohorts: folders that mureg simulate made.
        methods: see `choose`.
        output: gets both; another run with the same measurement goes on with it.
        settings: of the figures and intervals.
        selection: which cases.
        python: that has elastix or ANTs, where they are asked for.
        against: see `against_of`.
        jobs: processes, each on one thread.
        progress: called with the number of finished cases and of all cases.

    Raises:
        UsageError: cohorts of one name, no case left, a program that is not installed, another measurement there.
        UnreadableInputError: a folder that is no cohort.
    """
    check_jobs(jobs)
    against = against_of(methods, against)
    refuse_missing({m.name: m.registrar for m in methods if isinstance(m.registrar, Elastix | Ants)}, python)
    folders = chosen_cases(cohorts, selection)
    with FOLDER.claimed(output, cohorts):
        refuse_other_measurement(output, settings)
        table = ResultTable(output / TABLE, MethodRow)
        sha256 = write_settings(settings_toml(settings, methods, cohorts, selection, against), output)
        tasks = []
        for cohort, name, number in ((*key, number) for key, (_, number) in folders.items()):
            images = selection.images is None or number < selection.images
            case_methods = tuple(method for method in methods if selection.asks(method, number))
            case_rows = {
                m.name: row for m in case_methods if (row := table.get((cohort, name, m.name, m.settings))) is not None
            }
            task = Task(
                folders[cohort, name][0],
                cohort,
                case_methods,
                case_rows,
                images,
                settings.measurement,
                settings.measured_with,
                python,
            )
            tasks += [task] if task.open else []
        measured = 0
        for n_done, rows in enumerate(shared_out(measure, tasks, jobs), 1):
            table.append(rows)
            measured += len(rows)
            if progress is not None:
                progress(n_done, len(tasks))
        table.tidy()
    all_rows = [
        table.get((cohort, name, m.name, m.settings))
        for (cohort, name), (_, number) in folders.items()
        for m in methods
        if selection.asks(m, number)
    ]
    return Comparison(
        tuple(row for row in all_rows if row is not None),
        tuple(methods),
        {key: folder for key, (folder, _) in folders.items()},
        measured,
        against,
        sha256,
    )


def chosen_cases(cohorts: Sequence[Path], selection: Selection) -> dict[tuple[str, str], tuple[Path, int]]:
    """Folder of each case and its number among those chosen of its cohort, by name of the cohort and of the case."""
    if not cohorts:
        raise UsageError("no cohort", "at least one folder that mureg simulate made", "name it with --cohort")
    names = [folder.resolve().name for folder in cohorts]
    if len(set(names)) < len(names):
        raise UsageError(
            f"two cohorts of one name among {', '.join(names)}", "a name for each", "rename one of the folders"
        )
    cases_by_key: dict[tuple[str, str], tuple[Path, int]] = {}
    for name, folder in zip(names, cohorts, strict=True):
        cohort = Cohort.open(folder)
        if selection.split != "all":
            cohort = cohort.split()[selection.split]
        cases = cohort.names[selection.skip :][: selection.limit]
        if not cases:
            which = "" if selection.split == "all" else f" in the set {selection.split!r}"
            raise UsageError(
                f"no case of {name} remains{which} after the first {selection.skip}",
                "at least one",
                "give a smaller --skip, or a larger cohort",
            )
        cases_by_key |= {(name, case): (folder / CASES / case, number) for number, case in enumerate(cases)}
    return cases_by_key


def against_of(methods: Sequence[Method], name: str) -> str:
    """The row that others are compared with: the one asked for, or the first that registers anything.

    Raises:
        UsageError: no such row.
    """
    names = [method.name for method in methods]
    if name and name not in names:
        raise UsageError(f"no row {name!r} to compare with", f"one of {', '.join(names)}", "correct --against")
    return name or next((method.name for method in methods if method.registrar is not None), names[0])
