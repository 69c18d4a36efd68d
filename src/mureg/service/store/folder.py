"""The folders of a store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mureg.batch.folder import STUDIES
from mureg.files.local_disk import require_local_disk
from mureg.files.modes import make_folder
from mureg.files.run_folder import RunFolder
from mureg.service.store.database import QUEUE

INPUTS, TEMPORARY = "inputs", ".temporary"
STATUS, TRAIL = "status.json", "review.sqlite"

RUN = RunFolder("store", lambda _folder: False, (STUDIES, INPUTS))


@dataclass(frozen=True)
class Store:
    """Where a service keeps what it does.

    ``studies/NAME`` holds the results as `mureg batch` writes them, ``inputs/NAME`` the SPECT and CT that they were
    made from, under the same names, such as ``3f2a90c1d7e4-v2``. ``mureg review STORE --studies STORE/inputs`` shows
    them.

    Attributes:
        path: of the store.
    """

    path: Path

    @property
    def studies(self) -> Path:
        """Results."""
        return self.path / STUDIES

    @property
    def inputs(self) -> Path:
        """What the results were made from, under the same names."""
        return self.path / INPUTS

    @property
    def trail(self) -> Path:
        """Decisions of readers."""
        return self.path / TRAIL

    @contextmanager
    def claimed(self, sources: Iterable[Path]) -> Iterator[Path]:
        """Make the store or go on with it, and keep other services out of it, while the block lasts.

        Everything temporary of this process and of its children goes into the store, and with them.

        Raises:
            UsageError: it lies on a network disk, overlaps a source, holds other things, or another service is at work.
        """
        require_local_disk(self.path)
        with RUN.claimed(self.path, sources):
            for folder in (self.studies, self.inputs):
                make_folder(folder)
            temporary, before = self.path / TEMPORARY, (os.environ.get("TMPDIR"), tempfile.tempdir)
            shutil.rmtree(temporary, ignore_errors=True)  # of a service that was killed
            make_folder(temporary)
            os.environ["TMPDIR"], tempfile.tempdir = str(temporary), str(temporary)
            try:
                yield self.path / QUEUE
            finally:
                tempfile.tempdir = before[1]
                if before[0] is None:
                    os.environ.pop("TMPDIR", None)
                else:
                    os.environ["TMPDIR"] = before[0]
                shutil.rmtree(temporary, ignore_errors=True)
