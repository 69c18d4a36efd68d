"""One side of a comparison: a process that loads its program once and then does as it is told, line by line.

Both sides run this same loop, so that both are timed the same way:

    <worker script> CASE.npz FOLDER       then on stdin: "project" or "reconstruct"

CASE.npz holds, in mureg's conventions (see `Case`), everything both programs need. Answers are single JSON
lines on stdout; arrays go to FOLDER/<name>_projections.npy and FOLDER/<name>_reconstruction.npy.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """What both programs are given.

    Attributes:
        activity, mu: [x, y, z], LPS+, centred on the axis of rotation; counts per voxel and view, and 1/cm.
        counts: [view, row, column] to reconstruct, row 0 at the head, columns to the right of someone who
            looks from the detector to the patient.
        angles_deg: where the detector stands: 0 at the patient's back, 90 at the left, 180 in front.
        radius_mm: axis of rotation to detector face.
        voxel_mm: edge of a voxel and of a pixel.
        iterations, subsets: of the OSEM.
        blur_mm: standard deviations (mm) of the intrinsic blur and of the collimator at its face, and the
            growth of the latter per mm of distance; all 0 for no blur.
    """

    activity: Array
    mu: Array
    counts: Array
    angles_deg: Array
    radius_mm: float
    voxel_mm: float
    iterations: int
    subsets: int
    blur_mm: Array

    @classmethod
    def load(cls, path: Path) -> Case:
        with np.load(path) as stored:
            values = {f.name: stored[f.name] for f in fields(cls)}
        return cls(**{name: v if v.ndim else v.item() for name, v in values.items()})

    def save(self, path: Path) -> None:
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @property
    def blurred(self) -> bool:
        return bool(np.any(self.blur_mm))


class Program(Protocol):
    """A program under measurement; it takes everything from the case and keeps nothing between calls."""

    name: str
    versions: dict[str, str]

    def project(self, case: Case) -> Array:
        """Noise-free projections [view, row, column] of the activity, with attenuation (and blur, if any)."""

    def reconstruct(self, case: Case, counts: object) -> object:
        """OSEM of the counts, from a bare geometry: what a user pays for one reconstruction."""

    def load_counts(self, case: Case) -> object:
        """The counts as the program wants them (not timed)."""

    def image(self, reconstruction: object) -> Array:
        """The reconstruction as an array [x, y, z] (not timed)."""


def resident_mb() -> float:
    """Memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def largest_mb() -> float:
    """The most memory this process has held (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def serve(program: Program) -> None:
    """Answer commands until stdin ends, after one short reconstruction to warm up allocators and caches."""
    replies, sys.stdout = sys.stdout, sys.stderr  # what the program prints must not mix with the answers

    def reply(**values: object) -> None:
        print(json.dumps(values), file=replies, flush=True)

    imported_mb = resident_mb()
    case, folder = Case.load(Path(sys.argv[1])), Path(sys.argv[2])
    counts = program.load_counts(case)
    program.reconstruct(replace(case, iterations=1), counts)
    reply(versions=program.versions)
    for command in map(str.strip, sys.stdin):
        if command == "project":
            np.save(folder / f"{program.name}_projections.npy", program.project(case))
            reply(done=command)
        else:
            started = time.perf_counter()
            reconstruction = program.reconstruct(case, counts)
            seconds = time.perf_counter() - started
            np.save(folder / f"{program.name}_reconstruction.npy", program.image(reconstruction))
            reply(seconds=seconds, peak_mb=largest_mb() - imported_mb)
