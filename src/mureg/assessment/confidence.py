"""The interval of a pose at the heart, with a floor, and whether it was calibrated for the settings of the run."""

from __future__ import annotations

from mureg.assessment.move import heart_points_mm
from mureg.assessment.result import Confidence, Examination
from mureg.geometry.rigid import Triple
from mureg.registration.confidence import half_widths, heart_bound_mm, place_half_widths_mm, settings_sha256
from mureg.spect import Acquisition

FLOOR_MM = 2.0
"""No bound is stated below this: nine in ten errors of the default registrar on its best held-out level (`easy` and
`clinical`, 60 patients each) were below 2.2 and 2.0 mm, so less has never been shown (evidence/near-heart)."""


def confidence_at(examination: Examination, heart_mm: Triple) -> Confidence | None:
    """The 90 % interval of the pose found at the heart; None where the registrar states no covariance.

    It is calibrated only where the registrar says for which settings its covariance was measured, and the run used
    these settings: registrar, weights, attenuation map and reconstruction. How a given volume was reconstructed is not
    known, so an interval is never calibrated for one.
    """
    registration = examination.registration
    if registration.covariance is None:
        return None
    _, angles_deg = half_widths(registration.covariance)
    bound_mm = heart_bound_mm(registration, heart_points_mm(heart_mm))
    return Confidence(
        place_half_widths_mm(registration, heart_mm),
        angles_deg,
        max(bound_mm, FLOOR_MM),
        is_calibrated(examination),
    )


def is_calibrated(examination: Examination) -> bool:
    """Whether the covariance was measured with the settings of this run."""
    if not isinstance(examination.study.spect, Acquisition):
        return False
    settings = examination.provenance.settings
    used = {part: settings_sha256(settings[part]) for part in ("attenuation", "reconstructor")}
    measured = examination.registration.calibrated_for
    return bool(measured) and all(measured.get(part) == sha256 for part, sha256 in used.items())
