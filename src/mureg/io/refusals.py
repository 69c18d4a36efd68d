"""Refusals that every reader shares: what a library raised in a sentence, and spacings that can be no millimetres."""

from __future__ import annotations

import gzip
import zlib

from mureg.errors import GeometryError, UnreadableInputError

SMALLEST_CT_MM, SMALLEST_SPECT_MM = 0.15, 1.0
"""Smallest voxels of a CT or map, and of a SPECT: between the finest that scanners make (about 0.2 and 2 mm) and what
usual ones would be in cm (0.05 to 0.14 of 0.5 to 1.4 mm; 0.3 to 0.9 of 3 to 9 mm)."""
LARGEST_VALUE = 1e15
"""Of a voxel or pixel: far beyond counts, HU and activities; larger ones come from a damaged scaling. A round value."""
_LARGEST_PIXEL_MM = 50.0
"""Thicker than slices and pixels of any scanner; the same in micrometres is above 100."""
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (EOFError, "it ends too early"),
    (gzip.BadGzipFile, "its compression is damaged"),
    (zlib.error, "its compression is damaged"),
    (MemoryError, "there is too little memory"),
)


def cannot_be_read(name: str, error: Exception, expected: str) -> UnreadableInputError:
    """The sentence for whatever a library raised: the system's reason where there is one, else the kind of error."""
    reason = error.strerror if isinstance(error, OSError) else None
    remedy = "export it again" if reason is None else "check the path, the permissions and the disk"
    cause_text = next((cause for kind, cause in _REASONS if isinstance(error, kind)), type(error).__name__)
    return UnreadableInputError(f"{name} cannot be read ({reason or cause_text})", expected, remedy)


def require_millimetres(what: str, spacing: float, smallest_mm: float) -> None:
    """Refuse a spacing that no camera or scanner has, as when it is written in cm or in micrometres."""
    if smallest_mm <= spacing <= _LARGEST_PIXEL_MM:
        return
    unit = "centimetres" if spacing < smallest_mm else "micrometres"
    raise GeometryError(
        f"{what} is {spacing:.4g}, which can be no spacing in millimetres (perhaps {unit})",
        f"{smallest_mm:g} to {_LARGEST_PIXEL_MM:g} mm",
        "correct the header",
    )
