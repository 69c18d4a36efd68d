"""What a rotating gamma camera measured, in one convention whatever the vendor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from mureg.errors import GeometryError, UnreadableInputError
from mureg.geometry import Array, Grid


@dataclass(frozen=True)
class EnergyWindow:
    """An energy window of the camera, in keV."""

    lower_kev: float
    upper_kev: float
    name: str = ""

    def __contains__(self, energy_kev: float) -> bool:
        return self.lower_kev <= energy_kev <= self.upper_kev


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Projections of one patient over an orbit.

    Every view is seen from the detector, looking at the patient with the head up: row 0 is nearest the head, columns
    run to the viewer's right (in the anterior view, to the patient's left). Readers turn whatever a vendor writes
    into this.

    Attributes:
        counts: float32 [window, view, row, column], at least 0.
        windows: the energy windows, in the order of `counts`.
        photopeak: index of the window that holds the nuclide's line.
        angles_deg: per view, where the detector stands, in the DICOM sense: 0 at the patient's back, 90 at the
            patient's left, 180 in front.
        radii_mm: per view, axis of rotation to detector face; None where unknown.
        pixel_mm: (row spacing, column spacing).
        centre_mm: x and y of the axis of rotation and z of the middle of the detector rows, LPS+. The axis is
            parallel to z and is seen in the middle of the detector columns.
        seconds_per_view: acquisition time of one view, 0 where unknown.
        collimator: name as written by the vendor, "" where unknown.
        frame_of_reference: DICOM UID, "" where unknown.
        notes: every guess made while reading, one sentence each.
        view_weights: per view, relative share of decays that were counted (time, decay since the first view); None
            where all are alike.
        column_offsets_mm: per view, how far to the right of the middle of the detector columns the axis is seen
            (centre-of-rotation offset); None for none.
        manufacturer: of the camera, "" where unknown.
    """

    counts: Float[Array, "window view row column"]
    windows: tuple[EnergyWindow, ...]
    photopeak: int
    angles_deg: npt.NDArray[np.float64]
    pixel_mm: tuple[float, float]
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radii_mm: npt.NDArray[np.float64] | None = None
    seconds_per_view: float = 0.0
    collimator: str = ""
    nuclide: str = ""
    patient_position: str = ""
    frame_of_reference: str = ""
    notes: tuple[str, ...] = ()
    view_weights: npt.NDArray[np.float64] | None = None
    column_offsets_mm: npt.NDArray[np.float64] | None = None
    manufacturer: str = ""

    def __post_init__(self) -> None:
        n_windows, n_views = self.counts.shape[:2]
        if min(self.counts.shape) < 1:
            raise UnreadableInputError(
                f"projections of shape {tuple(self.counts.shape)}",
                "at least one window, view, row and column",
                "export the projections again",
            )
        if n_windows != len(self.windows) or not 0 <= self.photopeak < n_windows:
            raise UnreadableInputError(
                f"{n_windows} windows of counts, {len(self.windows)} energy windows, photopeak {self.photopeak}",
                "one energy window for each, the photopeak among them",
                "check EnergyWindowInformationSequence",
            )
        if len(self.angles_deg) != n_views or not np.isfinite(self.angles_deg).all():
            raise GeometryError(
                f"{len(self.angles_deg)} angles for {n_views} views",
                "one finite angle for each view",
                "check the rotation",
            )
        if self.radii_mm is not None and (len(self.radii_mm) != n_views or not (np.asarray(self.radii_mm) > 0).all()):
            raise GeometryError(
                f"detector radii {np.asarray(self.radii_mm).tolist()} mm for {n_views} views",
                "one positive radius for each view",
                "leave the radius out where it is unknown",
            )
        for what, values in (("view weights", self.view_weights), ("column offsets", self.column_offsets_mm)):
            if values is not None and (len(values) != n_views or not np.isfinite(values).all()):
                raise GeometryError(
                    f"{len(values)} {what} for {n_views} views", "one finite value a view", "check the orbit"
                )
        if self.view_weights is not None and min(self.view_weights) <= 0:
            raise GeometryError("view weights of 0 or less", "positive weights", "leave out views that were not taken")
        if min(self.pixel_mm) <= 0:
            raise GeometryError(f"pixel spacing {self.pixel_mm} mm", "positive spacings", "check PixelSpacing")
        if not bool(np.isfinite(self.counts).all()) or float(self.counts.min()) < 0:
            raise UnreadableInputError(
                "negative or non-finite counts", "counts of at least 0", "check the rescale values"
            )

    def __repr__(self) -> str:
        rows, columns = self.counts.shape[2:]
        row_mm, column_mm = self.pixel_mm
        windows = "1 window" if len(self.windows) == 1 else f"{len(self.windows)} windows"
        nuclide = f"{self.nuclide}, " if self.nuclide else ""
        return (
            f"Acquisition({nuclide}{self.n_views} views over {self.arc_deg:.0f} degrees, {rows} x {columns} pixels of "
            f"{row_mm:.4g} x {column_mm:.4g} mm, {windows}, {float(self.photopeak_counts.sum()):.4g} photopeak counts)"
        )

    @property
    def n_views(self) -> int:
        """Number of projection angles, over all heads and rotations."""
        return int(self.counts.shape[1])

    @property
    def arc_deg(self) -> float:
        """The smallest arc that holds every view, each view counted with its own width: 180 or 360 as a rule."""
        angles = np.unique(np.round(self.angles_deg % 360.0, 3))
        if len(angles) < 2:
            return 0.0
        gaps = np.diff(np.append(angles, angles[0] + 360.0))
        return float(min(360.0, 360.0 - gaps.max() + np.median(gaps)))

    @property
    def photopeak_counts(self) -> Float[Array, "view row column"]:
        """Counts of the photopeak window."""
        counts: Array = self.counts[self.photopeak]
        return counts

    def grid(self) -> Grid:
        """The reconstruction grid: voxels as large as the detector's pixels, centred on the axis of rotation."""
        rows, columns = self.counts.shape[2:]
        row_mm, column_mm = self.pixel_mm
        return Grid.centred(
            (columns, columns, rows), (column_mm, column_mm, row_mm), self.centre_mm, self.frame_of_reference
        )
