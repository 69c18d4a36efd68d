"""Everything that the report says, as plain words and numbers; how they are laid out is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from mureg import RESEARCH_USE_ONLY
from mureg.evaluation.verdict import Assessment, Perfusion
from mureg.report.chest import display_filter
from mureg.report.facts import Facts, acquisition_facts
from mureg.report.occasion import Occasion
from mureg.report.wording import displacement_at, reconstruction_in_words, six_numbers
from mureg.simulate.ventricle import SEGMENTS, TERRITORIES
from mureg.study import Study

MISMATCH_LIMIT_PERCENT = 3.0
TERRITORY_NAMES = {"LAD": "left anterior descending", "LCX": "left circumflex", "RCA": "right coronary"}

_HEADLINES = {
    "aligned": ("ALIGNED", "no correction needed: the map stays where the headers have it", "✓"),
    "corrected": ("CORRECTED", "the map was moved onto the heart", "→"),
    "review": ("REVIEW", "look at the pictures before you use this result", "!"),
    "refused": ("REFUSED", "do not use this result", "×"),
}
_AXES = ("left - right", "front - back", "head - foot")
_UNCERTAIN_AXIS = 0.3
_HASH = 20


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
        heart_mm: tuple[float, float, float],
        patient: str,
        occasion: Occasion = Occasion(),  # noqa: B008 (frozen)
        *,
        archived: bool = False,
    ) -> Contents:
        """Put an assessment into words.

        Args:
            assessment: of one run.
            study: that was run.
            heart_mm: where the SPECT shows the heart, LPS+.
            patient: what may be said of who it is.
            occasion: study label and times.
            archived: leave out what refers to other files of the run.
        """
        outcome, perfusion = assessment.outcome, assessment.perfusion
        headline, meaning, sign = _HEADLINES[assessment.decision]
        shifts, turned, notes = _shifts(assessment, heart_mm)
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
            tuple(dict.fromkeys(outcome.warnings)),
            acquisition_facts(study, outcome),
            _provenance(assessment, archived),
            patient,
            occasion.words(study),
            display_filter(outcome.spect_uncorrected.grid),
            archived,
        )

    @property
    def filter_words(self) -> str:
        """What was done to the SPECT images before they were drawn."""
        where = '; archived as the series that end in "filtered"' if self.archived else ""
        return f"SPECT is shown after a display filter ({self.display_filter}){where}."

    @property
    def polar_words(self) -> str:
        """What the polar maps show, for who cannot see them."""
        means = "; ".join(
            f"{t.name} {t.uncorrected}, {t.header} and {t.registered} % ({t.change})" for t in self.territories
        )
        changed = ", ".join(self.changed) or "none"
        return (
            "Four polar maps of 17 segments: uncorrected, corrected with the map by the headers, corrected with the "
            f"registered map, and the change. Territory means in that order: {means}. "
            f"Segments that change by more than 5 points: {changed}."
        )

    @property
    def moved_words(self) -> str:
        """How the map was moved, in one sentence."""
        parts = ", ".join(f"{s.mm} mm {s.toward}" for s in self.shifts if s.toward)
        return f"The map was moved by {parts}." if parts else "The map was not moved."


def _shifts(
    assessment: Assessment, heart_mm: tuple[float, float, float]
) -> tuple[tuple[Shift, ...], str, tuple[str, ...]]:
    registration, confidence = assessment.outcome.registration, assessment.confidence
    by_headers = registration.ct_from_spect.apply(heart_mm)
    moved = displacement_at(registration, by_headers, assessment.outcome.spect_uncorrected.grid)
    rows = []
    for number, axis in enumerate(_AXES):
        mm, pixels = moved.mm[number], moved.pixels[number]
        toward = "" if abs(mm) < 0.05 else moved.toward[number]
        interval = "not stated" if confidence is None else f"± {confidence.shift_mm[number]:.1f} mm"
        rows.append(Shift(axis, toward, f"{abs(mm):.1f}", f"{abs(pixels):.1f}", interval))
    turned = f"{registration.ct_from_spect.rotation_deg:.1f}°"
    notes = [f"In all {moved.length_mm:.1f} mm ({moved.length_pixels:.1f} pixels) at the heart, turned by {turned}."]
    if confidence is None:
        notes.append("This registrar states no uncertainty.")
    else:
        angle = max(confidence.angles_deg)
        notes.append(f"Over the heart the error stays below {confidence.heart_mm:.1f} mm with 90 % confidence.")
        notes.append(f"±: 90 % interval, for the middle of the SPECT field; angles ± {angle:.1f}° or less.")
        if not confidence.calibrated:
            notes.append("These intervals know the noise of the counts alone; the true error may be larger.")
    return tuple(rows), turned, tuple(notes)


def _mismatch(assessment: Assessment) -> tuple[tuple[str, str, bool], ...]:
    names = (("header", "before"), ("registered", "after"))
    found = assessment.mismatch_percent
    return tuple(
        (said, f"{found[name]:.1f} %", found[name] > MISMATCH_LIMIT_PERCENT) for name, said in names if name in found
    )


def _territories(perfusion: Perfusion) -> tuple[Territory, ...]:
    rows = []
    for name in ("LAD", "LCX", "RCA"):
        assert name in TERRITORIES
        means = [one.territories[name] for one in (perfusion.uncorrected, perfusion.header, perfusion.registered)]
        one, two, three = (f"{mean:.0f}" for mean in means)
        rows.append(Territory(name, TERRITORY_NAMES[name], one, two, three, signed(means[2] - means[1])))
    return tuple(rows)


def _changed(perfusion: Perfusion) -> tuple[str, ...]:
    change = perfusion.registered.relative - perfusion.header.relative
    return tuple(f"{SEGMENTS[n - 1]} {signed(change[n - 1])}" for n in perfusion.changed)


def _perfusion_note(assessment: Assessment) -> str:
    perfusion = assessment.perfusion
    if assessment.outcome.spect_corrected is None:
        return "No corrected image was made, so there are no slices of the heart and no polar maps."
    if perfusion is None:
        return "No left ventricle was found that slices and polar maps could be made along."
    if perfusion.axis_by_hand:
        return "The long axis was given by hand."
    doubt = ": doubtful, check the slices" if perfusion.axis_confidence < _UNCERTAIN_AXIS else ""
    return f"The long axis was found automatically, confidence {perfusion.axis_confidence:.2f} of 1{doubt}."


def _provenance(assessment: Assessment, archived: bool) -> Facts:
    registration, provenance = assessment.outcome.registration, assessment.outcome.provenance
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    seconds = ", ".join(f"{step} {time:.1f}" for step, time in provenance.seconds.items())
    return (
        ("Made by", f"{versions}; on {provenance.device}"),
        ("Registrar", f"{registration.registrar}, {registration.seconds:.1f} s; map {registration.decision}"),
        (
            "Pose",
            "ct_from_spect about centre_mm: " + "; ".join(" ".join(s.split()) for s in six_numbers(registration)),
        ),
        *(
            (f"Input {s.kind}", f"{s.files} file{'s' if s.files != 1 else ''}, SHA-256 {s.sha256[:_HASH]}…")
            for s in provenance.sources
        ),
        *((("Weights", f"SHA-256 {provenance.weights_sha256[:_HASH]}…"),) if provenance.weights_sha256 else ()),
        ("Seconds", seconds or "not measured"),
        (
            "Reconstruction",
            reconstruction_in_words(provenance.settings.get("reconstructor", {})),
        ),
        *(() if archived else (("Settings", "in settings.toml beside this report"),)),
    )


def signed(points: float) -> str:
    """A change with its sign, without a sign for what rounds to nothing."""
    words = f"{points:+.0f}"
    return "0" if words in ("+0", "-0") else words.replace("-", "−")
