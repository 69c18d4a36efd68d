"""The time that a call may take."""

from __future__ import annotations

import math
import time


class TimeLimit:
    """Minutes after which no further piece of work begins; the first piece always does, so that each call gets on."""

    def __init__(self, minutes: float = math.inf) -> None:
        self._seconds, self._began, self._any = 60.0 * minutes, time.perf_counter(), False

    def note_work(self) -> None:
        """Note that a piece of work is finished."""
        self._any = True

    @property
    def over(self) -> bool:
        """Whether no further piece may begin."""
        return self._any and self.remaining_minutes <= 0.0

    @property
    def remaining_minutes(self) -> float:
        """Until the limit; never below 0."""
        return max(0.0, self._seconds - (time.perf_counter() - self._began)) / 60.0
