"""Training cases without what training does not need: an emission, several CTs of it, the true poses.

A case has the uncorrected image, its outline, the map of the body in each CT, and where the heart lies in all of them;
no projections, no HU and no corrected image. One compressed file a case, images in half precision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.cohort.anatomies import patient_name
from mureg.cohort.exposure import draw, exposure, generator
from mureg.cohort.other_cts import other_ct
from mureg.cohort.settings import CohortSettings
from mureg.cohort.simulation import acquired, as_seen, drawn_facts, scanned, uncorrected_of
from mureg.errors import UsageError
from mureg.files.atomic import writing
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.registration.inputs import InputGrid
from mureg.simulate.anatomy import Points
from mureg.study import attenuation_maps
from mureg.training.heart.crops import Arrays, crops_at, reading
from mureg.training.heart.recipe import CropSet

SPACING_MM = 6.8
"""The map is averaged to about this, the voxels of a crop (`data/training/near-heart.toml`)."""
_POINTS, _LIVER_POINTS = 256, 64
"""Of the heart as many as a case of a cohort has, on which the true pose rests; fewer of the liver. Chosen."""
_LARGEST = 1000.0
"""To which an image is scaled: float16 holds up to 65504, and from 6e-5 on with all of its digits."""
_STEP_PER_CM = 2.0**-11
"""Maps are rounded to steps of 0.0005 1/cm, a third of a percent of water: they take half the space."""

Facts = dict[str, float | int | str | bool]


@dataclass(frozen=True, eq=False)
class TrainingCt:
    """One CT of an emission.

    Attributes:
        body: attenuation of the body in 1/cm, about `SPACING_MM`, over the full extent of the CT.
        ct_from_spect: true rigid motion of the heart.
        heart_points_mm: where the tissue of the emission's heart points lies in the CT [n, 3].
        liver_points_mm: the same for its liver points.
        facts: what was drawn.
    """

    body: Volume
    ct_from_spect: RigidTransform
    heart_points_mm: Points
    liver_points_mm: Points
    facts: Facts


@dataclass(frozen=True, eq=False)
class TrainingEmission:
    """One emission with its CTs.

    Attributes:
        name: see `emission_name`.
        patient: whose it is: `mureg.cohort.folds.fold_of` gives the fold.
        uncorrected: image without attenuation correction, as the program or another one made it.
        heart_points_mm, liver_points_mm: places in SPECT space, averaged over the scan [n, 3].
        axis_mm: middle of the base plane, middle, and apex of the left ventricle in SPECT space [3, 3].
        cts: of the same body.
        facts: what was drawn.
    """

    name: str
    patient: str
    uncorrected: Volume
    heart_points_mm: Points
    liver_points_mm: Points
    axis_mm: Points
    cts: tuple[TrainingCt, ...]
    facts: Facts


def simulate_emission(
    settings: CohortSettings, index: int, n_cts: int, ct_folder: Path | None = None
) -> TrainingEmission:
    """Simulate one training case; the same settings and numbers give the same case.

    Raises:
        UsageError: real CTs are asked for and not there.
        MuregError: the CT shows nothing that could be a patient.
    """
    case_draw = draw(settings, index, ct_folder)
    exposed = exposure(settings, index, ct_folder, case_draw)
    acquisition = acquired(settings, index, exposed)
    image, how = uncorrected_of(settings, index, acquisition)
    ventricle = case_draw.anatomy.ventricle
    middle, half = np.asarray(ventricle.centre_mm), np.asarray(ventricle.apex_direction) * ventricle.length_mm / 2
    hearts = case_draw.anatomy.heart_points_mm(_POINTS, generator(settings, "points", index))
    livers = case_draw.anatomy.liver_points_mm(_LIVER_POINTS, generator(settings, "liver", index))
    tissue = np.concatenate([hearts, livers, np.stack([middle - half, middle, middle + half])])
    in_spect, cts = np.empty((0, 3)), []
    for number in range(n_cts):
        ct_draw = other_ct(settings, case_draw, index, number)
        in_spect, in_ct = as_seen(exposed, tissue, ct_draw)
        body = attenuation_maps(scanned(ct_draw), image.grid)[0].body.coarsened(SPACING_MM)
        pose = RigidTransform.best_fit(in_spect[:_POINTS], in_ct[:_POINTS])
        cts.append(
            TrainingCt(body, pose, in_ct[:_POINTS], in_ct[_POINTS:-3], drawn_facts(ct_draw, exposed.scene.orbit))
        )
    counts = acquisition.counts.sum((1, 2, 3))
    facts: Facts = {**how, "counts_photopeak": int(counts[0]), "counts_scatter_window": int(counts[1])}
    facts |= case_draw.camera.facts | {"pixel_mm": acquisition.pixel_mm[0], "arc_deg": round(acquisition.arc_deg)}
    return TrainingEmission(
        emission_name(settings, index),
        patient_name(settings, index, ct_folder),
        image,
        in_spect[:_POINTS],
        in_spect[_POINTS:-3],
        in_spect[-3:],
        tuple(cts),
        facts,
    )


def emission_crops(case: TrainingEmission, seed: int, settings: CropSet, grid: InputGrid) -> Arrays:
    """Crops of a stored case, `per_case` of each CT; the same seed gives the same crops, whatever was drawn before.

    Raises:
        MuregError: the map or the pose of mutual information of a CT is refused.
    """
    parts = [
        crops_at(
            case.uncorrected,
            ct.body,
            (ct.ct_from_spect, case.heart_points_mm),
            np.random.default_rng([seed, number, *case.name.encode()]),
            settings,
            grid,
        )
        for number, ct in enumerate(case.cts)
    ]
    return {name: [crop for part in parts for crop in part[name]] for name in parts[0]}


def emission_name(settings: CohortSettings, index: int) -> str:
    """Name of a training case; unlike that of a cohort's case it holds the seed, which divides drawn torsos."""
    return f"{settings.name}-{settings.seed}-{index:06d}"


