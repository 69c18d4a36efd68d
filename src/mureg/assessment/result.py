"""What one run makes of a study, and what is concluded from it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mureg import RESEARCH_USE_ONLY
from mureg.assessment.move import Move
from mureg.assessment.review import Review
from mureg.assessment.thresholds import Thresholds
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.polar import PolarMap
from mureg.heart.ventricle import LeftVentricle
from mureg.notes import Note
from mureg.registration import Registration
from mureg.study import PreparedStudy, Source, Study

Decision = Literal["aligned", "moved", "review", "by-hand"]
"""No move needed; moved; to be checked; a pose set by a reader. A refusal raises `RefusedError` instead."""

Settings = dict[str, Any]


@dataclass(frozen=True)
class Provenance:
    """What made a result: enough to make it again; `phantom`: the CT was given as one of a test object."""

    versions: dict[str, str]
    settings: dict[str, Settings]
    sources: tuple[Source, ...]
    seconds: dict[str, float]
    weights_sha256: str = ""
    phantom: bool = False


@dataclass(frozen=True, eq=False)
class MapAtPose:
    """The attenuation map at one pose, and the image corrected with it.

    Attributes:
        ct_from_spect: the pose.
        mu: attenuation map on the SPECT grid, 1/cm.
        spect: reconstruction with this map; None where it was not asked for or cannot be made.
    """

    ct_from_spect: RigidTransform
    mu: Volume
    spect: Volume | None = None


@dataclass(frozen=True, eq=False)
class Examination:
    """All that one run made of a study, before anything is concluded.

    Attributes:
        study: as it was read.
        prepared: uncorrected SPECT, attenuation maps and outline.
        registration: of the registrar; never rewritten.
        header: the map at the scanner position.
        found: the map at the pose that the registrar found.
        notes: on the way here, one sentence each.
        provenance: versions, settings, input hashes, seconds.
    """

    study: Study
    prepared: PreparedStudy
    registration: Registration
    header: MapAtPose
    found: MapAtPose
    notes: tuple[str, ...]
    provenance: Provenance

    @property
    def uncorrected(self) -> Volume:
        """Reconstruction without attenuation correction, or the volume that was given."""
        return self.prepared.uncorrected


@dataclass(frozen=True)
class Confidence:
    """How far the pose that was found can be trusted, at 90 %, at the heart.

    Attributes:
        shift_mm: half-widths of the intervals of the place of the heart's centre along x, y, z.
        angles_deg: half-widths of the intervals of the angles.
        heart_mm: the root mean square error over the heart points stays below this.
        calibrated: whether held-out patients have shown, with these settings and weights, that such bounds hold.
    """

    shift_mm: Triple
    angles_deg: Triple
    heart_mm: float
    calibrated: bool


@dataclass(frozen=True)
class HeartPlace:
    """Where the heart is in SPECT space, and how far the ways to locate it differ.

    Attributes:
        centre_mm: LPS+; moves and bounds are stated about this point.
        method: "axis", "registrar" or "image".
        apart_mm: largest distance between the three, 0 where there is one only.
    """

    centre_mm: Triple
    method: str
    apart_mm: float = 0.0


@dataclass(frozen=True, eq=False)
class Perfusion:
    """The left ventricle in the images of one run, all along one axis.

    Attributes:
        ventricle: the axis that every map was sampled along.
        axis_confidence: 0 to 1; 1 where the axis was given by hand.
        axis_by_hand: whether it was given.
        uncorrected: polar map without attenuation correction.
        header: polar map of the image corrected with the map at the scanner position.
        registered: polar map of the image corrected with the map at the pose found; of an aligned study that at the
            scanner position.
        changed: segments (1 to 17) whose relative uptake differs by more than the limit between the corrected images.
    """

    ventricle: LeftVentricle
    axis_confidence: float
    axis_by_hand: bool
    uncorrected: PolarMap
    header: PolarMap
    registered: PolarMap
    changed: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Assessment:
    """One study, one answer: the command line, a batch and `mureg.examine` all give this.

    Attributes:
        examination: images, maps and the registration that the answer rests on.
        decision: in one word.
        reasons: everything that spoke for or against it, one sentence each, the weightiest first.
        released: whether the pose found is the pose given out; otherwise that is the scanner position.
        heart: where moves are measured.
        move_found: move at the heart of the pose found.
        limits: the thresholds that were used.
        confidence: of the pose found; None where the registrar states no covariance.
        perfusion: None where there is no corrected image, or no ventricle was found in it.
        mismatch_percent: published myocardium-to-mediastinum mismatch index, by "header" and "registered" (the pose
            found; of an aligned study the scanner position); empty where it is not available.
        warnings: one sentence each, by rank.
        figures: further numbers that the decision rests on, by name.
        review: decision of a reader that this result was written for; None for one of the program alone.
    """

    examination: Examination
    decision: Decision
    reasons: tuple[str, ...]
    released: bool
    heart: HeartPlace
    move_found: Move
    limits: Thresholds = field(default_factory=Thresholds)
    confidence: Confidence | None = None
    perfusion: Perfusion | None = None
    mismatch_percent: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Note, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    review: Review | None = None

    def __repr__(self) -> str:
        pose = "pose of the reader" if self.decision == "by-hand" else "pose found"
        moved = f"the {pose} moves the map by {self.move_found.rms_mm:.1f} mm at the heart"
        suffix = "" if self.released or self.decision == "aligned" else ", not given out"
        return f"Assessment({self.headline}: {moved}{suffix}, {self.bound_in_words()}, {len(self.warnings)} notes)"

    def _repr_html_(self) -> str:
        """Decision, reasons, moves and warnings, for notebooks."""
        cells = [
            ("decision", [self.headline]),
            ("reasons", self.reasons),
            ("move given out", [f"{self.move.rms_mm:.1f} mm at the heart: {self.move.components()}"]),
            ("pose found", [f"{self.move_found.rms_mm:.1f} mm at the heart", self.bound_in_words()]),
            ("warnings", [f"{note} [{note.rank.words}]" for note in self.warnings]),
            ("", [RESEARCH_USE_ONLY]),
        ]
        rows = (
            f"<tr><th>{name}</th><td>{'<br>'.join(html.escape(str(line)) for line in lines)}</td></tr>"
            for name, lines in cells
        )
        return f"<table>{''.join(rows)}</table>"

    @property
    def headline(self) -> str:
        """The decision as people read it: "BY HAND"."""
        return self.decision.upper().replace("-", " ")

    def bound_in_words(self) -> str:
        """How far the error of the pose found can go at the heart, at 90 %."""
        if self.decision == "by-hand":
            return "error unknown (the pose was set by a reader)"
        if self.confidence is None:
            return "error unknown (the registrar states no covariance)"
        calibrated = "" if self.confidence.calibrated else ", not calibrated for these settings"
        return f"error at the heart below {self.confidence.heart_mm:.1f} mm (90 %{calibrated})"

    @property
    def reason(self) -> str:
        """The first of `reasons`, which are ordered by weight."""
        return self.reasons[0]

    def with_review(self, review: Review) -> Assessment:
        """The same, with who decided and what among its reasons, so that every page states it."""
        first, *more = self.reasons
        return replace(self, review=review, reasons=(first, *review.sentences(), *more))

    @property
    def registration(self) -> Registration:
        """What the registrar found; `ct_from_spect` here is the pose given out."""
        return self.examination.registration

    @property
    def given(self) -> MapAtPose:
        """Map and corrected image at the pose that is given out."""
        return self.examination.found if self.released else self.examination.header

    @property
    def shown(self) -> MapAtPose:
        """Map and corrected image to show beside the scanner position: a pose under review is shown, given or not."""
        return self.examination.header if self.decision == "aligned" else self.examination.found

    @property
    def withheld(self) -> bool:
        """Whether a pose was found that is shown but not given out."""
        return self.decision == "review" and not self.released

    @property
    def ct_from_spect(self) -> RigidTransform:
        """The pose that is given out: every file and object is written for it."""
        return self.given.ct_from_spect

    @property
    def mu_registered(self) -> Volume:
        """Attenuation map at the pose given out, on the SPECT grid, 1/cm."""
        return self.given.mu

    @property
    def mu_header(self) -> Volume:
        """Attenuation map at the scanner position, on the SPECT grid, 1/cm."""
        return self.examination.header.mu

    @property
    def spect_uncorrected(self) -> Volume:
        """Reconstruction without attenuation correction (NAC)."""
        return self.examination.uncorrected

    @property
    def spect_corrected(self) -> Volume | None:
        """Reconstruction with the map at the pose given out (AC)."""
        return self.given.spect

    @property
    def spect_header(self) -> Volume | None:
        """Reconstruction with the map at the scanner position."""
        return self.examination.header.spect

    @property
    def move(self) -> Move:
        """Move at the heart of the pose given out."""
        return self.move_found if self.released else Move.of(RigidTransform.identity(), self.heart.centre_mm)

    @property
    def provenance(self) -> Provenance:
        """Version, settings, input hashes and times of this result."""
        return self.examination.provenance

    @property
    def uncorrected_scale(self) -> float | None:
        """Factor that brings the uncorrected image to the total of the corrected one, so that the two compare.

        Both are in counts per voxel and view, but without correction only what got out of the body is seen.
        """
        if self.spect_corrected is None:
            return None
        return float(self.spect_corrected.values.sum()) / max(float(self.spect_uncorrected.values.sum()), 1e-30)
