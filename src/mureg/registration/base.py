"""What every registration takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.study import PreparedStudy

Six = Float[np.ndarray, " 6"]
Decision = Literal["moved", "left as it was"]

_LEAST_OVERLAP = 0.25
"""Share of the SPECT counts inside the map, as in `mureg.registration.parzen`: less is no chest in common. Round."""


@dataclass(frozen=True, eq=False)
class Registration:
    """Where the anatomy of the SPECT lies in the CT, and how far that can be trusted.

    Attributes:
        ct_from_spect: maps a point in SPECT space to the place in CT space where that anatomy lies, mm, LPS+.
        centre_mm: the point about which the rigid parameters are stated: the centre of the SPECT grid.
        registrar: its kind.
        decision: whether the map has to move at all.
        evidence: what the decision rests on, by name (metrics, spreads).
        covariance: 6x6 of translation (mm) and angles (degrees) about `centre_mm`; None where the registrar has none.
        calibrated_for: fingerprints of the settings of the other steps (`attenuation`, `reconstructor`) with which
            held-out patients have shown that the covariance holds; empty if it was not measured for these settings.
        seconds: time it took.
        notes: what was found on the way, one sentence each.
        warnings: reasons why the pose may be wrong, one sentence each.
        weights_sha256: fingerprint of the learned weights, "" where nothing was learned.
    """

    ct_from_spect: RigidTransform
    centre_mm: Triple
    registrar: str
    decision: Decision
    evidence: Mapping[str, float] = field(default_factory=dict)
    covariance: npt.NDArray[np.float64] | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    weights_sha256: str = ""
    calibrated_for: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        mm, degrees = (", ".join(f"{x:.1f}" for x in values) for values in (self.shift_mm, self.angles_deg))
        certainty = "no covariance" if self.covariance is None else "with covariance"
        return (
            f"Registration({self.registrar}: {self.decision}, translation ({mm}) mm, rotation ({degrees}) degrees "
            f"about the centre of the SPECT, {certainty}, {self.seconds:.1f} s)"
        )

    @property
    def shift_mm(self) -> Triple:
        """Translation of the motion about `centre_mm`, along x (left), y (back), z (head)."""
        return self.ct_from_spect.six(self.centre_mm)[0]

    @property
    def angles_deg(self) -> Triple:
        """Angles about x, y, z of the motion about `centre_mm`; see `RigidTransform.from_six`."""
        return self.ct_from_spect.six(self.centre_mm)[1]


@runtime_checkable
class Registrar(Protocol):
    """A registration algorithm; the object is its frozen settings."""

    @property
    def kind(self) -> str:
        """The name under which it is chosen."""
        ...

    def register(self, study: PreparedStudy) -> Registration:
        """Find ``ct_from_spect`` between the SPECT and the attenuation map of a study.

        Args:
            study: uncorrected SPECT, maps of body and table, and the projections where there are any.

        Raises:
            RegistrationError: no transform that could be trusted was found.
        """
        ...


@runtime_checkable
class Preloading(Protocol):
    """A registrar that loads something before it can register, such as networks."""

    def preload(self) -> None:
        """Load it now, so that `register` finds it in memory; raises what `register` would raise."""
        ...


def refuse_unusable(fixed: Volume, moving: Volume) -> None:
    """Refuse, before any work is done, images that cannot be registered: blank ones, or ones of different places."""
    refuse_blank(fixed, "SPECT")
    refuse_blank(moving, "attenuation map")
    refuse_overlap(fixed, moving, RigidTransform.identity(), "at the scanner position")


def refuse_result(
    ct_from_spect: RigidTransform,
    fixed: Volume,
    moving: Volume,
    largest_shift_mm: float,
    largest_angle_deg: float,
) -> None:
    """Refuse a pose that was found: an implausible motion about the centre of the SPECT, or one away from the map."""
    refuse_implausible(ct_from_spect, fixed.grid.centre_mm, largest_shift_mm, largest_angle_deg)
    refuse_overlap(fixed, moving, ct_from_spect, "after registration")


def nothing_found(how: str) -> RegistrationError:
    """What to raise where no start led to a pose; `how` says what was tried and what became of it."""
    return RegistrationError(
        how, "a SPECT and a CT of the same chest", "check that both belong to this patient and overlap"
    )


def refuse_blank(volume: Volume, what: str) -> None:
    """Refuse an image with the same value everywhere; `what` is its name in the sentence."""
    if float(volume.values.max()) <= float(volume.values.min()):
        raise RegistrationError(
            f"the {what} has the same value everywhere",
            "an image of the chest",
            "check that the right series was given",
        )


def refuse_overlap(fixed: Volume, moving: Volume, ct_from_spect: RigidTransform, when: str) -> None:
    """Refuse where too little of the emission lies inside the attenuation map."""
    outside = moving.unknown_on(fixed.grid, ct_from_spect)
    share = 1.0 - float(fixed.values[outside].sum() / fixed.values.sum())
    if share < _LEAST_OVERLAP:
        raise RegistrationError(
            f"no overlap: {100 * share:.0f} % of the SPECT counts lie inside the attenuation map {when}",
            f"at least {100 * _LEAST_OVERLAP:.0f} %",
            "check that both series are of the same patient and share a frame of reference",
        )


def refuse_implausible(
    ct_from_spect: RigidTransform, centre_mm: Triple, largest_shift_mm: float, largest_angle_deg: float
) -> None:
    """Refuse a pose that shifts the map about `centre_mm`, or turns it, farther than patients move."""
    shift_mm = float(np.linalg.norm(ct_from_spect.apply(centre_mm) - np.asarray(centre_mm)))
    if shift_mm > largest_shift_mm or ct_from_spect.rotation_deg > largest_angle_deg:
        raise RegistrationError(
            f"the best match moves the map by {shift_mm:.0f} mm and {ct_from_spect.rotation_deg:.0f} degrees",
            f"at most {largest_shift_mm:g} mm and {largest_angle_deg:g} degrees",
            "check that SPECT and CT are of the same patient and position",
        )


def covariance_about(
    ct_from_spect: RigidTransform,
    covariance: Float[np.ndarray, "6 6"],
    heart_mm: Triple,
    centre_mm: Triple,
) -> npt.NDArray[np.float64]:
    """Covariance of the rigid parameters of a pose, from that of a small motion of the SPECT before it.

    Args:
        ct_from_spect: the pose.
        covariance: of the rigid parameters (mm, degrees) of the small motion about `heart_mm`, which comes first.
        heart_mm: centre of the small motion, in SPECT space.
        centre_mm: about which the rigid parameters of the pose are stated.

    Returns:
        6x6, mm and degrees, to the first order.
    """

    def six(small: Six) -> Six:
        moved = ct_from_spect @ RigidTransform.from_six(small[:3], small[3:], heart_mm)
        return np.concatenate(moved.six(centre_mm))

    # mm and degrees: rounding and curvature are both below 1e-6 of a slope
    step = 1e-3
    slopes = [(six(step * axis) - six(-step * axis)) / (2 * step) for axis in np.eye(6)]
    jacobian = np.stack(slopes, axis=1)
    result: npt.NDArray[np.float64] = jacobian @ covariance @ jacobian.T
    return result
