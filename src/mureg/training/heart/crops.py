"""Crops around the heart: drawn at a case, stored in one file a case, read back as examples, divided by patient.

A crop is what the registrar near-heart shows its networks: both images on a lattice around the ventricle, the map
through a start pose. It is resampled from the whole CT, so that no edge gives the pose away.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mureg.errors import UnreadableInputError, UsageError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.geometry.rigid import Triple, triple
from mureg.heart.find import find_left_ventricle
from mureg.registration.inputs import InputGrid, network_inputs
from mureg.training.examples import HEART_POINTS, Examples, ball
from mureg.training.heart.recipe import CropSet
from mureg.training.heart.starts import NO_TURN

SPECT, MU, MOTION, HEART = "s", "m", "r", "h"
"""Arrays in a file of crops: [crop, x, y, z] emission divided by its mean, attenuation (1/cm); [crop, 4, 4] the motion
that is missing at the start, [crop, point, 3] points of the heart (mm), both about the middle of the crop."""

Arrays = dict[str, list[Any]]


def crops_at(
    uncorrected: Volume,
    body: Volume,
    truth: tuple[RigidTransform, npt.NDArray[np.float64]],
    chance: np.random.Generator,
    settings: CropSet,
    grid: InputGrid,
) -> Arrays:
    """See `crops_of`; `truth` is the true pose of the heart and the heart's points in SPECT space."""
    body, spect = body.coarsened(grid.spacing_mm), uncorrected.coarsened(grid.spacing_mm)
    true, points = truth
    starts = settings.starts.poses(chance, spect, body, true, triple(points.mean(0)))
    arrays: Arrays = {SPECT: [], MU: [], MOTION: [], HEART: []}
    heart = np.zeros(3)
    for draw in range(settings.per_case):
        start = next(starts)
        if draw == 0:
            heart = np.asarray(find_left_ventricle(uncorrected, body.resampled(spect.grid, start)).centre_mm)
        middle = triple(heart + settings.offset_mm * chance.standard_normal(3) * (draw > 0))
        lattice = Grid.centred(grid.shape, (grid.spacing_mm,) * 3, middle)
        emission, mu = network_inputs(spect, body, lattice, start)
        motion, heart_mm = _target(start, true, points, middle)
        for name, values in zip(arrays, (emission, mu, motion, heart_mm), strict=True):
            arrays[name].append(values)
    return arrays


def _target(
    start: RigidTransform, true: RigidTransform, points: npt.NDArray[np.float64], middle: Triple
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The motion that is missing at a start, and points of the heart, both about the middle of a crop."""
    shift, angles = (start.inverse() @ true).six(middle)
    numbers = np.linspace(0, len(points) - 1, HEART_POINTS).round().astype(int)
    return RigidTransform.from_six(shift, angles, NO_TURN).matrix, (points - middle)[numbers]


def crop_files(folder: Path) -> list[Path]:
    """The files of a crop set, by name."""
    return sorted(folder.glob("[!.]*.npz"))


def divide_by_patient(paths: Sequence[Path], every: int) -> tuple[list[Path], list[Path]]:
    """Files for training and for validation; no patient is in both.

    Args:
        paths: files of crops.
        every: of the patients, in the order of the files, number 0 and each number divisible by this validate.

    Raises:
        UsageError: fewer than two patients.
        UnreadableInputError: a damaged file.
    """
    patients = [patient_of(path) for path in paths]
    order = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
    if len(order) < 2:
        raise UsageError(
            f"crops of {len(order)} patients", "two patients or more, for training and validation", "draw more cases"
        )
    validates = [order[patient] % every == 0 for patient in patients]
    return (
        [path for path, held_out in zip(paths, validates, strict=True) if not held_out],
        [path for path, held_out in zip(paths, validates, strict=True) if held_out],
    )


def patients_in(folder: Path) -> set[str]:
    """Pseudonyms of all patients of a crop set."""
    return {patient_of(path) for path in crop_files(folder)}


def read_crops(paths: Sequence[Path], spacing_mm: float) -> Examples:
    """Every crop of every file as examples named CASE/NUMBER, for training on the motion that each crop lacks.

    Raises:
        UnreadableInputError: a damaged file.
    """
    names: list[str] = []
    patients: list[str] = []
    arrays: dict[str, list[torch.Tensor]] = {SPECT: [], MU: [], MOTION: [], HEART: []}
    digest = hashlib.sha256()
    for path in paths:
        content = _content(path)
        n = len(content[SPECT])
        names += [f"{path.stem}/{number}" for number in range(n)]
        patients += [str(content["patient"])] * n
        digest.update(path.name.encode())
        for name, values in arrays.items():
            values.append(torch.from_numpy(content[name]))
            digest.update(content[name].tobytes())
    spect, mu, motion, heart = (torch.cat(values) for values in arrays.values())
    return Examples(
        tuple(names),
        tuple(patients),
        spect.float(),
        mu.float(),
        motion.double(),
        heart.double(),
        torch.from_numpy(ball(1, 1.0)).expand(len(names), 1, 3),
        torch.zeros(len(names), dtype=torch.bool),
        spacing_mm,
        digest.hexdigest(),
    )


def patient_of(path: Path) -> str:
    """Pseudonym of the patient of a file of crops. Raises `UnreadableInputError` for a damaged file."""
    return str(_content(path, "patient")["patient"])


def _content(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a file of crops, all or those named."""
    with reading(path, "file of crops", "remove it and draw its crops again") as archive:
        return {name: archive[name] for name in names or (SPECT, MU, MOTION, HEART, "patient")}


@contextmanager
def reading(path: Path, what: str, remedy: str) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """The arrays of a file.

    Raises:
        UnreadableInputError: damaged, also where the block finds that; names `what` it should be, and the `remedy`.
    """
    try:
        with path.open("rb") as file, np.load(file) as archive:
            yield archive
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise UnreadableInputError(f"{path.name} is no {what}", "the file as mureg wrote it", remedy) from problem
