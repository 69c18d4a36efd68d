"""Errors on a department's cases that were held out, before and after training, and the interval that follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mureg.errors import MuregError, UsageError
from mureg.registration.card import Card
from mureg.training.before_after import HeldOutError
from mureg.training.examples import ExampleSource
from mureg.training.heart.calibration import Residuals, stated_covariance
from mureg.training.heart.errors import (
    COLUMNS,
    DEFAULT,
    Row,
    error_row,
    read_rows,
    registrar_of,
    settings_fingerprints,
    write_rows,
)

LEAST_FOR_INTERVAL = 40
"""Patients held out from which the interval is calibrated anew: as many as one group of the shipped calibration."""
_GROUP_SHARE = 0.85
"""See `mureg.training.heart.recipe.Calibration`; with one group nine of ten of all cases decide."""


@dataclass(frozen=True)
class OwnErrors:
    """One case that was held out, to register with several networks; travels to other processes.

    Attributes:
        source: the case.
        weights: of the networks.
    """

    source: ExampleSource
    weights: tuple[Path, ...]


@dataclass(frozen=True)
class OwnErrorRows:
    """Rows of errors of one case, in the order of the weights; none where a registration was refused.

    Attributes:
        source: the case.
        rows: values of `mureg.training.heart.errors.COLUMNS`.
        refusal: why there are none.
    """

    source: ExampleSource
    rows: tuple[Row, ...] = ()
    refusal: str = ""


def measure_own_errors(task: OwnErrors) -> OwnErrorRows:
    """Register a case with each of the weights and compare with its transform."""
    try:
        pair = task.source.read()
        rows = tuple(error_row(task.source.name, pair, registrar_of(weights, DEFAULT)) for weights in task.weights)
    except UsageError:
        raise
    except MuregError as problem:
        return OwnErrorRows(task.source, refusal=f"{task.source.name}: {problem}")
    return OwnErrorRows(task.source, rows)


def add_row(path: Path, row: Row) -> None:
    """Add a row to a file of rows, in place of an earlier one of the case."""
    rows: dict[str, Row] = {old["case"]: tuple(old[name] for name in COLUMNS) for old in read_rows(path)}
    write_rows(path, ({**rows, str(row[0]): row}).values())


def held_out_errors(held_out: Sequence[ExampleSource], before: Path, after: Path) -> list[HeldOutError]:
    """Errors over the heart of the cases that both files have a row of."""
    old, new = ({row["case"]: row for row in read_rows(path)} for path in (before, after))
    return [
        HeldOutError(
            source.name,
            source.patient,
            float(old[source.name]["unregistered_mm"]),
            float(old[source.name]["heart_mm"]),
            float(new[source.name]["heart_mm"]),
        )
        for source in held_out
        if source.name in old and source.name in new
    ]


def figures_of(errors: Sequence[HeldOutError]) -> dict[str, float]:
    """Figures for a card: mean errors over the heart on the cases held out, after and before, and their number."""
    return {
        "heart_mm": float(np.mean([error.after_mm for error in errors])),
        "heart_mm_before": float(np.mean([error.before_mm for error in errors])),
        "held_out_cases": float(len(errors)),
    }


def with_interval(card: Card, rows: Path, patients: set[str]) -> tuple[Card, str]:
    """A card with an interval that follows from the errors, and a sentence on it.

    From `LEAST_FOR_INTERVAL` patients on it is calibrated anew, for the default mode. From fewer the covariance of the
    weights before is enlarged until every error lies below its bound, and is not marked as calibrated.

    Args:
        card: with the covariance of the weights before.
        rows: errors with the new weights.
        patients: whose errors they are.
    """
    if not card.errors:
        return card, "none: the weights before state none"
    grow_mm = card.errors_grow_mm or math.inf  # a constant covariance
    residuals = Residuals.of(rows, grow_mm)
    factor = max(1.0, float(residuals.ratios(np.asarray(card.errors)).max()))
    quick = _enlarged(card.quick_errors, factor)
    if len(patients) >= LEAST_FOR_INTERVAL:
        stated, fingerprints = stated_covariance([rows], grow_mm, _GROUP_SHARE), settings_fingerprints()
        calibrated_for = {name: fingerprints[name] for name in (DEFAULT, "attenuation", "reconstructor")}
        card = replace(card, errors=stated.matrix, quick_errors=quick, calibrated_for=calibrated_for)
        group = stated.groups[0]
        return card, (
            f"calibrated on {len(patients)} patients held out ({100 * group.share:.0f} % below the bound, median bound "
            f"{group.median_bound_mm:.1f} mm); not for quick mode"
        )
    card = replace(card, errors=_enlarged(card.errors, factor), quick_errors=quick, calibrated_for={})
    change = f"is enlarged {factor:.2g} times" if factor > 1.0 else "is kept"
    return card, (
        f"not calibrated: {len(patients)} patients held out, fewer than {LEAST_FOR_INTERVAL}; the bound of the weights "
        f"before {change}"
    )


def _enlarged(covariance: tuple[tuple[float, ...], ...], factor: float) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(factor**2 * value for value in row) for row in covariance)
