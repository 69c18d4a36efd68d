"""The path of one study, straight down one page: prepare, register, reconstruct, assess."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import scipy

import mureg
from mureg.assessment.assess import assess
from mureg.assessment.data_checks import data_notes, refuse_without_lung
from mureg.assessment.identity import require_one_patient
from mureg.assessment.perfusion import HandAxis
from mureg.assessment.result import Assessment, Examination, MapAtPose, Provenance, Settings
from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMap
from mureg.errors import RefusedError, UsageError
from mureg.geometry import RigidTransform, Volume
from mureg.heart.find import find_left_ventricle
from mureg.jobs.threads import beside
from mureg.notes import Note, Rank, by_rank
from mureg.recon import Osem, Reconstructor
from mureg.recon.catalogue import RECONSTRUCTION_CATALOGUE
from mureg.recon.images import reconstruct, reconstruct_and_say, wide_map
from mureg.registration import Combination, Registrar, Registration
from mureg.registration.base import Preloading, refuse_overlap
from mureg.registration.catalogue import REGISTRAR_CATALOGUE
from mureg.spect import Acquisition, Physics
from mureg.spect.physics import WITHOUT
from mureg.study import Ct, PreparedStudy, Study, attenuation_maps

Progress = Callable[[str], None]
Notes = tuple[str, ...]

_NO_PROJECTIONS = Note(
    "no corrected reconstruction: it needs projections, and a reconstructed SPECT volume was given", Rank.RECORD
)
_WHERE_USED = ("SimpleITK", "onnxruntime", "torch")


@dataclass(frozen=True)
class StudySettings:
    """Algorithms and limits with which a study is examined.

    Attributes:
        registrar: finds the pose; mutual information and networks at the heart by default.
        reconstructor: OSEM, 12 iterations of 10 subsets, by default.
        physics: effects of the camera that the corrected reconstruction models.
        attenuation: how the map is made from the CT, and what stands where the CT does not reach.
        limits: of the decision.
    """

    registrar: Registrar = field(default_factory=Combination)
    reconstructor: Reconstructor = field(default_factory=Osem)
    physics: Physics = field(default_factory=Physics)
    attenuation: AttenuationMap = field(default_factory=AttenuationMap)
    limits: Thresholds = field(default_factory=Thresholds)


def prepare(
    study: Study,
    settings: StudySettings = StudySettings(),
    *,
    uncorrected: Volume | None = None,
    allow_different_patients: bool = False,
    progress: Progress | None = None,
) -> PreparedStudy:
    """Make what registration and assessment need of a study: uncorrected SPECT, attenuation maps, emission outline.

    Args:
        study: one visit.
        settings: the reconstructor, the attenuation map and the limits are used.
        uncorrected: the projections reconstructed without a map, where that is done already.
        allow_different_patients: let a SPECT and a CT through whose headers name two patients (phantoms).
        progress: receives the name of each step as it begins.

    Raises:
        RefusedError: two patients, no counts, or a map that is not of a chest.
    """
    begin = progress or _ignore_step
    identity_notes = require_one_patient(
        study.spect_patient,
        study.attenuation_patient,
        given=study.attenuation_name,
        allow_different=allow_different_patients,
    )
    acquisition = study.spect if isinstance(study.spect, Acquisition) else None
    begin("uncorrected SPECT and attenuation map")
    making = _uncorrected(study.spect if uncorrected is None else uncorrected, settings.reconstructor)
    grid = acquisition.grid() if uncorrected is None and acquisition is not None else making().grid
    maps, map_notes = attenuation_maps(study.attenuation, grid, settings.attenuation)
    image = making()
    refuse_without_lung(maps, _least_lung_ml(study, settings.limits))
    own_notes = () if acquisition is None else acquisition.notes
    return PreparedStudy(image, maps, acquisition, (*identity_notes, *study.notes, *own_notes, *map_notes))


def examine(
    study: Study,
    settings: StudySettings = StudySettings(),
    *,
    correct: bool = True,
    axis: HandAxis | None = None,
    seek_axis: bool = True,
    allow_different_patients: bool = False,
    progress: Progress | None = None,
) -> Assessment:
    """Register the attenuation map of a study to its SPECT, reconstruct, and decide: the one answer to a study.

    Args:
        study: one visit.
        settings: algorithms and limits.
        correct: reconstruct with the map as well; otherwise stop after the registration.
        axis: long axis of the left ventricle by hand: a point near its middle (mm) and the direction from base to apex,
            LPS+ in SPECT space.
        seek_axis: find the axis if it is not given; without one there are no polar maps.
        allow_different_patients, progress: see `prepare`.

    Raises:
        RefusedError: two patients, no counts, a map that is not of a chest, no overlap, or no pose that can be trusted.
    """
    clock = _Clock(progress)
    registrar = settings.registrar
    preload = beside(registrar.preload) if isinstance(registrar, Preloading) else None
    prepared = prepare(study, settings, allow_different_patients=allow_different_patients, progress=clock.begin)
    notes = prepared.notes if prepared.acquisition is not None or not correct else (*prepared.notes, _NO_PROJECTIONS)
    correct = correct and prepared.acquisition is not None
    at_pose = partial(_at_pose, prepared, settings, correct)
    clock.begin("registration")
    # neither the image at the scanner position nor the vertebrae depend on the registration
    at_scanner = beside(lambda: at_pose(RigidTransform.identity()))
    vertebrae = beside(lambda: prepared.vertebrae)
    if preload is not None:
        preload()
    registration = registrar.register(prepared)
    if correct:
        clock.begin("corrected SPECT")
    pose = registration.ct_from_spect
    registered, registered_notes = at_pose(pose) if pose != RigidTransform.identity() else at_scanner()
    header, header_notes = at_scanner()
    notes = (*notes, *header_notes, *registered_notes)

    clock.begin("decision")
    vertebrae()  # kept for the decision
    provenance = Provenance(
        versions(),
        {
            "registrar": recorded_settings(settings.registrar),
            "reconstructor": recorded_settings(settings.reconstructor),
            "physics": asdict(settings.physics),
            "attenuation": asdict(settings.attenuation),
        },
        study.sources,
        clock.seconds,
        registration.weights_sha256,
        study.is_phantom,
    )
    examination = Examination(
        study, prepared, registration, header, registered, tuple(dict.fromkeys(notes)), provenance
    )
    assessment = assess(examination, settings.limits, axis=axis, seek_axis=seek_axis)
    clock.end()
    return assessment


def register(
    spect: Acquisition | Volume,
    attenuation: Ct | Volume,
    registrar: Registrar = Combination(),  # noqa: B008
) -> Registration:
    """Find ``ct_from_spect`` and nothing else: the pose found, whatever `examine` would decide about giving it out.

    Args:
        spect: projections, or an uncorrected reconstruction.
        attenuation: a CT, or an attenuation map in 1/cm.
        registrar: networks at the heart, gradient fields and the likelihood of the projections by default.
    """
    return registrar.register(prepare(Study(spect, attenuation), StudySettings(registrar)))


def reconstruct_at(
    study: Study,
    ct_from_spect: RigidTransform,
    settings: StudySettings = StudySettings(),
    *,
    allow_different_patients: bool = False,
) -> tuple[Volume, tuple[Note, ...]]:
    """Reconstruct a study with its map at a pose that is known, under the safety checks and warnings of `examine`.

    Args:
        study: with projections.
        ct_from_spect: where the map belongs; identity for the scanner position.
        settings: the registrar is not used.
        allow_different_patients: see `prepare`.

    Returns:
        Activity, and notes by rank.

    Raises:
        UsageError: a study without projections.
        RefusedError: two patients, no counts, a map that is not of a chest, or no overlap at this pose.
    """
    if not isinstance(study.spect, Acquisition):
        raise UsageError("a reconstructed SPECT volume", "projections", "give the acquisition")
    prepared = prepare(study, settings, allow_different_patients=allow_different_patients)
    refuse_overlap(prepared.uncorrected, prepared.body, ct_from_spect, "at the pose given")
    at, physics_notes = _at_pose(prepared, settings, True, ct_from_spect)
    assert at.spect is not None
    heart = find_left_ventricle(at.spect, at.mu)
    registered = not np.allclose(ct_from_spect.matrix, np.eye(4))
    checks = data_notes(study, prepared, at, heart.centre_mm, settings.limits, registered=registered)
    return at.spect, by_rank((*prepared.notes, *physics_notes, *checks))


def _at_pose(
    prepared: PreparedStudy, settings: StudySettings, correct: bool, pose: RigidTransform
) -> tuple[MapAtPose, Notes]:
    """The map at a pose and, where it is wanted, the image corrected with it; and what had to be assumed for that."""
    emission = prepared.uncorrected.grid
    if not correct:
        return MapAtPose(pose, prepared.maps.on_spect(emission, pose, prepared.outline)), ()
    acquisition = prepared.acquisition
    assert acquisition is not None
    mu = wide_map(pose, acquisition, prepared.maps, prepared.outline)
    image, notes = reconstruct_and_say(acquisition, mu, settings.reconstructor, settings.physics)
    if emission == image.grid:
        return MapAtPose(pose, mu.part(emission), image), notes
    return MapAtPose(pose, prepared.maps.on_spect(emission, pose, prepared.outline), image), notes


def versions() -> dict[str, str]:
    """Versions of what took part in a result: the libraries that every one needs, and others where they are loaded."""
    modules = {name: sys.modules[name] for name in _WHERE_USED if name in sys.modules}
    return {
        "mureg": mureg.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        **{name: str(module.__version__) for name, module in modules.items()},
    }


def recorded_settings(algorithm: Registrar | Reconstructor) -> Settings:
    """The settings of an algorithm; a path by its file's name alone, for where it lies tells of a machine."""
    catalogue = REGISTRAR_CATALOGUE if isinstance(algorithm, Registrar) else RECONSTRUCTION_CATALOGUE
    table = catalogue.table_of(algorithm)
    return {name: value.name if isinstance(value, Path) else value for name, value in table.items()}


def _uncorrected(spect: Acquisition | Volume, reconstructor: Reconstructor) -> Callable[[], Volume]:
    """What waits for the uncorrected image, which is made in a thread of its own."""
    if isinstance(spect, Volume):
        return lambda: spect
    if float(spect.photopeak_counts.sum()) == 0.0:
        raise RefusedError(
            "the photopeak window holds no counts",
            "projections of an emission study",
            "check that the right series was given",
        )
    return beside(lambda: reconstruct(spect, None, reconstructor, WITHOUT))


def _least_lung_ml(study: Study, limits: Thresholds) -> float:
    """Smallest lung volume of a chest, ml; none is required of a test object."""
    return 0.0 if study.is_phantom else limits.least_lung_ml


def _ignore_step(_step: str) -> None:
    """Discard the progress."""


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
