"""The path of one study, straight down one page: prepare, register, reconstruct, assess."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import mureg
from mureg.assessment.assess import assess
from mureg.assessment.data_checks import data_notes, refuse_without_lung
from mureg.assessment.identity import require_one_patient
from mureg.assessment.perfusion import HandAxis
from mureg.assessment.result import Assessment, Examination, MapAtPose, Provenance, Settings
from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.body import emission_outline
from mureg.attenuation.maps import AttenuationMap, AttenuationMaps
from mureg.errors import RefusedError, UsageError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.heart.find import find_left_ventricle
from mureg.notes import Note, Rank, by_rank
from mureg.recon import Osem, Reconstructor
from mureg.recon.catalogue import RECONSTRUCTION_CATALOGUE
from mureg.registration import NearHeart, Registrar, Registration
from mureg.registration.base import refuse_overlap
from mureg.registration.catalogue import REGISTRAR_CATALOGUE
from mureg.spect import Acquisition, Physics
from mureg.spect.physics import WITHOUT
from mureg.study import Ct, Study

Progress = Callable[[str], None]
Notes = tuple[str, ...]


def run(
    study: Study,
    registrar: Registrar = NearHeart(),  # noqa: B008 (frozen settings)
    reconstructor: Reconstructor = Osem(),  # noqa: B008
    physics: Physics = Physics(),  # noqa: B008
    attenuation: AttenuationMap = AttenuationMap(),  # noqa: B008
    limits: Thresholds = Thresholds(),  # noqa: B008
    *,
    correct: bool = True,
    axis: HandAxis | None = None,
    seek_axis: bool = True,
    allow_different_patients: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Assessment:
    """Register the attenuation map of a study to its SPECT, reconstruct, and decide: the one answer to a study.

    Args:
        study: one visit.
        registrar: how to find the pose; mutual information and networks at the heart by default.
        reconstructor: how to reconstruct; OSEM, 12 iterations of 10 subsets, by default.
        physics: which effects of the camera the corrected reconstruction models.
        attenuation: how the map is made from the CT, and what stands where the CT does not reach.
        limits: of the decision.
        correct: reconstruct with the map as well; otherwise stop after the registration.
        axis: long axis of the left ventricle by hand: a point near its middle (mm) and the direction from base to apex,
            LPS+ in SPECT space.
        seek_axis: look for the axis where it is not given; without one there are no polar maps.
        allow_different_patients: let a SPECT and a CT through whose headers name two patients (phantoms).
        device: where reconstructions run.
        progress: receives the name of each step as it begins.

    Raises:
        RefusedError: two patients, no counts, a map that is not of a chest, no overlap, or no pose that can be trusted.
    """
    clock = _Clock(progress)
    identity_notes = require_one_patient(
        study.spect_patient, study.attenuation_patient, allow_different=allow_different_patients
    )
    acquisition = study.spect.to(device) if isinstance(study.spect, Acquisition) else None

    clock.begin("uncorrected SPECT")
    uncorrected = _uncorrected(study.spect, acquisition, reconstructor)

    clock.begin("attenuation map")
    grid, outline = uncorrected.grid, emission_outline(uncorrected)
    maps, map_notes = attenuation_maps(study.attenuation, grid, attenuation)
    refuse_without_lung(maps, _least_lung_ml(study, limits))

    clock.begin("registration")
    registration = registrar.register(uncorrected, maps.body, acquisition, maps)

    notes: Notes = (*identity_notes, *study.notes, *_acquisition_notes(study.spect, correct), *map_notes)
    poses = RigidTransform.identity(), registration.ct_from_spect
    at: dict[RigidTransform, MapAtPose] = {}
    for pose in dict.fromkeys(poses):
        image = None
        if correct and acquisition is not None:
            clock.begin("corrected SPECT")
            image, physics_notes = corrected_at(pose, acquisition, maps, outline, reconstructor, physics)
            notes = (*notes, *physics_notes)
        at[pose] = MapAtPose(pose, maps.on_spect(grid, pose, outline), image)
    header, found = (at[pose] for pose in poses)

    clock.begin("decision")
    provenance = Provenance(
        versions(),
        {
            "registrar": _settings(registrar),
            "reconstructor": _settings(reconstructor),
            "physics": asdict(physics),
            "attenuation": asdict(attenuation),
        },
        study.sources,
        clock.seconds,
        str(device),
        registration.weights_sha256,
    )
    examination = Examination(
        study, registration, uncorrected, header, found, maps, outline, tuple(dict.fromkeys(notes)), provenance
    )
    assessment = assess(examination, limits, axis=axis, seek_axis=seek_axis)
    clock.end()
    return assessment


def register(
    spect: Acquisition | Volume,
    attenuation: Ct | Volume,
    registrar: Registrar = NearHeart(),  # noqa: B008
) -> Registration:
    """Find ``ct_from_spect`` and nothing else: the pose found, whatever `run` would decide about giving it out.

    Args:
        spect: projections, or an uncorrected reconstruction.
        attenuation: a CT, or an attenuation map in 1/cm.
        registrar: mutual information and a network at the heart by default.
    """
    return run(Study(spect, attenuation), registrar, correct=False).registration


def reconstruct(
    acquisition: Acquisition,
    mu: Volume | None = None,
    reconstructor: Reconstructor = Osem(),  # noqa: B008
    physics: Physics = Physics(),  # noqa: B008
) -> Volume:
    """Reconstruct projections, with attenuation correction where a map is given.

    Args:
        acquisition: the projections; their device is used.
        mu: attenuation map in 1/cm on any grid in SPECT space, already registered.
        reconstructor: OSEM, 12 iterations of 10 subsets, by default.
        physics: which other effects to model.

    Returns:
        Activity on `acquisition.grid()`, in main memory.
    """
    return reconstruct_and_say(acquisition, mu, reconstructor, physics)[0]


def reconstruct_and_say(
    acquisition: Acquisition, mu: Volume | None, reconstructor: Reconstructor, physics: Physics
) -> tuple[Volume, tuple[str, ...]]:
    """`reconstruct`, and what had to be assumed about the camera, one sentence each."""
    grid = acquisition.grid()
    on_grid = None if mu is None else mu if _fits(mu.grid, grid) else finer_than(mu, grid).resampled(onto=grid)
    system, notes = physics.system(acquisition, on_grid)
    return reconstructor.reconstruct(acquisition, system).to("cpu"), notes


def reconstruct_at(
    study: Study,
    ct_from_spect: RigidTransform,
    reconstructor: Reconstructor = Osem(),  # noqa: B008
    physics: Physics = Physics(),  # noqa: B008
    attenuation: AttenuationMap = AttenuationMap(),  # noqa: B008
    limits: Thresholds = Thresholds(),  # noqa: B008
    *,
    allow_different_patients: bool = False,
) -> tuple[Volume, tuple[Note, ...]]:
    """Reconstruct a study with its map at a pose that is known, under the safety checks and with the warnings of `run`.

    Args:
        study: with projections; their device is used.
        ct_from_spect: where the map belongs; identity for the scanner position.
        reconstructor, physics, attenuation, limits, allow_different_patients: see `run`.

    Returns:
        Activity in main memory, and notes by rank.

    Raises:
        UsageError: a study without projections.
        RefusedError: two patients, no counts, a map that is not of a chest, or no overlap at this pose.
    """
    if not isinstance(study.spect, Acquisition):
        raise UsageError("a reconstructed SPECT volume", "projections", "give the acquisition")
    identity_notes = require_one_patient(
        study.spect_patient, study.attenuation_patient, allow_different=allow_different_patients
    )
    uncorrected = _uncorrected(study.spect, study.spect, reconstructor)
    maps, map_notes = attenuation_maps(study.attenuation, uncorrected.grid, attenuation)
    refuse_without_lung(maps, _least_lung_ml(study, limits))
    refuse_overlap(uncorrected, maps.body, ct_from_spect, "at the pose given")
    outline = emission_outline(uncorrected)
    image, physics_notes = corrected_at(ct_from_spect, study.spect, maps, outline, reconstructor, physics)
    mu = maps.on_spect(uncorrected.grid, ct_from_spect, outline)
    heart = find_left_ventricle(image, mu)
    at = MapAtPose(ct_from_spect, mu, image)
    checks = data_notes(study, uncorrected, maps, outline, at, heart.centre_mm, limits)
    return image, by_rank((*identity_notes, *study.notes, *study.spect.notes, *map_notes, *physics_notes, *checks))


def corrected_at(
    ct_from_spect: RigidTransform,
    acquisition: Acquisition,
    maps: AttenuationMaps,
    outline: Volume,
    reconstructor: Reconstructor,
    physics: Physics,
) -> tuple[Volume, tuple[str, ...]]:
    """The SPECT corrected with the map at a pose, and what had to be assumed; `outline` as for `AttenuationMaps`."""
    # what lies beside the emission field absorbs as well
    grid = maps.attenuation_grid(acquisition.grid(), ct_from_spect)
    return reconstruct_and_say(acquisition, maps.on_spect(grid, ct_from_spect, outline), reconstructor, physics)


def attenuation_maps(
    attenuation: Ct | Volume,
    grid: Grid,
    settings: AttenuationMap = AttenuationMap(),  # noqa: B008
) -> tuple[AttenuationMaps, tuple[str, ...]]:
    """Body and table of a CT or ready map, averaged to half the voxels of `grid`, and every guess in a sentence.

    Raises `UnitsError` for a CT whose air and soft tissue do not lie where those of a chest in HU must.
    """
    notes: tuple[str, ...] = ()
    if isinstance(attenuation, Ct):
        attenuation = attenuation.with_scale_checked()
        conversion, note = attenuation.conversion()
        maps = settings.prepare(attenuation.volume, conversion)
        notes = (*attenuation.notes, *([note] if note else []))
    else:
        maps = settings.prepare(attenuation)
    return maps.coarsened(min(grid.spacing_mm) / 2), (*notes, *maps.notes)


def finer_than(mu: Volume, grid: Grid) -> Volume:
    """Average a fine map to about half the voxels of `grid`, so that sampling it there does not pick single voxels."""
    return mu.coarsened(min(grid.spacing_mm) / 2)


def _fits(mu: Grid, grid: Grid) -> bool:
    """Whether a map can be used as it is: on the emission grid, or on a wider one with the same slices."""
    alike = mu.along_patient_axes and np.allclose(mu.spacing_mm, grid.spacing_mm, rtol=1e-6)
    return alike and mu.shape[2] == grid.shape[2] and abs(mu.centre_mm[2] - grid.centre_mm[2]) < 1e-6


def versions() -> dict[str, str]:
    """Versions of what takes part in every result."""
    return {
        "mureg": mureg.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _settings(algorithm: Registrar | Reconstructor) -> Settings:
    """The settings of an algorithm; a path by its file's name alone, for where it lies tells of a machine."""
    catalogue = REGISTRAR_CATALOGUE if isinstance(algorithm, Registrar) else RECONSTRUCTION_CATALOGUE
    table = catalogue.table_of(algorithm)
    return {name: value.name if isinstance(value, Path) else value for name, value in table.items()}


