"""Cases on disk, and the cohort that they make up."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from mureg.cohort.store.case import StoredCase, is_case, open_case, read_case, write_case
from mureg.cohort.store.header import read_name_and_patient
from mureg.cohort.store.shares import SHARES
from mureg.errors import UnreadableInputError, UsageError

__all__ = [
    "CASES",
    "SHARES",
    "Cohort",
    "StoredCase",
    "check_shares",
    "is_case",
    "open_case",
    "place_of",
    "places_of",
    "read_case",
    "write_case",
]

CASES = "cases"
"""The folder inside a cohort's folder that holds one folder for each case."""


@dataclass(frozen=True)
class Cohort:
    """Cases in a folder, opened one at a time as they are asked for.

    Attributes:
        folder: holds `CASES`.
        names: of the cases, in order.
        patients: whose each case is.
    """

    folder: Path
    names: tuple[str, ...]
    patients: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path | str) -> Cohort:
        """The cases that are whole; what a run is still writing does not count.

        Raises:
            UnreadableInputError: no cases there, or a folder among them that is none.
        """
        folder = Path(folder)
        cases = sorted(path for path in (folder / CASES).glob("[!.]*") if path.is_dir())
        if not cases:
            raise UnreadableInputError(
                f"no cases in {folder.name or folder}",
                f"a folder {CASES} with one folder for each case",
                "make them with mureg simulate",
            )
        patients = tuple(read_name_and_patient(case)[1] for case in cases)
        return cls(folder, tuple(case.name for case in cases), patients)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[StoredCase]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> StoredCase:
        return open_case(self.folder / CASES / name)

    def split(self, shares: Mapping[str, float] = SHARES, seed: int = 0) -> dict[str, Cohort]:
        """Divide the cases by patient.

        Where a patient goes depends on the pseudonym, the shares and the seed alone: cases that are added later, or
        another cohort with the same patient, do not change the set of a patient. The shares hold for many patients;
        with few the sets may be uneven.

        Args:
            shares: name of each set and its share of the patients, in order, together 1.
            seed: for another division.

        Returns:
            One cohort for each share, possibly empty.
        """
        check_shares(shares)
        set_numbers = places_of(self.patients, tuple(shares.values()), seed)
        return {
            name: Cohort(
                self.folder,
                tuple(case for case, k in zip(self.names, set_numbers, strict=True) if k == number),
                tuple(who for who, k in zip(self.patients, set_numbers, strict=True) if k == number),
            )
            for number, name in enumerate(shares)
        }


def places_of(patients: Sequence[str], shares: Sequence[float], seed: int) -> list[int]:
    """In which of several sets each patient is, by number; see `Cohort.split`."""
    ends = [*list(accumulate(shares))[:-1], math.inf]
    return [next(k for k, end in enumerate(ends) if place_of(who, seed) < end) for who in patients]


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse shares of less than 0, or that do not add up to 1."""
    total = sum(shares.values())
    if not shares or min(shares.values()) < 0 or abs(total - 1.0) > 1e-6:
        raise UsageError(
            f"shares {', '.join(f'{name} {share:g}' for name, share in shares.items()) or 'of nothing'}",
            "shares of 0 or more that add up to 1",
            "correct the shares",
        )


def place_of(patient: str, seed: int) -> float:
    """A patient's own number, evenly spread over 0 to 1."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{patient}".encode()).digest()[:8], "big") / 2**64
