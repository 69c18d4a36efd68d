"""Cases by population and number: read from a stored cohort, or simulated when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mureg.cohort.settings import load_settings
from mureg.cohort.simulation import simulate_case
from mureg.cohort.store.cohort import CASES, Cohort, read_case
from mureg.errors import UsageError
from mureg.study import Case


@dataclass(frozen=True)
class NumberedCase:
    """One case of a population; small, so that it travels to other processes.

    Attributes:
        population: name of shipped cohort settings, or of a stored cohort's cases.
        number: of the case in its cohort.
        folder: where the case is stored; None for a case to be simulated.
        ct_folder: real CTs, for populations that are made from them.
    """

    population: str
    number: int
    folder: Path | None = None
    ct_folder: Path | None = None

    @property
    def name(self) -> str:
        """Name of the case in its cohort."""
        return case_name(self.population, self.number)

    def read(self) -> Case:
        """Read or simulate it.

        Raises:
            UsageError: it is not stored, and there is no such population to simulate.
            UnreadableInputError: the stored case is damaged.
        """
        if self.folder is not None:
            return read_case(self.folder)
        return simulate_case(load_settings(self.population), self.number, self.ct_folder)


@dataclass(frozen=True)
class CaseStore:
    """Where the cases of a recipe come from.

    Attributes:
        folders: of stored cases, by name of the case.
        ct_folder: real CTs, for populations that are made from them and are simulated.
    """

    folders: Mapping[str, Path]
    ct_folder: Path | None = None

    @classmethod
    def of(cls, cohorts: Sequence[Path], ct_folder: Path | None = None) -> CaseStore:
        """Of the folders of stored cohorts.

        Raises:
            UsageError: two of them hold a case of the same name.
            UnreadableInputError: a folder without cases.
        """
        folders: dict[str, Path] = {}
        for cohort in cohorts:
            for name in Cohort.open(cohort).names:
                if name in folders:
                    raise UsageError(
                        f"two cohorts hold a case named {name}", "each case once", "leave one of the cohorts out"
                    )
                folders[name] = cohort / CASES / name
        return cls(folders, ct_folder)

    def cases(self, population: str, numbers: Iterable[int]) -> list[NumberedCase]:
        """The cases of a population with these numbers."""
        return [
            NumberedCase(population, number, self.folders.get(case_name(population, number)), self.ct_folder)
            for number in numbers
        ]


def case_name(population: str, number: int) -> str:
    """As `mureg.cohort.simulation.case_name`, by the name of the population."""
    return f"{population}-{number:06d}"
