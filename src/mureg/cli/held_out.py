"""The table of ``mureg finetune``: errors on patients that were held out, before and after, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mureg.comparison.statistics import Estimate, bootstrap, bootstrap_difference, mean
from mureg.training.before_after import LEAST_PATIENTS, HeldOutError

_SEED = 20261130
"""Of the resamples: a date."""
_ROWS = (("scanner position", "unregistered_mm"), ("before", "before_mm"), ("after", "after_mm"))


def table_of(errors: Sequence[HeldOutError]) -> tuple[dict[str, Any], list[str]]:
    """Mean errors over the heart with 95 % intervals over patients: for the answer, and as lines."""
    patients = [error.patient for error in errors]
    values = {name: [getattr(error, name) for error in errors] for _, name in _ROWS}
    estimates = {
        words: bootstrap(values[name], mean, np.random.default_rng(_SEED), patients=patients) for words, name in _ROWS
    }
    difference = bootstrap_difference(
        values["after_mm"], values["before_mm"], mean, np.random.default_rng(_SEED), patients=patients
    )
    n_patients = len(set(patients))
    answer = {
        "held_out": {
            "patients": n_patients,
            "cases": len(errors),
            "heart_mm": {words: asdict(estimate) for words, estimate in estimates.items()},
            "change_mm": asdict(difference),
        }
    }
    lines = [
        f"held out   {n_patients} patients, {len(errors)} cases; target registration error over the heart, mm (mean, "
        "95 % interval over patients)",
        *(f"  {words:17} {_words(estimate)}" for words, estimate in estimates.items()),
        f"  {'change':17} {difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]",
    ]
    if n_patients == 1:
        lines.append("  one patient gives no interval: hold out more")
    return answer, lines


def warnings(errors: Sequence[HeldOutError], n_patients: int, n_aligned: int = 0) -> list[str]:
    """What a reader must know of a table, one sentence each.

    Args:
        errors: of the cases held out.
        n_patients: trained on and held out.
        n_aligned: cases without a transform.
    """
    sentences = []
    if n_patients < LEAST_PATIENTS:
        sentences.append(f"{n_patients} patients, fewer than the {LEAST_PATIENTS} with which a gain was shown")
    if n_aligned:
        sentences.append(f"{n_aligned} cases have no transform and count as aligned")
    if errors and np.mean([e.after_mm for e in errors]) >= np.mean([e.before_mm for e in errors]):
        sentences.append(
            "the error on the patients that were held out is not smaller than before: keep the old weights"
        )
    return sentences


def use_line(weights: Path) -> str:
    """The command that uses new weights."""
    return f"use        mureg register --spect SPECT --ct CT -o RESULT --weights {weights}"


def _words(estimate: Estimate) -> str:
    return f"{estimate.value:6.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
