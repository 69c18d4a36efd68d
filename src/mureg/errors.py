"""The one exception tree: every message says what was found, what was expected and what to do about it."""

from __future__ import annotations


def printable(words: str) -> str:
    """The words as one line for any terminal: what a file may smuggle in (new lines, escapes) becomes "?"."""
    return "".join(c if c.isprintable() else "?" for c in words)


LONGEST_PART = 800
"""Characters of each of the three parts of a refusal that are shown, ten lines of a terminal: longer text from a header
is cut."""


def shortened(words: str, most: int = LONGEST_PART) -> str:
    """The words, cut to `most` characters with three dots for the rest."""
    return words if len(words) <= most else words[: most - 4] + " ..."


SOME_FAILED, STOPPED_BY_HAND = 5, 130
"""Exit codes beside those of the exceptions: some of many failed, as listed by ``mureg --help``; Ctrl-C, by the
convention of shells (128 plus signal 2)."""


class MuregError(Exception):
    """A refusal in one sentence. Only the command line and the review page catch it.

    Args:
        found: what was met, with the number or name that matters.
        expected: what would have been accepted.
        remedy: what the user can do.
    """

    exit_code = 1

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(found, expected, remedy)
        self.found, self.expected, self.remedy = found, expected, remedy

    def __str__(self) -> str:
        found, expected, remedy = map(shortened, (self.found, self.expected, self.remedy))
        return printable(f"{found}; expected {expected}; {remedy}.")


class UsageError(MuregError):
    """The request itself is off: options that contradict each other, output that is already there."""

    exit_code = 2


class RefusedError(MuregError):
    """The safety checks refuse to give a result rather than give a wrong one."""

    exit_code = 3


class RegistrationError(RefusedError):
    """No transform that could be trusted was found."""


class UnreadableInputError(MuregError):
    """A file or series cannot be used: damaged, incomplete, ambiguous or of the wrong kind."""

    exit_code = 4


class GeometryError(UnreadableInputError):
    """Space does not fit: tilted or gapped slices, a matrix that is not rigid, grids that do not match."""


class UnitsError(UnreadableInputError):
    """The values are not in the unit that was asked for or that could be detected."""
