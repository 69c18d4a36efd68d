"""What was measured and how, in words: nothing that tells who the patient is."""

from __future__ import annotations

import numpy as np

from mureg.assessment.result import Assessment
from mureg.attenuation.maps import extended_share
from mureg.geometry import Volume
from mureg.report.wording import corrected_for
from mureg.spect import Acquisition
from mureg.spect.patient_motion import largest_jump
from mureg.study import Ct, Study

Facts = tuple[tuple[str, str], ...]


def acquisition_facts(study: Study, assessment: Assessment) -> Facts:
    """Camera, scan, map and motion, as pairs of a name and a few words."""
    spect = study.spect
    named = _camera(spect) if isinstance(spect, Acquisition) else _volume(spect)
    return (*named, *_map(study.attenuation, assessment.shown.mu), ("Corrected for", corrected_for(assessment)))


def _camera(acquisition: Acquisition) -> Facts:
    counts = float(acquisition.photopeak_counts.sum()) / 1e6
    rows, columns = acquisition.counts.shape[2:]
    row_mm, column_mm = acquisition.pixel_mm
    peak = acquisition.windows[acquisition.photopeak]
    windows = [f"{w.lower_kev:g}-{w.upper_kev:g}" for w in acquisition.windows if w is not peak]
    camera = ", ".join(word for word in (acquisition.manufacturer, acquisition.collimator) if word)
    time = f", {acquisition.seconds_per_view:g} s each" if acquisition.seconds_per_view else ""
    return (
        ("SPECT", f"{acquisition.n_views} views over {acquisition.arc_deg:.0f}°{time}; {camera or 'camera not named'}"),
        ("Counts", f"{counts:.2f} million in the photopeak {peak.lower_kev:g}-{peak.upper_kev:g} keV"),
        ("Other windows", f"{', '.join(windows)} keV" if windows else "none"),
        ("Matrix", f"{columns} × {rows}, pixel {column_mm:.2f} × {row_mm:.2f} mm"),
        ("Orbit", _orbit(acquisition)),
        ("Position", acquisition.patient_position or "not stated"),
        ("Motion", _motion(acquisition)),
    )


def _orbit(acquisition: Acquisition) -> str:
    if acquisition.radii_mm is None:
        return "radius not stated"
    low, high = float(np.min(acquisition.radii_mm)), float(np.max(acquisition.radii_mm))
    return f"radius {low:.0f} mm" if high - low < 1.0 else f"radius {low:.0f} to {high:.0f} mm"


def _motion(acquisition: Acquisition) -> str:
    jump = largest_jump(acquisition)
    if jump is None:
        return "not available from these projections"
    if jump.is_motion:
        return f"the projections jump {jump.words()}: more than one pixel"
    return f"none above one pixel axially (largest step {abs(jump.mm):.1f} mm)"


def _volume(spect: Volume) -> Facts:
    x, y, z = spect.grid.spacing_mm
    size = " × ".join(map(str, spect.grid.shape))
    return (
        ("SPECT", "a reconstructed volume; no projections were given"),
        ("Matrix", f"{size}, voxel {x:.2f} × {y:.2f} × {z:.2f} mm"),
        ("Motion", "not available without projections"),
    )


def _map(attenuation: Ct | Volume, registered: Volume) -> Facts:
    volume = attenuation.volume if isinstance(attenuation, Ct) else attenuation
    x, y, z = volume.grid.spacing_mm
    if isinstance(attenuation, Ct):
        scanner = " ".join(word for word in (attenuation.manufacturer, attenuation.model) if word)
        tube = f", {attenuation.kvp:g} kVp" if attenuation.kvp else ", kVp not stated"
        what = f"{scanner or 'scanner not named'}{tube}"
    else:
        what = "a ready attenuation map"
    reach = (
        f"the SPECT field to {100 * registered.known_share:.0f} %; {100 * extended_share(registered):.0f} % of the "
        "attenuation is an extension"
        if registered.outside is not None
        else "the whole SPECT field"
    )
    size = " × ".join(map(str, volume.grid.shape))
    name = "CT" if isinstance(attenuation, Ct) else "Map"
    return ((name, f"{what}; {size} voxels of {x:.2f} × {y:.2f} × {z:.2f} mm"), (f"{name} covers", reach))
