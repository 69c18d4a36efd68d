"""Content of the report as words and numbers; other modules do the layout."""

from __future__ import annotations

from dataclasses import dataclass

from mureg import RESEARCH_USE_ONLY
from mureg.assessment.result import Assessment, Perfusion
from mureg.heart.ventricle import SEGMENTS
from mureg.report.conclusion import pixels
from mureg.report.facts import Facts, acquisition_facts
from mureg.report.occasion import Occasion
from mureg.report.pictures.chest import display_filter
from mureg.report.wording import limits_in_words, reconstruction_in_words, rigid_parameters
from mureg.study import Study

TERRITORY_NAMES = {"LAD": "left anterior descending", "LCX": "left circumflex", "RCA": "right coronary"}

_HEADLINES = {
    "aligned": ("ALIGNED", "no move needed: the map stays at its scanner position", "✓"),
    "moved": ("MOVED", "the map was moved onto the heart", "→"),
    "review": ("REVIEW", "check the pictures before you use this result", "!"),
    "by-hand": ("BY HAND", "the pose was set by a reader", "→"),
}
_AXES = ("left - right", "front - back", "head - foot")
_HASH = 20  # digits of a SHA-256 that are shown, 80 bits: they serve to compare (docs/decisions, 8)


@dataclass(frozen=True)
class Shift:
    """One axis of the shift."""

    axis: str
    toward: str
    mm: str
    pixels: str
    interval: str


@dataclass(frozen=True)
class Territory:
    """Mean relative uptake of one territory in the three images, percent, and the change in points."""

    name: str
    artery: str
    uncorrected: str
    header: str
    registered: str
    change: str


