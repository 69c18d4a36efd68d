"""Cases that cost nothing to make: every field filled, no physics. Importable by fresh processes."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mureg.cohort.settings import CohortSettings, load_settings
from mureg.cohort.simulation import case_name
from mureg.errors import GeometryError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.jobs.cores import thread_count
from mureg.spect import Acquisition, EnergyWindow
from mureg.study import Case, Ct, Source, Study, Truth

FRAME = "1.2.3.4"
N_VIEWS, N = 12, 16
PIXEL_MM = 6.8


def small_case(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Case:
    """A case with the right shapes and random content; two cases in a row share a patient."""
    chance = np.random.default_rng([settings.seed, index])
    centre_mm = (3.0, -2.0, 11.0)
    counts = chance.poisson(40.0, (2, N_VIEWS, N, N)).astype(np.float32)
    acquisition = Acquisition(
        counts,
        (EnergyWindow(126.5, 154.5, "Tc99m"), EnergyWindow(114.0, 126.0, "scatter")),
        0,
        (225.0 - 15.0 * np.arange(N_VIEWS)) % 360.0,
        (PIXEL_MM, PIXEL_MM),
        centre_mm,
        200.0 + 30.0 * np.round(chance.random(N_VIEWS), 6),
        seconds_per_view=20.0,
        collimator="LEHR",
        nuclide="Tc-99m",
        patient_position="HFS",
        frame_of_reference=FRAME,
        notes=('said "so"',),
        manufacturer="GE MEDICAL SYSTEMS",
    )
    grid = acquisition.grid()
    ct_grid = Grid.centred((20, 18, 14), (5.5, 5.5, 7.25), (1.0, 2.0, 5.0), FRAME)
    hounsfield = chance.normal(0.0, 300.0, ct_grid.shape).round(1)
    outside = np.zeros(ct_grid.shape, dtype=bool)
    outside[:, :, 0], outside[0, 3, 5] = True, True
    ct = Ct(
        Volume.from_numpy(hounsfield, ct_grid, Quantity.HU, outside),
        "GE MEDICAL SYSTEMS",
        "Discovery NM/CT 670",
        120.0,
        ("a note",),
    )
    ct_from_spect = RigidTransform.from_six(chance.uniform(-20, 20, 3), chance.uniform(-5, 5, 3), centre_mm)
    points = chance.normal(0.0, 30.0, (25, 3))
    images = (Volume.from_numpy(size * chance.random(grid.shape), grid, quantity) for size, quantity in _TRUE)
    truth = Truth(
        ct_from_spect,
        centre_mm,
        points,
        ct_from_spect.apply(points) + chance.normal(0.0, 1.0, (25, 3)),
        *images,
        chance.random(counts.shape).astype(np.float32) * 30.0,
    )
    sources = (Source("ct", 3, "ab" * 32),)
    return Case(
        case_name(settings, index),
        Study(acquisition, ct, f"patient-{index // 2:04d}", sources, ("of the study",)),
        Volume.from_numpy(chance.random(grid.shape), grid, Quantity.ACTIVITY),
        truth,
        {
            "shift_mm": float(chance.normal()),
            "views": N_VIEWS,
            "state": ("rest", "stress")[index % 2],
            "moved": index > 3,
        },
        {"mureg": "x", "seed": settings.seed, "index": index},
    )


_TRUE = ((0.2, Quantity.MU_PER_CM), (2.0, Quantity.ACTIVITY), (1.0, Quantity.ACTIVITY))


def slow_case(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Case:
    """`small_case` after a while, so that there is something to interrupt."""
    time.sleep(0.4)
    return small_case(settings, index)


def case_with_failures(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Case:
    """`small_case`, but the third is refused and the sixth goes wrong."""
    if index == 2:
        raise GeometryError("a heart outside the field", "a heart in the field", "draw another body")
    if index == 5:
        raise ZeroDivisionError("by nothing")
    return small_case(settings, index)


def case_that_kills(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Case:
    """`small_case`, but the fourth takes its process with it, as when memory runs out."""
    if index == 3:
        os.kill(os.getpid(), 9)
    return small_case(settings, index)


def case_that_kills_once(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Case:
    """`small_case`, but the first process that begins the fourth dies; a file in `ct_folder` remembers."""
    assert ct_folder is not None
    mark = ct_folder / "died"
    if index == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return small_case(settings, index)


def one_thread_case(settings: CohortSettings, index: int, ct_folder: Path | None = None) -> Case:
    """`small_case` that insists on one thread."""
    assert thread_count() == 1
    assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
    return small_case(settings, index)


def small_settings(**changes) -> CohortSettings:
    """Settings of a cohort named small."""
    return replace(load_settings("easy"), name="small", **changes)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
