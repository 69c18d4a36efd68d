"""How the patients of a cohort are shared out."""

from __future__ import annotations

from collections.abc import Mapping

SHARES: Mapping[str, float] = {"train": 0.6, "validation": 0.15, "test": 0.25}
"""The usual shares of patients; chosen, with tests large enough for an interval (docs/decisions, 3: met on average)."""
