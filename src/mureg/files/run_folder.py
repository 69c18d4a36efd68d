"""A folder that is written in place, run after run: a batch, a cohort, a training, a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mureg import __version__
from mureg.errors import UsageError
from mureg.files import scratch
from mureg.files.lock import LOCK, locked
from mureg.files.marker import MARKER, Marker, read_marker, write_marker
from mureg.files.modes import make_folder
from mureg.files.places import foreign_names, refuse_overlap, require_writable


@dataclass(frozen=True)
class RunFolder:
    """What the folders of a kind of run have in common.

    Attributes:
        kind: of the run, as the marker of the folder says it.
        recognise: whether a folder without a marker is such a run, begun by mureg 0.1.0.
        inside: names of folders in it that are written into as well.
        own_files: names that may be in a folder that is not begun yet.
    """

    kind: str
    recognise: Callable[[Path], bool]
    inside: Sequence[str] = ()
    own_files: Sequence[str] = ()

    def refuse(self, output: Path, inputs: Iterable[Path | None] = ()) -> None:
        """Refuse an output before any work is done; nothing is written.

        Raises:
            UsageError: it overlaps an input, cannot be written, or holds other things and is no run of this kind.
        """
        refuse_overlap(output, inputs)
        require_writable(output)
        if not output.is_dir():
            return
        marker = read_marker(output)
        if marker is not None and marker.kind == self.kind:
            return
        foreign = foreign_names(output, lambda name: name in self.own_files)
        if marker is not None or (foreign and not self.recognise(output)):
            what = f"holds a {marker.kind}" if marker is not None else f"holds other things ({foreign[0]})"
            raise UsageError(
                f"{output.resolve().name} {what} and no {self.kind}", "a new or empty folder", "choose another output"
            )

    @contextmanager
    def claimed(self, output: Path, inputs: Iterable[Path | None] = ()) -> Iterator[None]:
        """Make the folder, keep other runs out of it, and clear away what a killed one left, before and after.

        Raises:
            UsageError: as `refuse`; another run is at work in it: which; it cannot be made.
        """
        self.refuse(output, inputs)
        output = output.resolve()
        try:
            new_folders = make_folder(output)
        except OSError as problem:
            raise UsageError(
                f"cannot make {output.name} ({problem.strerror})", "a writable folder", "choose another output"
            ) from problem
        try:
            with locked(output / LOCK, output.name):
                self.refuse(output)
                if read_marker(output) is None:
                    write_marker(output, Marker(self.kind, __version__))
                self.clear(output)
                try:
                    yield
                finally:
                    self.clear(output)
                    if output in new_folders and not foreign_names(output):
                        (output / MARKER).unlink(missing_ok=True)
        finally:
            with suppress(OSError):
                for place in new_folders:
                    place.rmdir()

    def clear(self, output: Path) -> None:
        """Clear away what was being written when a run was stopped; the caller holds the lock."""
        for folder in (output, *(output / name for name in self.inside)):
            scratch.clear(folder, alone=True)
