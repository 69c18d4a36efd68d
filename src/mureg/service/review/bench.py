"""One study on the bench: what the page shows of it, and what a nudged pose does to the picture of the heart."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.assessment.move import Move
from mureg.errors import UsageError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.heart.find import HeartLocation
from mureg.io import read_study
from mureg.io.nifti import read_nifti
from mureg.pipeline import prepare
from mureg.registration import PoseByHand
from mureg.report.conclusion import move_words
from mureg.report.pictures.chest import brightest_in_heart, smoothed
from mureg.service.review.corrected import CorrectedImages, few_iterations
from mureg.service.review.drawing import MoveQuery, planes_png
from mureg.service.review.settings import settings_of
from mureg.service.review.studies import ReviewStudy
from mureg.study import PreparedStudy, Study

WHITE_PER_CM = 0.25
"""Attenuation that is sent as the largest number, 1/cm: above soft tissue (0.15) and ribs; chosen."""
UNKNOWN = 255
"""Stands for voxels that the CT does not reach."""
_WINDOWS = 64
"""Browser windows whose newest pose is remembered; a round value."""

Ticket = tuple[int, int]
"""A browser window and the number of its pose; see `Bench.newest`."""


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
        self._lock, self._preparing, self._counting = Lock(), Lock(), Lock()
        self._newest: dict[int, int] = {}
        self._prepared: tuple[PreparedStudy, Study] | None = None
        self._corrected: CorrectedImages | None = None

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
        with self._preparing:
            if self._prepared is not None:
                return self._prepared
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
                phantom=self.study.is_phantom,
                allow_corrected_spect=True,  # what was accepted for the result; its warnings stay
                allow_derived=True,
            )
            self._refuse_other(study)
            settings = few_iterations(settings_of(self.study.table, PoseByHand()))
            self._prepared = prepare(study, settings, allow_different_patients=True), study
            return self._prepared

    def at_pose(self, pose: RigidTransform, ticket: Ticket | None = None) -> dict[str, Any]:
        """What a pose does to the heart: segments, mismatch index, the corrected image; in few iterations.

        Args:
            pose: ``ct_from_spect``.
            ticket: from `newest`; None where the answer is wanted in any case.

        Raises:
            StaleRequestError: a newer pose was asked for.
        """
        with self._lock:
            self._refuse_stale(ticket)
            corrected = self._images()
            images = corrected.at(pose, lambda: self._refuse_stale(ticket))
        segments = {"uncorrected": corrected.uncorrected} | {name: made.segments for name, made in images.items()}
        return {
            "mismatch": {name: made.mismatch for name, made in images.items()},
            "segments": None if None in segments.values() else segments,
            "image": _sent_spect(images["own"].image, self.study.heart_mm),
        }

    def newest(self, tab: int = 0) -> Ticket:
        """Announce a pose: earlier ones of the same window that still wait, or are worked on, are given up."""
        with self._counting:
            number = self._newest.pop(tab, 0) + 1
            self._newest[tab] = number
            while len(self._newest) > _WINDOWS:
                del self._newest[next(iter(self._newest))]
        return tab, number

    def planes(self, move: MoveQuery) -> bytes:
        """Three planes with the map moved, as a PNG."""
        heart, folder = self.study.heart_mm, self.study.folder
        spect, mu = read_nifti(folder / "spect_nac.nii.gz", "spect"), read_nifti(folder / "mu_header.nii.gz", "mu")
        pose = move.pose(heart)
        words = f"Map moved {move_words(Move.of(pose, heart), spect.grid)}"
        return planes_png(spect, mu.resampled(mu.grid, pose), heart, move.place(heart), words)

    def words(self, pose: RigidTransform) -> dict[str, Any]:
        """The move of a pose at the heart, in words and numbers."""
        move = Move.of(pose, self.study.heart_mm)
        grid = read_nifti(self.study.folder / "spect_nac.nii.gz", "spect").grid
        return {"words": move_words(move, grid), "rms_mm": move.rms_mm, "mean_mm": list(move.mean_mm)}

    def _refuse_stale(self, ticket: Ticket | None) -> None:
        if ticket is not None and self._newest.get(ticket[0]) != ticket[1]:
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

    def _images(self) -> CorrectedImages:
        """The images of this study, with what no pose changes made once."""
        if self._corrected is None:
            compared = {"scanner": RigidTransform.identity(), "found": self.study.found}
            settings = settings_of(self.study.table, PoseByHand())
            self._corrected = CorrectedImages(self.prepared()[0], settings, self.study.ventricle, compared)
        return self._corrected


def _sent_spect(image: Volume, heart_mm: tuple[float, float, float]) -> SentVolume:
    shown = smoothed(image)
    bright = brightest_in_heart(shown, HeartLocation(heart_mm, 1.0))
    values: npt.NDArray[np.uint8] = np.rint(255.0 * np.clip(np.asarray(shown) / bright, 0.0, 1.0)).astype(np.uint8)
    return SentVolume(values.tobytes("F"), shown.grid, bright)
