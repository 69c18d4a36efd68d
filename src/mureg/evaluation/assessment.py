"""From a run to what is concluded of it; docs/concepts/decision.md says how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import torch
from jaxtyping import Float

from mureg.errors import MuregError, RefusedError
from mureg.evaluation.axis import FoundAxis
from mureg.evaluation.decide import Grounds, decide
from mureg.evaluation.mismatch import mismatch_percent, myocardium
from mureg.evaluation.perfusion import HandAxis, changes, find_axis, try_perfusion
from mureg.evaluation.thresholds import Thresholds
from mureg.evaluation.verdict import Assessment, Confidence, Perfusion
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.pipeline import Outcome, Progress, corrected_at
from mureg.recon import Osem, Reconstructor
from mureg.registration import Registration
from mureg.registration.confidence import CALIBRATED, half_widths, heart_bound_mm
from mureg.registration.heart import HEART_MM, find_left_ventricle
from mureg.registration.profile import air_inside
from mureg.spect import Acquisition, Physics
from mureg.spect.attenuation import AttenuationMaps
from mureg.study import Study

_HEART_RADIUS_MM = 45.0
_FEWEST_STARTS = 2.0


def assess(
    study: Study,
    outcome: Outcome,
    settings: Thresholds = Thresholds(),  # noqa: B008 (frozen settings)
    *,
    axis: HandAxis | None = None,
    seek_axis: bool = True,
    reconstructor: Reconstructor = Osem(),  # noqa: B008
    physics: Physics = Physics(),  # noqa: B008
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Assessment:
    """Decide whether a study needed the registration, and whether its result can be used.

    Args:
        study: that was registered.
        outcome: of the run.
        settings: where the lines are drawn.
        axis: the left-ventricular long axis by hand: a point near its middle (mm) and the direction from base to apex,
            both LPS+ in SPECT space.
        seek_axis: look for it where it is not given; without an axis there are no polar maps and no mismatch index.
        reconstructor, physics: those of the run.
        device: where the image corrected by the headers is made.
        progress: told the name of each step as it begins.

    Returns:
        Where the decision is "aligned", the outcome's pose is the identity, and its map and corrected image are those
        of the headers.

    Raises:
        RefusedError: a map that is not of a chest; see `decide` for the rest.
    """
    if progress is not None:
        progress("decision")
    _refuse_without_lung(outcome.maps, settings.least_lung_ml)
    header = _header_image(study, outcome, reconstructor, physics, device)
    sought = seek_axis or axis is not None
    found, doubt = _found_axis(outcome, axis, settings.least_axis_confidence) if sought else (None, "")
    registered = outcome.spect_corrected
    heart = None
    if header is not None and registered is not None:
        heart = try_perfusion(found, outcome.spect_uncorrected, header, registered, settings.changed_percent)
    mismatch = _mismatch(outcome, found)
    centre_mm = _heart_mm(outcome, found)
    sure = confidence_of(outcome.registration, heart_points_mm(centre_mm))
    doubts = (
        *_faint_heart(outcome.registration.evidence, settings.least_heart_confidence),
        *([doubt] if doubt else []),
    )
    grounds = _grounds(outcome.registration, centre_mm, sure, heart, mismatch, doubts)
    decision, reasons = decide(grounds, settings)
    if decision == "aligned":
        outcome, heart, mismatch = _put_back(outcome, header, heart, mismatch)
    outcome = replace(
        outcome,
        provenance=replace(outcome.provenance, settings={**outcome.provenance.settings, "decision": asdict(settings)}),
    )
    return Assessment(
        outcome, decision, reasons[0], reasons, sure, heart, header, mismatch, _figures(grounds, centre_mm)
    )


def heart_points_mm(centre_mm: Triple) -> Float[np.ndarray, "point 3"]:
    """Points all over a ball that holds the heart, a lattice of 15 mm, for target errors of a real patient."""
    lattice = 15.0 * (np.indices((7, 7, 7)).reshape(3, -1).T - 3.0)
    return np.asarray(lattice[np.linalg.norm(lattice, axis=1) <= _HEART_RADIUS_MM] + np.asarray(centre_mm))


def confidence_of(registration: Registration, points_mm: Float[np.ndarray, "point 3"]) -> Confidence | None:
    """The 90 % intervals of a registration, None where it states no covariance."""
    if registration.covariance is None:
        return None
    shift_mm, angles_deg = half_widths(registration.covariance)
    calibrated = registration.evidence.get(CALIBRATED, 0.0) > 0.0
    return Confidence(shift_mm, angles_deg, heart_bound_mm(registration, points_mm), calibrated)


def _refuse_without_lung(maps: AttenuationMaps, least_ml: float) -> None:
    voxel_ml = float(np.prod(maps.body.grid.spacing_mm)) / 1000.0
    lung_ml = float((air_inside(maps.body).values > 0).sum()) * voxel_ml
    if lung_ml < least_ml:
        raise RefusedError(
            f"an attenuation map with {lung_ml:.0f} ml of lung",
            f"that of a chest, with {least_ml:g} ml at least",
            "check that the CT or map is of this patient's chest",
        )


def _header_image(
    study: Study,
    outcome: Outcome,
    reconstructor: Reconstructor,
    physics: Physics,
    device: torch.device | str,
) -> Volume | None:
    if outcome.spect_corrected is None or not isinstance(study.spect, Acquisition):
        return None
    if outcome.registration.ct_from_spect == RigidTransform.identity():
        return outcome.spect_corrected
    parts = study.spect.to(device), outcome.maps, outcome.outline, reconstructor, physics
    return corrected_at(RigidTransform.identity(), *parts)[0]


def _found_axis(outcome: Outcome, axis: HandAxis | None, least: float) -> tuple[FoundAxis | None, str]:
    """The axis in the clearest image, and a doubt about it."""
    image = outcome.spect_corrected or outcome.spect_uncorrected
    try:
        found = find_axis(image, outcome.mu_registered, axis)
    except MuregError as refusal:
        if axis is not None:
            raise
        return None, f"No left ventricle was found in the SPECT ({refusal.found})."
    if found.confidence >= least:
        return found, ""
    return found, f"The axis of the left ventricle is uncertain (confidence {found.confidence:.2f}): give it by --axis."


def _heart_mm(outcome: Outcome, found: FoundAxis | None) -> Triple:
    if found is not None:
        return found.ventricle.centre_mm
    evidence = outcome.registration.evidence
    if all(name in evidence for name in HEART_MM):
        x, y, z = (evidence[name] for name in HEART_MM)
        return x, y, z
    return find_left_ventricle(outcome.spect_uncorrected, outcome.mu_registered).centre_mm


def _mismatch(outcome: Outcome, found: FoundAxis | None) -> dict[str, float]:
    """The index for both maps over the same myocardium; empty where one of them cannot be told."""
    if found is None:
        return {}
    wall = myocardium(outcome.spect_corrected or outcome.spect_uncorrected, found.ventricle)
    values = {
        "header": mismatch_percent(wall, outcome.mu_header),
        "registered": mismatch_percent(wall, outcome.mu_registered),
    }
    told = {name: value for name, value in values.items() if value is not None}
    return told if len(told) == len(values) else {}


def _grounds(
    registration: Registration,
    centre_mm: Triple,
    sure: Confidence | None,
    heart: Perfusion | None,
    mismatch: Mapping[str, float],
    doubts: tuple[str, ...],
) -> Grounds:
    evidence = registration.evidence
    moved_mm = float(np.linalg.norm(registration.ct_from_spect.apply(centre_mm) - np.asarray(centre_mm)))
    change = None if heart is None else float(np.abs(changes(heart.header, heart.registered)).max())
    return Grounds(
        moved_mm,
        registration.ct_from_spect.rotation_deg,
        evidence.get("gain_over_headers"),
        evidence.get("disagreement_mm"),
        sure,
        change,
        0 if heart is None else len(heart.changed),
        dict(mismatch),
        (*_lonely_start(evidence), *doubts),
    )


def _faint_heart(evidence: Mapping[str, float], least: float) -> tuple[str, ...]:
    """A doubt where the registrar looked at a heart that it could hardly tell from its surroundings."""
    confidence = evidence.get("heart_confidence", 1.0)
    if confidence >= least:
        return ()
    return (f"The left ventricle was hard to find in the SPECT (confidence {confidence:.2f}, {least:g} asked for).",)


def _lonely_start(evidence: Mapping[str, float]) -> tuple[str, ...]:
    """A doubt where many starts were tried and no two of them met at the optimum."""
    starts, agree = evidence.get("starts", 0.0), evidence.get("starts_that_agree", _FEWEST_STARTS)
    if starts < _FEWEST_STARTS or agree >= _FEWEST_STARTS:
        return ()
    return (f"Of {starts:.0f} starts no two ended at the same pose.",)


def _put_back(
    outcome: Outcome, header: Volume | None, heart: Perfusion | None, mismatch: dict[str, float]
) -> tuple[Outcome, Perfusion | None, dict[str, float]]:
    """The run as the headers have it: pose, map and corrected image exactly theirs."""
    registration = replace(outcome.registration, ct_from_spect=RigidTransform.identity(), decision="left as it was")
    outcome = replace(
        outcome,
        registration=registration,
        mu_registered=outcome.mu_header,
        spect_corrected=outcome.spect_corrected if header is None else header,
    )
    if heart is not None:
        heart = replace(heart, registered=heart.header, changed=())
    return outcome, heart, {name: mismatch["header"] for name in mismatch}  # noqa: C420 (it may be empty)


def _figures(grounds: Grounds, centre_mm: Triple) -> dict[str, float]:
    """What the decision rests on, by name; of the pose that was found, whether it was taken or not."""
    optional = {
        "gain_over_headers": grounds.gain,
        "disagreement_mm": grounds.disagreement_mm,
        "largest_segment_change": grounds.largest_change,
        "heart_mm_90": None if grounds.confidence is None else grounds.confidence.heart_mm,
    }
    named = dict(zip(HEART_MM, centre_mm, strict=True))
    return {
        "found_move_at_heart_mm": grounds.moved_mm,
        "found_turn_deg": grounds.turned_deg,
        **named,
        **{name: value for name, value in optional.items() if value is not None},
    }
