"""How good a result is, where the truth is known."""

from mureg.evaluation.metrics import (
    ACTION_LIMIT_MM,
    mean_motion_errors,
    motion_errors,
    share_above,
    target_registration_error_mm,
)
from mureg.evaluation.statistics import (
    Estimate,
    PairedTest,
    bootstrap,
    bootstrap_difference,
    mean,
    paired_t_test,
    percentile_95,
    wilcoxon_test,
)

__all__ = [
    "ACTION_LIMIT_MM",
    "Estimate",
    "PairedTest",
    "bootstrap",
    "bootstrap_difference",
    "mean",
    "mean_motion_errors",
    "motion_errors",
    "paired_t_test",
    "percentile_95",
    "share_above",
    "target_registration_error_mm",
    "wilcoxon_test",
]
