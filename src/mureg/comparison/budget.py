"""What the training of a network cost, from what lies beside its weights."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mureg.registration.card import Card

LOG = "log.csv"
"""Of a run of `mureg train`: a line for each epoch."""

_BATCH = 4
"""Cases, as in Table 1 of Chen et al., MICCAI 2022."""


@dataclass(frozen=True)
class Budget:
    """Of the run that made a network, until its end and not only until its best epoch.

    Attributes:
        batch_seconds: for a batch of 4, as in the paper's Table 1: the median over epochs, validation not counted; NaN
            where no log tells.
        samples: cases seen, repetitions counted.
        minutes: of all sittings, validation counted.
    """

    batch_seconds: float
    samples: int
    minutes: float


def budget_of(weights: Path, card: Card) -> Budget | None:
    """From the log of the run where it lies beside the weights and knows them, else from their card; None for neither.

    The card of a network that was chosen before the run ended says no more than what it had cost until then.
    """
    try:
        samples, seconds = int(card.trained_on["samples"]), float(card.trained_on["seconds"])
    except (KeyError, TypeError, ValueError):
        return None
    try:
        with weights.with_name(LOG).open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        if samples in [int(line["samples"]) for line in lines]:
            pace = median(float(line["cases_per_second"]) for line in lines)
            return Budget(_BATCH / pace, int(lines[-1]["samples"]), float(lines[-1]["seconds"]) / 60.0)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        pass
    return Budget(float("nan"), samples, seconds / 60.0)
