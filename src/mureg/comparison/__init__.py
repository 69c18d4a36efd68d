"""How good a result is, where the truth is known."""

from mureg.comparison.metrics import (
    ACTION_LIMIT_MM,
    mean_motion_errors,
    motion_errors,
    share_above,
)
from mureg.geometry.target_error import target_registration_error_mm

__all__ = [
    "ACTION_LIMIT_MM",
    "mean_motion_errors",
    "motion_errors",
    "share_above",
    "target_registration_error_mm",
]