def write_emission(case: TrainingEmission, path: Path) -> None:
    """Store a case; the file appears whole or not at all.

    Raises:
        UsageError: the file exists or cannot be written.
    """
    if path.exists():
        raise UsageError(f"{path.name} exists already", "a new file", "choose another name")
    largest = max(float(np.asarray(case.uncorrected).max()), 1e-12)
    arrays: dict[str, Any] = {
        "uncorrected": (np.asarray(case.uncorrected) * (_LARGEST / largest)).astype(np.float16),
        "uncorrected.affine": case.uncorrected.grid.affine,
        "heart_points_mm": case.heart_points_mm.astype(np.float32),
        "liver_points_mm": case.liver_points_mm.astype(np.float32),
        "axis_mm": case.axis_mm,
    }
    for number, ct in enumerate(case.cts):
        arrays[f"{number}.body"] = (np.rint(np.asarray(ct.body) / _STEP_PER_CM) * _STEP_PER_CM).astype(np.float16)
        arrays[f"{number}.affine"] = ct.body.grid.affine
        if ct.body.outside is not None:
            arrays[f"{number}.outside"] = np.packbits(np.asarray(ct.body.outside))
        arrays[f"{number}.ct_from_spect"] = ct.ct_from_spect.matrix
        arrays[f"{number}.heart_points_mm"] = ct.heart_points_mm.astype(np.float32)
        arrays[f"{number}.liver_points_mm"] = ct.liver_points_mm.astype(np.float32)
    header = {"name": case.name, "patient": case.patient, "facts": case.facts, "cts": [ct.facts for ct in case.cts]}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with writing(path) as scratch, scratch.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_emission(path: Path) -> TrainingEmission:
    """Read a stored case; the image is scaled to a maximum of 1000, single precision.

    Raises:
        UnreadableInputError: a damaged file.
    """
    with _reading(path) as archive:
        arrays = {name: archive[name] for name in archive}
        header = json.loads(arrays["header"].tobytes())
        cts = tuple(_ct(arrays, number, facts) for number, facts in enumerate(header["cts"]))
        return TrainingEmission(
            header["name"],
            header["patient"],
            _volume(arrays["uncorrected"], arrays["uncorrected.affine"], Quantity.ACTIVITY),
            arrays["heart_points_mm"].astype(np.float64),
            arrays["liver_points_mm"].astype(np.float64),
            arrays["axis_mm"],
            cts,
            header["facts"],
        )


def read_patient(path: Path) -> str:
    """Whose case a file holds, without its images.

    Raises:
        UnreadableInputError: a damaged file.
    """
    with _reading(path) as archive:
        return str(json.loads(archive["header"].tobytes())["patient"])


def _reading(path: Path) -> AbstractContextManager[Mapping[str, npt.NDArray[Any]]]:
    return reading(path, "training case", "remove it and simulate it again")


def _ct(arrays: Mapping[str, npt.NDArray[Any]], number: int, facts: Facts) -> TrainingCt:
    values, bits = arrays[f"{number}.body"], arrays.get(f"{number}.outside")
    outside = None if bits is None else np.unpackbits(bits, count=values.size).reshape(values.shape).astype(np.bool_)
    return TrainingCt(
        _volume(values, arrays[f"{number}.affine"], Quantity.MU_PER_CM, outside),
        RigidTransform(arrays[f"{number}.ct_from_spect"]),
        arrays[f"{number}.heart_points_mm"].astype(np.float64),
        arrays[f"{number}.liver_points_mm"].astype(np.float64),
        facts,
    )


def _volume(
    values: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    quantity: Quantity,
    outside: npt.NDArray[np.bool_] | None = None,
) -> Volume:
    nx, ny, nz = values.shape
    return Volume.from_numpy(values, Grid((nx, ny, nz), affine), quantity, outside)
