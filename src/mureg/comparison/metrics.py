"""Errors against a known truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mureg.assessment.thresholds import Thresholds
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple

ACTION_LIMIT_MM = Thresholds().action_limit_mm
"""One pixel (6.8 mm): a heart that lies farther off than this calls for action (Kennedy et al., J Nucl Med 2009)."""


def motion_errors(pose: RigidTransform, true: RigidTransform, centre_mm: npt.ArrayLike) -> tuple[Triple, Triple]:
    """How far each of the rigid parameters of a motion about a centre is off: found less true.

    Returns:
        Along x, y, z in mm; about x, y, z in degrees, between -180 and 180.
    """
    found_six, true_six = (np.asarray(transform.six(centre_mm)) for transform in (pose, true))
    (x, y, z), angles = found_six - true_six
    ax, ay, az = (angles + 180.0) % 360.0 - 180.0
    return (float(x), float(y), float(z)), (float(ax), float(ay), float(az))


def mean_motion_errors(pose: RigidTransform, true: RigidTransform, centre_mm: npt.ArrayLike) -> tuple[float, float]:
    """Delta-T (mm) and Delta-R (degrees): mean absolute error over the three translations and over the three angles.

    Equations (12) and (13) of Chen et al., MICCAI 2022. As means over axes they are smaller than distances: an error of
    3 mm along each axis is 5.2 mm in space.
    """
    shifts, angles = motion_errors(pose, true, centre_mm)
    return float(np.abs(shifts).mean()), float(np.abs(angles).mean())


def share_above(errors: npt.ArrayLike, limit: float = ACTION_LIMIT_MM) -> float:
    """Share of errors beyond a limit, 0 to 1; the limit itself is still within. NaN of none."""
    values = np.asarray(errors, dtype=np.float64)
    return float((values > limit).mean()) if values.size else float("nan")
