"""Progress of a training run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from mureg.training.logs import EpochRow
from mureg.training.validation import Figures

_EARLY_S, _TELL_EVERY_S = 3.0, 0.3
"""First report of the rate, and shortest interval of the reports: a display choice, s."""


@runtime_checkable
class Report(Protocol):
    """Receives the progress of a training run."""

    def say(self, line: str) -> None:
        """Receive one line of text."""

    def at(self, n_done: int, of: int, loss: float) -> None:
        """Receive the number of cases seen, the number of the whole run, and the last loss."""


class Silent:
    """A `Report` that discards the progress."""

    def say(self, line: str) -> None:
        """Discard the line."""

    def at(self, n_done: int, of: int, loss: float) -> None:
        """Discard the position."""


@dataclass
class Pace:
    """Reports the rate once and then the position, at most every 0.3 s: each report waits for the device."""

    report: Report
    before: int
    n_samples: int
    n_train: int
    started: float = field(default_factory=time.perf_counter)
    reported_s: float = 0.0

    def after(self, n_seen: int, losses: Tensor, cases: int) -> None:
        """Report after an optimiser step, unless the last report was just now."""
        passed = time.perf_counter() - self.started
        if passed - self.reported_s < _TELL_EVERY_S:
            return
        loss = float(losses) / cases
        self.report.at(self.before + n_seen, self.n_samples, loss)
        if self.before == 0 and self.reported_s < _EARLY_S <= passed:
            rate = n_seen / passed
            self.report.say(
                f"first {n_seen} cases: loss {loss:.2f}, {rate:.1f} cases/s; an epoch takes about "
                f"{self.n_train / rate:.0f} s, all of it {self.n_samples / rate / 60:.1f} minutes"
            )
        self.reported_s = passed


def epoch_line(row: EpochRow, unregistered: Figures) -> str:
    """One epoch as one line of text."""
    line = f"epoch {row.epoch}: loss {row.loss:.3f}, {row.cases_per_second:.1f} cases/s, {row.seconds:.0f} s"
    if row.heart_mm is None or row.share_above_pixel is None:
        return line
    return (
        f"{line}; heart {row.heart_mm:.2f} mm on patients not seen (scanner position {unregistered.heart_mm:.1f}), "
        f"{100 * row.share_above_pixel:.0f} % above one pixel"
    )
