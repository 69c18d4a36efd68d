"""One simulated case on disk: its arrays in one safetensors file, everything else in one TOML file.

| array                                   | stored as                                                            |
|-----------------------------------------|----------------------------------------------------------------------|
| counts                                  | uint16 where they are whole and at most 65535, else float32          |
| ct                                      | int16, whole HU: what a scanner writes                               |
| uncorrected                             | float32                                                              |
| truth.mu, truth.activity, truth.lv_wall | float16                                                              |
| truth.scatter                           | float16                                                              |
| angles, radii, weights, heart points    | float64                                                              |
| liver points                            | float64, only where they are known                                   |
| `<volume>.outside`                      | one bit a voxel, only where something is unknown                     |

float16 keeps 11 significant bits, so a true value is off by at most 1 part in 2048 (and by 3e-8 where it is below
6e-5): far below the noise of any image it is held against, at half the space. What exceeds its range is float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tomli_w
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mureg.cohort.store.header import (
    ARRAYS,
    HEADER,
    Table,
    acquisition_and_ct,
    acquisition_from,
    ct_from,
    damaged,
    grid_from,
    header_of,
    quantity_from,
    read_header,
    sources_from,
    transform_from,
)
from mureg.errors import MuregError
from mureg.files.atomic import writing_folder
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.spect.acquisition import Acquisition
from mureg.study import Case, Ct, Study, Truth

Array = npt.NDArray[Any]
Part = int | slice | tuple[int | slice, ...]

_PER_VIEW = ("angles_deg", "radii_mm", "view_weights", "column_offsets_mm")
_LIVER = ("truth.liver_points_mm", "truth.liver_points_in_ct_mm")
_LARGEST_HALF = float(np.finfo(np.float16).max)


def write_case(case: Case, folder: Path) -> Path:
    """Store a case; the folder appears whole or not at all, and equal cases give equal bytes.

    Returns:
        The folder, holding ``case.toml`` and ``arrays.safetensors``.

    Raises:
        UsageError: the folder exists or cannot be written; a study without projections, CT or patient.
    """
    arrays = _arrays_of(case)
    with writing_folder(folder, recognise=is_case) as scratch:
        save_file(arrays, scratch / ARRAYS)
        header = header_of(case, _sha256(scratch / ARRAYS))
        (scratch / HEADER).write_text(tomli_w.dumps(header), "utf-8")
    return folder


def is_case(folder: Path) -> bool:
    """Whether a case lies there, whole as it was written."""
    return (folder / HEADER).is_file() and (folder / ARRAYS).is_file()


def open_case(folder: Path | str) -> StoredCase:
    """Read the header of a case; its arrays stay on disk until they are needed.

    Raises:
        UnreadableInputError: no case there, a damaged one, or one of a newer format.
    """
    return StoredCase(Path(folder), read_header(Path(folder)))


def read_case(folder: Path | str) -> Case:
    """Read a whole case, after checking that its arrays are those that were written.

    Raises:
        UnreadableInputError: as `open_case`.
    """
    folder_contents = open_case(folder)
    with _reading(folder_contents.folder):
        if _sha256(folder_contents.folder / ARRAYS) != folder_contents.header["arrays_sha256"]:
            raise damaged(folder_contents.folder, f"{ARRAYS} is not the file that {HEADER} describes")
    return folder_contents.load()


@dataclass(frozen=True, eq=False)
class StoredCase:
    """A case on disk that reads no more than what is asked for; it can be sent to other processes.

    Attributes:
        folder: where it lies.
        header: the tables of ``case.toml``.
    """

    folder: Path
    header: Table

    @property
    def name(self) -> str:
        """Name of the case inside its cohort."""
        return str(self.header["name"])

    @property
    def patient(self) -> str:
        """Pseudonym that keeps all cases of one person together."""
        return str(self.header["patient"])

    @property
    def facts(self) -> dict[str, float | int | str | bool]:
        """What was drawn and what came of it."""
        with _reading(self.folder):
            return dict(self.header["facts"])

    @property
    def ct_from_spect(self) -> RigidTransform:
        """True rigid motion of the heart, LPS+ mm."""
        with _reading(self.folder):
            return transform_from(self.header["truth"])

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """The names of its arrays."""
        with _opened(self.folder) as file:
            return tuple(sorted(file.keys()))

    def array(self, name: str, part: Part = ()) -> Array:
        """An array as it is stored, or a part of it; nothing else is read.

        Args:
            name: one of `arrays`.
            part: indices and slices without steps, such as ``(slice(None), slice(None), slice(10, 20))``.
        """
        with _opened(self.folder) as file:
            array: Array = file.get_tensor(name) if part == () else file.get_slice(name)[part]
        return array

    def volume(self, name: str) -> Volume:
        """One of ``ct`` (HU), ``uncorrected``, ``truth.mu``, ``truth.activity``, ``truth.lv_wall``, as float32."""
        with _reading(self.folder):
            table = self.header["volumes"][name]
            grid, outside = grid_from(table), None
            if f"{name}.outside" in self.arrays:
                bits = np.unpackbits(self.array(f"{name}.outside"), count=int(np.prod(grid.shape)))
                outside = bits.reshape(grid.shape).astype(np.bool_)
            return Volume(self._floats(name), grid, quantity_from(table), outside)

    @property
    def acquisition(self) -> Acquisition:
        """The projections with their geometry, read from disk."""
        with _reading(self.folder):
            per_view = {name: self.array(name) for name in _PER_VIEW if name in self.arrays}
            return acquisition_from(self.header["acquisition"], per_view, self._floats("counts"))

    @property
    def ct(self) -> Ct:
        """The CT and what its header says."""
        with _reading(self.folder):
            return ct_from(self.header["scanner"], self.volume("ct"))

    @property
    def uncorrected(self) -> Volume:
        """The projections reconstructed without attenuation correction."""
        return self.volume("uncorrected")

    @property
    def scatter(self) -> Float[Array, "window view row column"]:
        """Expected scattered counts of every window."""
        return self._floats("truth.scatter")

    @property
    def truth(self) -> Truth:
        """True pose, points of heart and liver, and non-rigid residual."""
        with _reading(self.folder):
            x, y, z = self.header["truth"]["centre_mm"]
            centre_mm: Triple = (x, y, z)
            return Truth(
                self.ct_from_spect,
                centre_mm,
                self.array("truth.heart_points_mm"),
                self.array("truth.heart_points_in_ct_mm"),
                self.volume("truth.mu"),
                self.volume("truth.activity"),
                self.volume("truth.lv_wall"),
                self.scatter,
                *(self.array(name) if name in self.arrays else None for name in _LIVER),
            )

    def load(self) -> Case:
        """Read all arrays of the case into memory."""
        with _reading(self.folder):
            study = Study(
                self.acquisition,
                self.ct,
                self.patient,
                sources_from(self.header["read_from"]),
                tuple(self.header["notes"]),
            )
            return Case(self.name, study, self.uncorrected, self.truth, self.facts, dict(self.header["sources"]))

    def _floats(self, name: str) -> Array:
        return self.array(name).astype(np.float32)


def _arrays_of(case: Case) -> dict[str, Array]:
    """Every array in the form in which it is stored."""
    acquisition, ct = acquisition_and_ct(case)
    truth = case.truth
    arrays = {
        "counts": _counts(acquisition.counts),
        "ct": np.clip(np.rint(ct.volume.values), -32768, 32767).astype(np.int16),  # the limits of 16 bits
        "uncorrected": case.uncorrected.values.astype(np.float32),
        "truth.mu": _half(truth.mu.values),
        "truth.activity": _half(truth.activity.values),
        "truth.lv_wall": _half(truth.lv_wall.values),
        "truth.scatter": _half(truth.scatter),
        "truth.heart_points_mm": np.asarray(truth.heart_points_mm, dtype=np.float64),
        "truth.heart_points_in_ct_mm": np.asarray(truth.heart_points_in_ct_mm, dtype=np.float64),
    }
    for name, points in zip(_LIVER, (truth.liver_points_mm, truth.liver_points_in_ct_mm), strict=True):
        if points is not None:
            arrays[name] = np.asarray(points, dtype=np.float64)
    for name in _PER_VIEW:
        values = getattr(acquisition, name)
        if values is not None:
            arrays[name] = np.asarray(values, dtype=np.float64)
    volumes = {"ct": ct.volume, "uncorrected": case.uncorrected}
    volumes |= {"truth.mu": truth.mu, "truth.activity": truth.activity, "truth.lv_wall": truth.lv_wall}
    for name, volume in volumes.items():
        if volume.outside is not None:
            arrays[f"{name}.outside"] = np.packbits(volume.outside)
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _counts(values: Array) -> Array:
    whole = bool((values == np.rint(values)).all()) and float(values.max()) <= 65535
    return values.astype(np.uint16 if whole else np.float32)


def _half(values: Array) -> Array:
    return values.astype(np.float16 if float(np.abs(values).max()) <= _LARGEST_HALF else np.float32)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    """The arrays of a case, mapped into memory."""
    with _reading(folder), safe_open(folder / ARRAYS, framework="numpy") as file:
        yield file


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Report every failure to read the bytes of a case in one sentence."""
    try:
        yield
    except MuregError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise damaged(folder, str(problem)) from problem