def _uncorrected(spect: Acquisition | Volume, acquisition: Acquisition | None, reconstructor: Reconstructor) -> Volume:
    if acquisition is None:
        assert isinstance(spect, Volume)
        return spect
    if float(acquisition.photopeak_counts.sum()) == 0.0:
        raise RefusedError(
            "the photopeak window holds no counts",
            "projections of an emission study",
            "check that the right series was given",
        )
    return reconstruct(acquisition, None, reconstructor, WITHOUT)


def _least_lung_ml(study: Study, limits: Thresholds) -> float:
    """Of a chest; a test object has none."""
    return 0.0 if isinstance(study.attenuation, Ct) and study.attenuation.phantom else limits.least_lung_ml


def _acquisition_notes(spect: Acquisition | Volume, correct: bool) -> Notes:
    if isinstance(spect, Acquisition):
        return spect.notes
    if not correct:
        return ()
    sentence = "no corrected reconstruction: it needs projections, and a reconstructed SPECT volume was given"
    return (Note(sentence, Rank.RECORD),)


class _Clock:
    """Seconds spent in each step."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress, self._step, self._since = progress, "", 0.0

    def begin(self, step: str) -> None:
        self.end()
        self._step, self._since = step, time.perf_counter()
        if self._progress is not None:
            self._progress(step)

    def end(self) -> None:
        if self._step:
            spent = time.perf_counter() - self._since
            self.seconds[self._step] = round(self.seconds.get(self._step, 0.0) + spent, 3)
