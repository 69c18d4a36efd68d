"""What a run says while it goes on, and to whom."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from mureg.training.logs import Row
from mureg.training.validation import Figures

_EARLY_S, _TELL_EVERY_S = 3.0, 0.3


@runtime_checkable
class Report(Protocol):
    """Whoever wants to know how it goes."""

    def say(self, line: str) -> None:
        """A line for people."""

    def at(self, done: int, of: int, loss: float) -> None:
        """How many cases of the whole run are seen, and the last loss."""


class Silent:
    """Nobody."""

    def say(self, line: str) -> None:
        """See `Report`."""

    def at(self, done: int, of: int, loss: float) -> None:
        """See `Report`."""


@dataclass
class Pace:
    """Says early how fast it goes, and then how far it is, without waiting for the device at every step."""

    report: Report
    before: int
    wanted: int
    n_train: int
    started: float = field(default_factory=time.perf_counter)
    told: float = 0.0

    def after(self, seen: int, losses: Tensor, cases: int) -> None:
        """After a step."""
        passed = time.perf_counter() - self.started
        if passed - self.told < _TELL_EVERY_S:
            return
        loss = float(losses) / cases
        self.report.at(self.before + seen, self.wanted, loss)
        if self.before == 0 and self.told < _EARLY_S <= passed:
            rate = seen / passed
            self.report.say(
                f"first {seen} cases: loss {loss:.2f}, {rate:.1f} cases/s; an epoch takes about "
                f"{self.n_train / rate:.0f} s, all of it {self.wanted / rate / 60:.1f} minutes"
            )
        self.told = passed


def epoch_line(row: Row, by_headers: Figures) -> str:
    """An epoch in a line for people."""
    said = f"epoch {row.epoch}: loss {row.loss:.3f}, {row.cases_per_second:.1f} cases/s, {row.seconds:.0f} s"
    if row.heart_mm is None or row.share_above_pixel is None:
        return said
    return (
        f"{said}; heart {row.heart_mm:.2f} mm on patients not seen (headers {by_headers.heart_mm:.1f}), "
        f"{100 * row.share_above_pixel:.0f} % above one pixel"
    )
