"""Planes at a pose as a picture, for browsers that run no scripts or cannot draw."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from urllib.parse import urlencode

import numpy as np
from scipy.spatial.transform import Rotation

from mureg.errors import UsageError
from mureg.geometry import RigidTransform, Volume
from mureg.geometry.rigid import Triple
from mureg.heart.find import HeartLocation
from mureg.report.pictures.canvas import Canvas
from mureg.report.pictures.chest import brightest_in_heart, chest_centre, draw_fused, smoothed
from mureg.report.pictures.colours import AFTER
from mureg.report.pictures.planes import VIEWS, plane

_SIZE_MM: Triple = (380.0, 280.0, 280.0)
"""Most chests without arms, as on the page; chosen by eye."""
_WIDTH, _GAP, _TITLE = 960, 6, 24
"""Pixels: beside the controls of a page of 1400; chosen by eye."""
_LARGEST = 500.0
"""Of each number, mm or degrees: wider than any scanner."""


@dataclass(frozen=True)
class MoveQuery:
    """How the map is moved from its scanner position, as an address says it.

    Attributes:
        left, back, head: mean displacement at the heart, mm.
        tx, ty, tz: rotation vector of the map's anatomy, degrees.
        x, y, z: place through which the planes go, LPS+ mm; None for the heart.
    """

    left: float = 0.0
    back: float = 0.0
    head: float = 0.0
    tx: float = 0.0
    ty: float = 0.0
    tz: float = 0.0
    x: float | None = None
    y: float | None = None
    z: float | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> MoveQuery:
        """From the query of an address; `UsageError` for anything but numbers."""
        known = {field.name for field in fields(cls)}
        try:
            values = {name: float(text or "0") for name, text in query.items()}
        except ValueError:
            values = {"": 0.0}
        if not (values.keys() <= known and all(abs(value) <= _LARGEST for value in values.values())):
            raise UsageError("a move that cannot be shown", f"{', '.join(sorted(known))} up to {_LARGEST:g}", "go back")
        return cls(**values)

    def as_query(self) -> str:
        """The query of an address."""
        return urlencode({name: value for name, value in asdict(self).items() if value is not None})

    def pose(self, heart_mm: Triple) -> RigidTransform:
        """``ct_from_spect``."""
        heart, matrix = np.asarray(heart_mm), np.eye(4)
        turn = Rotation.from_rotvec([-self.tx, -self.ty, -self.tz], degrees=True).as_matrix()
        matrix[:3, :3] = turn
        matrix[:3, 3] = heart - turn @ heart - (self.left, self.back, self.head)
        return RigidTransform(matrix)

    def place(self, heart_mm: Triple) -> Triple:
        """Through which the planes go."""
        own = (self.x, self.y, self.z)
        x, y, z = (middle if asked is None else asked for asked, middle in zip(own, heart_mm, strict=True))
        return x, y, z


def planes_png(spect: Volume, mu: Volume, heart_mm: Triple, place_mm: Triple, title: str) -> bytes:
    """Transaxial, coronal and sagittal plane through a place, the SPECT over the map, as a PNG.

    Args:
        spect: uncorrected.
        mu: the map at its pose, in SPECT space.
        heart_mm: sets the brightness.
        place_mm: LPS+, through which the planes go.
        title: above them.
    """
    shown, heart = smoothed(spect), HeartLocation(heart_mm, 1.0)
    bright = brightest_in_heart(shown, heart)
    per_mm = (_WIDTH - 2 * _GAP) / sum(_SIZE_MM[view.across] for view in VIEWS)
    height = _SIZE_MM[1] * per_mm
    canvas = Canvas(_WIDTH, round(_TITLE + height), paper="#11151c", ink="#e8ecf2")
    canvas.text(2, 3, title, fontsize=9, fontweight="bold")
    left = 0.0
    for view in VIEWS:
        width = _SIZE_MM[view.across] * per_mm
        at = chest_centre(shown, HeartLocation(place_mm, 1.0), view)
        panel = canvas.plane_panel((left, _TITLE, width, height), view, _SIZE_MM, at)
        cuts = plane(mu, view, at, _SIZE_MM), plane(shown, view, at, _SIZE_MM)
        draw_fused(panel, *cuts, bright, AFTER)
        left += width + _GAP
    with io.BytesIO() as file:
        canvas.picture().save(file, format="png", compress_level=1)
        return file.getvalue()
