"""Target registration error: how far points lie from their true places after a registration."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mureg.geometry.rigid import RigidTransform


def target_registration_error_mm(pose: RigidTransform, true: RigidTransform, points_mm: npt.ArrayLike) -> float:
    """Mean distance (mm) between the places to which two transforms send the same points [n, 3].

    Fitzpatrick, West and Maurer, IEEE Trans Med Imaging 1998; give points of the heart, in the space both map from.
    """
    return float(np.linalg.norm(pose.apply(points_mm) - true.apply(points_mm), axis=-1).mean())
