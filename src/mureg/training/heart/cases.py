"""Cases by population and number: read from a stored cohort, or simulated when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mureg.cohort.settings import load_settings
from mureg.cohort.simulation import simulate_case
from mureg.cohort.store.cohort import CASES, Cohort, read_case
from mureg.errors import UnreadableInputError, UsageError
from mureg.study import Case


@dataclass(frozen=True)
class NumberedCase:
    """One case of a population; small, so that it travels to other processes.

    Attributes:
        population: name of shipped cohort settings, or of a stored cohort's cases.
        number: of the case in its cohort.
        folder: where the case is stored; None for a case to be simulated.
        emission: file of a stored training case (`mureg.training.heart.emissions`), instead of a case of a cohort.
        ct_folder: real CTs, for populations that are made from them.
    """

    population: str
    number: int
    folder: Path | None = None
    ct_folder: Path | None = None
    emission: Path | None = None

    @property
    def name(self) -> str:
        """Name of the case in its cohort."""
        return case_name(self.population, self.number)

    def read(self) -> Case:
        """Read or simulate it.

        Raises:
            UsageError: it is not stored, and there is no such population to simulate; a training case.
            UnreadableInputError: the stored case is damaged.
        """
        if self.emission is not None:
            raise UsageError(
                f"{self.name} is a training case, which has no projections and no HU",
                "a case of a cohort",
                "use training cases for crops alone",
            )
        if self.folder is not None:
            return read_case(self.folder)
        return simulate_case(load_settings(self.population), self.number, self.ct_folder)


@dataclass(frozen=True)
class CaseStore:
    """Where the cases of a recipe come from.

    Attributes:
        folders: of stored cases, by name of the case.
        ct_folder: real CTs, for populations that are made from them and are simulated.
        emissions: files of stored training cases, by name of the case.
    """

    folders: Mapping[str, Path]
    ct_folder: Path | None = None
    emissions: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, cohorts: Sequence[Path], ct_folder: Path | None = None, emissions: Sequence[Path] = ()) -> CaseStore:
        """Of the folders of stored cohorts, and of folders of training cases.

        Raises:
            UsageError: two of them hold a case of the same name.
            UnreadableInputError: a folder without cases.
        """
        files = [path for folder in emissions for path in sorted((folder / CASES).glob("[!.]*.npz"))]
        if emissions and not files:
            raise UnreadableInputError(
                f"no training cases in {', '.join(folder.name for folder in emissions)}",
                f"files of training cases (.npz) in its folder {CASES}",
                "give the output folder of the simulation of the training cases",
            )
        folders: dict[str, Path] = {}
        for cohort in cohorts:
            for name in Cohort.open(cohort).names:
                if name in folders:
                    raise UsageError(
                        f"two cohorts hold a case named {name}", "each case once", "leave one of the cohorts out"
                    )
                folders[name] = cohort / CASES / name
        return cls(folders, ct_folder, {path.stem: path for path in files})

    def cases(self, population: str, numbers: Iterable[int]) -> list[NumberedCase]:
        """The cases of a population with these numbers."""
        names = {number: case_name(population, number) for number in numbers}
        return [
            NumberedCase(population, number, self.folders.get(name), self.ct_folder, self.emissions.get(name))
            for number, name in names.items()
        ]


def case_name(population: str, number: int) -> str:
    """As `mureg.cohort.simulation.case_name`, by the name of the population."""
    return f"{population}-{number:06d}"