@dataclass(frozen=True)
class Contents:
    """The words of one report.

    Attributes:
        decision: one of the four words, as in registration.json.
        headline, meaning, sign: the same for people.
        reason, reasons: why.
        shifts, turned, shift_notes: how the map was moved at the heart, and how sure that is.
        mismatch: index by name, percent, and whether it is above the limit.
        territories, changed: what the registration does to the perfusion; empty where there is no polar map.
        changed_limit, mismatch_limit: that were used, in words.
        withheld: whether the pose shown is not given out.
        perfusion_note: which axis, or why there is no polar map.
        warnings: one sentence each.
        facts: of the acquisition.
        provenance: what made it.
        patient: who, where that was asked for, "" otherwise.
        occasion: study label, times of scan and processing.
        display_filter: that every SPECT image is shown after.
        archived: for an archive, where no other file of the run is at hand.
    """

    decision: str
    headline: str
    meaning: str
    sign: str
    reason: str
    reasons: tuple[str, ...]
    shifts: tuple[Shift, ...]
    turned: str
    shift_notes: tuple[str, ...]
    mismatch: tuple[tuple[str, str, bool], ...]
    territories: tuple[Territory, ...]
    changed: tuple[str, ...]
    perfusion_note: str
    warnings: tuple[str, ...]
    facts: Facts
    provenance: Facts
    changed_limit: str = ""
    mismatch_limit: str = ""
    withheld: bool = False
    patient: str = ""
    occasion: str = ""
    display_filter: str = ""
    archived: bool = False
    use: str = RESEARCH_USE_ONLY

    @classmethod
    def of(
        cls,
        assessment: Assessment,
        study: Study,
        patient: str,
        occasion: Occasion = Occasion(),  # noqa: B008 (frozen)
        *,
        archived: bool = False,
    ) -> Contents:
        """Put an assessment into words.

        Args:
            assessment: of one run.
            study: that was run.
            patient: what may be shown of the patient's identity.
            occasion: study label and times.
            archived: leave out what refers to other files of the run.
        """
        perfusion = assessment.perfusion
        headline, meaning, sign = _HEADLINES[assessment.decision]
        shifts, turned, notes = _shifts(assessment)
        return cls(
            assessment.decision,
            headline,
            meaning,
            sign,
            assessment.reason,
            tuple(reason for reason in assessment.reasons if reason != assessment.reason),
            shifts,
            turned,
            notes,
            _mismatch(assessment),
            () if perfusion is None else _territories(perfusion),
            () if perfusion is None else _changed(perfusion),
            _perfusion_note(assessment),
            tuple(dict.fromkeys(f"{note} ({note.rank.words})" for note in assessment.warnings)),
            acquisition_facts(study, assessment),
            _provenance(assessment, archived),
            f"{assessment.limits.changed_percent:g} points",
            f"{assessment.limits.mismatch_percent:g} %",
            assessment.withheld,
            patient,
            occasion.words(study),
            display_filter(assessment.spect_uncorrected.grid),
            archived,
        )

    @property
    def filter_words(self) -> str:
        """What was done to the SPECT images before they were drawn."""
        where = ""
        if self.archived:
            except_this = ", but for the image with the map at the pose found" if self.withheld else ""
            where = f'; archived as the series that end in "filtered"{except_this}'
        return f"SPECT is shown after a display filter ({self.display_filter}){where}."

    @property
    def polar_words(self) -> str:
        """What the polar maps show, for who cannot see them."""
        means = "; ".join(
            f"{t.name} {t.uncorrected}, {t.header} and {t.registered} % ({t.change})" for t in self.territories
        )
        changed = ", ".join(self.changed) or "none"
        return (
            "Four polar maps of 17 segments: uncorrected, corrected with the map at the scanner position, corrected "
            f"with the {self.map_shown}, and the change. Territory means in that order: {means}. "
            f"Segments that change by more than {self.changed_limit}: {changed}."
        )

    @property
    def map_shown(self) -> str:
        """The map of the second row and the third polar map, for a sentence."""
        if self.withheld:
            return "map at the pose found (not given out)"
        return "map at the pose of the reader" if self.decision == "by-hand" else "registered map"

    @property
    def line_shown(self) -> str:
        """What the full line of the pictures shows, for a caption."""
        if self.withheld:
            return "at the pose found, not given out"
        return "at the pose of the reader" if self.decision == "by-hand" else "after registration"

    @property
    def pose_shown(self) -> str:
        """The pose of the third image, for the head of a column."""
        if self.withheld:
            return "pose found"
        return "by hand" if self.decision == "by-hand" else "registered"

    @property
    def move_title(self) -> str:
        """Over the table of the move."""
        return "Pose found, not given out: move at the heart" if self.withheld else "Move of the map at the heart"

    @property
    def moved_words(self) -> str:
        """How the map was moved, in one sentence."""
        parts = ", ".join(f"{s.mm} mm {s.toward}" for s in self.shifts if s.toward)
        if self.withheld:
            return f"The pose found would move the map by {parts}; it is not given out."
        return f"The map was moved by {parts}." if parts else "The map was not moved."


def _shifts(assessment: Assessment) -> tuple[tuple[Shift, ...], str, tuple[str, ...]]:
    """The move that is given out, or the one found where that is withheld, at the heart."""
    confidence = assessment.confidence
    move = assessment.move_found if assessment.withheld else assessment.move
    grid = assessment.spect_uncorrected.grid
    rows = []
    for number, axis in enumerate(_AXES):
        mm = move.mean_mm[number]
        # it rounds to 0.0
        toward = "" if abs(mm) < 0.05 else move.toward[number]
        interval = "not stated" if confidence is None else f"± {confidence.shift_mm[number]:.1f} mm"
        rows.append(Shift(axis, toward, f"{abs(mm):.1f}", f"{abs(mm) / grid.spacing_mm[number]:.1f}", interval))
    turn = f"{move.turn_deg:.1f}°"
    notes = [f"In all {move.rms_mm:.1f} mm ({pixels(move, grid):.1f} pixels) at the heart, turned by {turn}."]
    if assessment.withheld:
        notes.append("This pose is not given out: all files hold the map at its scanner position.")
    if confidence is None:
        by_hand = assessment.decision == "by-hand"
        notes.append(
            "A reader set the pose: no uncertainty is stated." if by_hand else "This registrar states no uncertainty."
        )
    else:
        angle = max(confidence.angles_deg)
        notes.append(f"Over the heart the error of the pose found stays below {confidence.heart_mm:.1f} mm (90 %).")
        notes.append(f"±: 90 % interval at the heart; angles ± {angle:.1f}° or less.")
        if not confidence.calibrated:
            notes.append("These intervals were not calibrated for these settings; the true error may be larger.")
    return tuple(rows), turn, tuple(notes)


