"""The registration in words and numbers, as the quality picture states them."""

from __future__ import annotations

from collections.abc import Mapping

from mureg.assessment.result import Assessment
from mureg.assessment.thresholds import Thresholds
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple


def rigid_parameters(ct_from_spect: RigidTransform, centre_mm: Triple) -> list[str]:
    """The shift, angles and centre exactly as registration.json holds them, rounded."""

    def row(values: Triple, style: str) -> str:
        return "   ".join(f"{axis} {value:{style}}" for axis, value in zip("xyz", values, strict=True))

    shift_mm, angles_deg = ct_from_spect.six(centre_mm)
    return [
        f"shift_mm     {row(shift_mm, '+.1f')}",
        f"angles_deg   {row(angles_deg, '+.1f')}",
        f"centre_mm    {row(centre_mm, '.1f')}",
    ]


def shortened(sentence: str, width: int) -> str:
    """The beginning of a sentence, cut between words."""
    if len(sentence) <= width:
        return sentence
    return sentence[: width - 1].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def corrected_for(assessment: Assessment) -> str:
    """Which effects the corrected image models, in words."""
    if assessment.spect_corrected is None:
        return "nothing: no corrected image was made"
    effects, physics = ["attenuation"], assessment.provenance.settings.get("physics", {})
    scatter = physics.get("scatter", "none")
    if physics.get("resolution"):
        effects.append("resolution")
    effects.append("no scatter" if scatter == "none" else f"scatter ({scatter.replace('-', ' ')})")
    return ", ".join(effects)


_ONLY_WITH_FILTER = {"fwhm_mm": "gaussian", "cutoff_per_cm": "butterworth", "order": "butterworth"}


def reconstruction_in_words(settings: Mapping[str, object]) -> str:
    """An algorithm and those of its settings that took part: none of a filter that is off, no limit of 0."""
    used = {}
    for name, value in settings.items():
        of_filter = _ONLY_WITH_FILTER.get(name)
        if name == "kind" or (of_filter is not None and of_filter != settings.get("post_filter")):
            continue
        if (name, value) in (("post_filter", "none"), ("stop_below", 0.0)):
            continue
        used[name] = value
    named = ", ".join(f"{name} {value}" for name, value in used.items())
    kind = settings.get("kind", "reconstruction")
    return f"{kind} ({named})" if named else str(kind)


def limits_in_words(limits: Thresholds) -> str:
    """The limits that were used, and whether they are the shipped ones."""
    changed = limits.changed_from_shipped()
    return (
        f"aligned up to {limits.aligned_mm:g} mm, pose known to {limits.action_limit_mm:g} mm, segments "
        f"{limits.changed_percent:g} points, mismatch {limits.mismatch_percent:g} %; "
        + (f"NOT the shipped ones: {', '.join(changed)}" if changed else "all as shipped")
    )
