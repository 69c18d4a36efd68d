"""One study on the bench: what the page shows of it, and what a nudged pose does to the picture of the heart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.assessment.mismatch import mismatch_percent, myocardium
from mureg.assessment.move import Move
from mureg.errors import MuregError, UsageError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.heart.find import HeartLocation
from mureg.heart.polar import polar_map
from mureg.io import read_study
from mureg.io.nifti import read_nifti
from mureg.pipeline import StudySettings, prepare
from mureg.recon import Osem
from mureg.recon.images import corrected_at
from mureg.registration import PoseByHand
from mureg.report.conclusion import move_words
from mureg.report.pictures.chest import brightest_in_heart, smoothed
from mureg.service.review.settings import settings_of
from mureg.service.review.studies import ReviewStudy
from mureg.study import PreparedStudy, Study

WHITE_PER_CM = 0.25
"""Attenuation that is sent as the largest number, 1/cm: above soft tissue (0.15) and ribs; chosen."""
UNKNOWN = 255
"""Stands for voxels that the CT does not reach."""
_QUICK_ITERATIONS = 2
"""Of the picture while the map is being moved; the result that is written uses all of them. Chosen for its time."""
_KEPT = 6
"""Poses whose images are kept, for undo and redo: 1 MB each."""


class StaleRequestError(UsageError):
    """A newer pose was asked for meanwhile, so that nobody waits for this answer."""


@dataclass(frozen=True)
class SentVolume:
    """A volume as the browser takes it.

    Attributes:
        values: bytes, x fastest, then y, then z.
        grid: where the voxels lie, LPS+ mm; of the map in CT space.
        window: value that stands for the largest number.
    """

    values: bytes
    grid: Grid
    window: float

    def header(self) -> dict[str, Any]:
        """What the script needs to place it."""
        return {"shape": list(self.grid.shape), "affine": self.grid.affine.tolist(), "window": self.window}


class Bench:
    """What is worked out for one study. One pose at a time; of those that wait only the newest is worked on."""

    def __init__(self, study: ReviewStudy) -> None:
        self.study = study
        self._lock, self._newest = Lock(), 0
        self._prepared: tuple[PreparedStudy, Study] | None = None
        self._known: dict[bytes, tuple[Volume, float | None]] = {}

    def spect(self) -> SentVolume:
        """The uncorrected SPECT after the display filter, up to the brightest place of the heart."""
        image = read_nifti(self.study.folder / "spect_nac.nii.gz", "spect")
        return _sent_spect(image, self.study.heart_mm)

    def map(self, *, at_once: bool = False) -> SentVolume:
        """The map that moves: of the body in CT space where the CT is at hand, else on the SPECT grid.

        Args:
            at_once: do not wait until the CT is read; the coarser map on the SPECT grid is at hand.
        """
        if self.study.inputs is None or (at_once and self._prepared is None):
            mu = read_nifti(self.study.folder / "mu_header.nii.gz", "mu")
        else:
            with self._lock:
                mu = self.prepared()[0].body
        share = np.clip(np.asarray(mu) / WHITE_PER_CM, 0.0, 1.0)
        values = np.rint((UNKNOWN - 1) * share).astype(np.uint8)
        if mu.outside is not None:
            values[mu.outside] = UNKNOWN
        return SentVolume(values.tobytes("F"), mu.grid, WHITE_PER_CM * UNKNOWN / (UNKNOWN - 1))

    def prepared(self) -> tuple[PreparedStudy, Study]:
        """The study, read and prepared once.

        Raises:
            UsageError: its files are not known, or are not those of the result.
        """
        if self._prepared is None:
            inputs = self.study.inputs
            if inputs is None:
                raise UsageError(
                    "a result whose SPECT and CT are not known", "their places", "give --studies, or --spect and --ct"
                )
            study = read_study(
                inputs.spect,
                ct=inputs.ct,
                mu=inputs.mu,
                spect_series=inputs.spect_series,
                ct_series=inputs.ct_series,
                allow_corrected_spect=True,  # what was accepted for the result; its warnings stay
                allow_derived=True,
            )
            self._refuse_other(study)
            quick = self._quick()
            prepared = prepare(study, quick, allow_different_patients=True)
            self._prepared = prepared, study
        return self._prepared

    def at_pose(self, pose: RigidTransform, ticket: int | None = None) -> dict[str, Any]:
        """What a pose does to the heart: segments, mismatch index, the corrected image; in few iterations.

        Args:
            pose: ``ct_from_spect``.
            ticket: from `newest`; None where the answer is wanted in any case.

        Raises:
            StaleRequestError: a newer pose was asked for.
        """
        with self._lock:
            self._refuse_stale(ticket)
            scanner, found = (self._corrected(each) for each in (RigidTransform.identity(), self.study.found))
            self._refuse_stale(ticket)
            own = self._corrected(pose)
        answer: dict[str, Any] = {"mismatch": {"scanner": scanner[1], "found": found[1], "own": own[1]}}
        image = _sent_spect(own[0], self.study.heart_mm)
        answer["segments"] = self._segments({"scanner": scanner[0], "found": found[0], "own": own[0]})
        return answer | {"image": image}

    def newest(self) -> int:
        """Announce a pose: earlier ones that still wait are given up."""
        self._newest += 1
        return self._newest

    def words(self, pose: RigidTransform) -> dict[str, Any]:
        """The move of a pose at the heart, in words and numbers."""
        move = Move.of(pose, self.study.heart_mm)
        grid = read_nifti(self.study.folder / "spect_nac.nii.gz", "spect").grid
        return {"words": move_words(move, grid), "rms_mm": move.rms_mm, "mean_mm": list(move.mean_mm)}

    def _refuse_stale(self, ticket: int | None) -> None:
        if ticket is not None and ticket != self._newest:
            raise StaleRequestError("a pose that is no longer the newest", "the newest", "ask again")

    def _refuse_other(self, study: Study) -> None:
        """The files must be those that the result was made from."""
        sources = (self.study.table.get("provenance") or {}).get("sources") or []
        stored = {source["kind"]: source["sha256"] for source in sources}
        for source in study.sources:
            if stored.get(source.kind, source.sha256) != source.sha256:
                raise UsageError(
                    f"a {source.kind.upper()} that is not the one of the result {self.study.name}",
                    "the files that it was made from",
                    "correct the list of studies",
                )

    def _quick(self) -> StudySettings:
        settings = settings_of(self.study.table, PoseByHand())
        reconstructor = settings.reconstructor
        if isinstance(reconstructor, Osem):
            fewer = min(_QUICK_ITERATIONS, reconstructor.iterations)
            settings = replace(settings, reconstructor=replace(reconstructor, iterations=fewer))
        return settings

    def _corrected(self, pose: RigidTransform) -> tuple[Volume, float | None]:
        """The image corrected with the map at a pose, and the mismatch index there."""
        key = pose.matrix.tobytes()
        if key not in self._known:
            prepared, _ = self.prepared()
            settings = self._quick()
            if prepared.acquisition is None:
                raise UsageError("a reconstructed SPECT", "projections", "only the map can be moved")
            image, _ = corrected_at(
                pose, prepared.acquisition, prepared.maps, prepared.outline, settings.reconstructor, settings.physics
            )
            mu = prepared.maps.on_spect(image.grid, pose, prepared.outline)
            ventricle = self.study.ventricle
            index = None if ventricle is None else mismatch_percent(myocardium(image, ventricle), mu)
            kept = list(self._known.items())[-_KEPT:]
            self._known = {**dict(kept), key: (image, index)}
        return self._known[key]

    def _segments(self, images: dict[str, Volume]) -> dict[str, list[float]] | None:
        ventricle = self.study.ventricle
        if ventricle is None:
            return None
        shown = {"uncorrected": self.prepared()[0].uncorrected} | images
        try:
            maps = {name: polar_map(image, ventricle) for name, image in shown.items()}
        except MuregError:
            return None
        return {name: [round(float(value), 2) for value in polar.relative] for name, polar in maps.items()}


def _sent_spect(image: Volume, heart_mm: tuple[float, float, float]) -> SentVolume:
    shown = smoothed(image)
    bright = brightest_in_heart(shown, HeartLocation(heart_mm, 1.0))
    values: npt.NDArray[np.uint8] = np.rint(255.0 * np.clip(np.asarray(shown) / bright, 0.0, 1.0)).astype(np.uint8)
    return SentVolume(values.tobytes("F"), shown.grid, bright)