def _mismatch(assessment: Assessment) -> tuple[tuple[str, str, bool], ...]:
    after = "at the pose found, not given out" if assessment.withheld else "after"
    index, limit = assessment.mismatch_percent, assessment.limits.mismatch_percent
    names = [(name, when) for name, when in (("header", "before"), ("registered", after)) if name in index]
    return tuple((when, f"{index[name]:.1f} %", index[name] > limit) for name, when in names)


def _territories(perfusion: Perfusion) -> tuple[Territory, ...]:
    rows = []
    for name, artery in TERRITORY_NAMES.items():
        means = [m.territories[name] for m in (perfusion.uncorrected, perfusion.header, perfusion.registered)]
        nac, before, after = (f"{mean:.0f}" for mean in means)
        rows.append(Territory(name, artery, nac, before, after, signed(means[2] - means[1])))
    return tuple(rows)


def _changed(perfusion: Perfusion) -> tuple[str, ...]:
    change = perfusion.registered.relative - perfusion.header.relative
    return tuple(f"{SEGMENTS[n - 1]} {signed(change[n - 1])}" for n in perfusion.changed)


def _perfusion_note(assessment: Assessment) -> str:
    perfusion = assessment.perfusion
    if assessment.spect_corrected is None:
        return "No corrected image was made, so there are no slices of the heart and no polar maps."
    if perfusion is None:
        return "No left ventricle was found that slices and polar maps could be made along."
    if perfusion.axis_by_hand:
        return "The long axis was given by hand."
    uncertain = perfusion.axis_confidence < assessment.limits.least_axis_confidence
    advice = ": uncertain, check the slices" if uncertain else ""
    return f"The long axis was found automatically, confidence {perfusion.axis_confidence:.2f} of 1{advice}."


def _provenance(assessment: Assessment, archived: bool) -> Facts:
    registration, provenance = assessment.registration, assessment.provenance
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    seconds = ", ".join(f"{step} {time:.1f}" for step, time in provenance.seconds.items())
    return (
        ("Made by", versions),
        ("Registrar", f"{registration.registrar}, {registration.seconds:.1f} s"),
        (
            "Pose",
            "ct_from_spect about centre_mm: "
            + "; ".join(
                " ".join(s.split()) for s in rigid_parameters(assessment.ct_from_spect, registration.centre_mm)
            ),
        ),
        *(
            (f"Input {s.kind}", f"{s.files} file{'s' if s.files != 1 else ''}, SHA-256 {s.sha256[:_HASH]}…")
            for s in provenance.sources
        ),
        *((("Weights", f"SHA-256 {provenance.weights_sha256[:_HASH]}…"),) if provenance.weights_sha256 else ()),
        ("Seconds", seconds or "not measured"),
        ("Reconstruction", reconstruction_in_words(provenance.settings.get("reconstructor", {}))),
        ("Limits", limits_in_words(assessment.limits)),
        *(() if archived else (("Settings", "in settings.toml beside this report"),)),
    )


def signed(points: float) -> str:
    """A change with its sign, without a sign for what rounds to nothing."""
    words = f"{points:+.0f}"
    return "0" if words in ("+0", "-0") else words.replace("-", "−")
