"""Fingerprints of what was read, for the provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from mureg.study import Source

Kind = Literal["spect", "ct", "mu", "transform"]


def source_of(kind: Kind, files: Iterable[Path]) -> Source:
    """Count the files and hash their bytes (SHA-256), whatever order or names they have."""
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return Source(kind, len(digests), hashlib.sha256("".join(digests).encode()).hexdigest())
