"""What every verb asks of its output before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mureg.files import scratch
from mureg.files.lock import beside
from mureg.files.places import refuse_overlap


@contextmanager
def claimed(output: Path, inputs: Iterable[Path | None] = ()) -> Iterator[Path]:
    """Keep other runs from an output (a file, or a folder that is exchanged as a whole) while the block lasts.

    What killed runs left beside it is cleared away first, and what they left half exchanged is put right.

    Args:
        output: need not be there.
        inputs: that it may not overlap; see `refuse_overlap`.

    Returns:
        The output with links resolved.

    Raises:
        UsageError: it overlaps an input; another run writes it: which; its parent cannot be made or written.
    """
    refuse_overlap(output, inputs)
    with beside(output) as place:
        scratch.clear(place.parent, alone=False)
        yield place
