"""How good a result is, where the truth is known."""

from mureg.evaluation.metrics import target_registration_error_mm

__all__ = ["target_registration_error_mm"]
