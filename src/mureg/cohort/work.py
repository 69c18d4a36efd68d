"""One case of a run, from its number to its folder; called in whatever process or machine has time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mureg import __version__
from mureg.cohort.export import export_case
from mureg.cohort.record import DICOM, SETTINGS
from mureg.cohort.settings import CohortSettings
from mureg.cohort.simulation import case_name
from mureg.cohort.store.cohort import CASES, is_case, read_case, write_case
from mureg.errors import MuregError, UsageError
from mureg.jobs.cases import JobResult, require_fit_worker
from mureg.study import Case

Simulate = Callable[[CohortSettings, int, Path | None], Case]


@dataclass(frozen=True)
class CaseJob:
    """Everything a worker must know; called with the number of a case.

    Attributes:
        simulate: an importable function; it runs with one thread.
        version: of the mureg that the cohort was begun with.
    """

    settings: CohortSettings
    output: Path
    ct_folder: Path | None
    dicom: bool
    simulate: Simulate
    version: str = __version__

    def name(self, index: int) -> str:
        """Name of the case with that number."""
        return case_name(self.settings, index)

    def is_done(self, index: int) -> bool:
        """Whether that case is complete."""
        name = self.name(index)
        return is_case(self.output / CASES / name) and (not self.dicom or (self.output / DICOM / name).is_dir())

    def __call__(self, index: int) -> JobResult:
        """Make the case and write it.

        Raises:
            Exception: what might pass when tried again, such as a disk that does not answer; a refusal that would
                come again is returned instead.
        """
        start = time.perf_counter()
        try:
            require_fit_worker(self.version, self.output / SETTINGS, str(self.output))
            self._make(index)
        except MuregError as problem:
            if isinstance(problem.__cause__, OSError):
                raise
            return JobResult(index, self.name(index), time.perf_counter() - start, str(problem))
        return JobResult(index, self.name(index), time.perf_counter() - start)

    def _make(self, index: int) -> None:
        name = self.name(index)
        folder = self.output / CASES / name
        if is_case(folder):
            case = read_case(folder)
        else:
            case = self.simulate(self.settings, index, self.ct_folder)
            if case.name != name:
                raise UsageError(f"a case named {case.name}", name, "name cases by case_name")
            self._unless_there(lambda: write_case(case, folder), folder)
        exported = self.output / DICOM / name
        if self.dicom and not exported.is_dir():
            self._unless_there(lambda: export_case(case, exported), exported)

    def _unless_there(self, write: Callable[[], object], folder: Path) -> None:
        """Write, unless another worker that was given up for lost has written the same in the meantime."""
        try:
            write()
        except UsageError:
            if not (is_case(folder) or (folder.parent.name == DICOM and folder.is_dir())):
                raise
