"""One odd input: what is made, which command meets it, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom

from support.dicom import change, chest_like, detector, project_point, rotation, tomo_vectors, write_ct, write_nm

Side = Literal["spect", "ct", "mu"]
Made = Path | Sequence[Path]

ANGLES = [225 - 6 * k for k in range(8)]


@dataclass(frozen=True)
class Odd:
    """An input that is not as it should be.

    Attributes:
        name: in a few words, for the table and the test.
        side: where it is given to ``mureg register``.
        make: writes it into an empty folder and returns the path to give.
        says: words of the one sentence, "" where it is read.
        code: exit code.
        note: words of a note, where it is read and something had to be said.
        facts: what ``mureg inspect`` must find in it, where it is read.
    """

    name: str
    side: Side
    make: Callable[[Path], Path]
    says: str = ""
    code: int = 4
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_read(self) -> bool:
        return not self.says


def refused(side: Side) -> Callable[[str, str, Callable[[Path], Path]], Odd]:
    """A maker of entries that are refused with exit code 4: name, words of the sentence, what is made."""
    return lambda name, says, make: Odd(name, side, make, says)


def tomo(path: Path, *, detectors: Any = None, rotations: Any = None, vectors: Any = None, **elements: Any) -> Path:
    """Eight views of a point, 100 counts each."""
    given = write_nm(
        path,
        elements.pop("frames", project_point((5, 5, 5), ANGLES)),
        tomo_vectors(8) if vectors is None else vectors,
        detectors=[detector(225)] if detectors is None else detectors,
        rotations=[rotation(225, 6, 8, sense="CW")] if rotations is None else rotations,
        kind=elements.pop("kind", "TOMO"),
        windows=elements.pop("windows", ((126.5, 154.5),)),
        nuclide=elements.pop("nuclide", "^99m^Technetium"),
        pixel=elements.pop("pixel", 5.0),
    )
    return edited(given, **elements)


def edited(path: Path, **elements: Any) -> Path:
    """The object with elements set (None deletes them)."""
    change(path, **elements)
    return path


def chest(folder: Path, only: int | None = None, **elements: Any) -> Path:
    """A CT series of six slices with elements set in all of them, or in the one slice `only`."""
    files = write_ct(folder / "ct", chest_like())
    for k, file in enumerate(files):
        if elements and only in (None, k):
            edited(file, **elements)
    return folder / "ct"


def recoded(path: Path, edit: Callable[[pydicom.Dataset], None]) -> Path:
    """The object after something was done to it."""
    ds = pydicom.dcmread(path)
    edit(ds)
    ds.save_as(path)
    return path


def box(shape: tuple[int, int, int], outside: float, inside: float) -> np.ndarray:
    """A block of one value inside another."""
    values = np.full(shape, float(outside))
    values[1:-1, 1:-1, 1:-1] = inside
    return values
