"""The decision as lines for people."""

from __future__ import annotations

from mureg.assessment.move import Move
from mureg.assessment.result import Assessment
from mureg.geometry import Grid


def conclusion_lines(assessment: Assessment) -> list[str]:
    """The same for people: the decision first, then the one number for the move."""
    first, *more = assessment.reasons
    grid = assessment.spect_uncorrected.grid
    lines = [
        f"decision   {assessment.headline}: {first}",
        *(f"           {reason}" for reason in more),
        f"move       {move_words(assessment.move, grid)}",
    ]
    if not assessment.released and assessment.move_found.rms_mm > 0.0:
        lines.append(f"found      {move_words(assessment.move_found, grid)}; not given out")
    if assessment.limits.changed_from_shipped():
        lines.append(f"limits     not the shipped ones: {'; '.join(assessment.limits.changed_from_shipped())}")
    return lines


def move_words(move: Move, spect_grid: Grid) -> str:
    """A move in one sentence: "9.6 mm (1.4 pixels) at the heart: 8.7 mm to the feet; turned by 2.1 degrees"."""
    if move.rms_mm == 0.0:
        return "none: the map stays at its scanner position"
    return f"{move.rms_mm:.1f} mm ({pixels(move, spect_grid):.1f} pixels) at the heart: {move.components()}"


def pixels(move: Move, spect_grid: Grid) -> float:
    """A move in pixels of the SPECT, the smallest side of its voxels."""
    return move.rms_mm / min(spect_grid.spacing_mm)
