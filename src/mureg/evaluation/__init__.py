"""How good a result is, where the truth is known."""

from mureg.evaluation.metrics import ACTION_LIMIT_MM, motion_errors, share_above, target_registration_error_mm
from mureg.evaluation.statistics import Estimate, bootstrap, bootstrap_difference, mean, percentile_95

__all__ = [
    "ACTION_LIMIT_MM",
    "Estimate",
    "bootstrap",
    "bootstrap_difference",
    "mean",
    "motion_errors",
    "percentile_95",
    "share_above",
    "target_registration_error_mm",
]
