"""The lines of cases.csv, and the settings that decide their figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as settings_dataclass

from mureg.attenuation.maps import AttenuationMap
from mureg.comparison.regions import LiverRegion
from mureg.comparison.table import Line
from mureg.files.former_names import current_row_name, with_current_names
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple
from mureg.recon import Osem
from mureg.recon.catalogue import AnyReconstructor
from mureg.spect import Physics

NOT_MEASURED = float("nan")
POINTS, BALL = "points", "ball"
SIX = ("tx_mm", "ty_mm", "tz_mm", "rx_deg", "ry_deg", "rz_deg")


@settings_dataclass(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Measurement:
    """Settings of the figures, apart from the methods.

    Attributes:
        reconstructor: reconstruction of the corrected images.
        physics: effects of the camera in it.
        attenuation: attenuation map in it.
        liver: region of the liver error in cases without liver points.
        axis: long axis of the polar maps: from the true wall, or estimated from the reference image.
    """

    reconstructor: AnyReconstructor = Osem()
    physics: Physics = Physics()
    attenuation: AttenuationMap = AttenuationMap()
    liver: LiverRegion = LiverRegion()
    axis: Literal["known", "estimated"] = "known"


@dataclass(frozen=True)
class MethodRow(Line):
    """A line of cases.csv: one case and method.

    Attributes:
        cohort, case, patient: whose study it is.
        made_from: beginning of the hash of the cohort's settings, and the number: the same wherever the case lies.
        method, settings, version: how it was registered; settings as JSON.
        measured_with: beginning of the hash of the `Measurement`.
        status, reason: "done", or "refused" or "crashed" and why.
        images: "done", "failed" or "" where none were asked for.
        found_tx_mm ... found_rz_deg: rigid parameters of the pose about the centre of the SPECT grid; 0 for a failure.
        tx_mm ... rz_deg: estimated minus true; for a failure, scanner position minus true.
        delta_t_mm, delta_r_deg: mean absolute error over the axes.
        heart_mm, liver_mm: target registration error.
        remainder_mm: non-rigid residual of the heart, RMS over its points, mm.
        mu_nmse, mu_nmae: of the map on the SPECT grid, percent.
        ac_nmse, ac_nmae: of the corrected image as reconstructed, percent.
        ac_nmse_scaled, ac_nmae_scaled: of it over its mean.
        polar: mean error over the 17 segments, percent of the maximum.
        seconds: of the processor, for the registration.
        liver_from: where the error over the liver was taken: "points" of the case's own liver, or the "ball" that
            stands for it.
    """

    cohort: str
    case: str
    patient: str
    made_from: str
    method: str
    settings: str
    version: str
    measured_with: str
    status: str
    reason: str
    images: str
    found_tx_mm: float
    found_ty_mm: float
    found_tz_mm: float
    found_rx_deg: float
    found_ry_deg: float
    found_rz_deg: float
    tx_mm: float
    ty_mm: float
    tz_mm: float
    rx_deg: float
    ry_deg: float
    rz_deg: float
    delta_t_mm: float
    delta_r_deg: float
    heart_mm: float
    liver_mm: float
    remainder_mm: float
    seconds: float
    mu_nmse: float = NOT_MEASURED
    mu_nmae: float = NOT_MEASURED
    ac_nmse: float = NOT_MEASURED
    ac_nmae: float = NOT_MEASURED
    ac_nmse_scaled: float = NOT_MEASURED
    ac_nmae_scaled: float = NOT_MEASURED
    polar: float = NOT_MEASURED
    liver_from: str = BALL

    @classmethod
    def current_cells(cls, cells: dict[str, Any]) -> dict[str, Any]:
        """See `Line.current_cells`: of the method and its settings."""
        method = current_row_name(cells["method"])
        return {**cells, "method": method, "settings": _current_settings(cells["settings"])}

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identifies a row: cohort, case, method and fingerprint of the settings."""
        return self.cohort, self.case, self.method, self.settings

    @property
    def failed(self) -> bool:
        """Whether the errors are those of the scanner position because there is no pose."""
        return self.status != "done"

    @property
    def six(self) -> tuple[list[float], list[float]]:
        """The pose: translation in mm and angles in degrees."""
        values = [float(getattr(self, f"found_{name}")) for name in SIX]
        return values[:3], values[3:]

    def pose(self, centre_mm: Triple) -> RigidTransform:
        """``ct_from_spect`` of this row, from the centre of the rigid parameters of its case."""
        return RigidTransform.from_six(*self.six, centre_mm)


def _current_settings(written: str) -> str:
    """Settings of a method with the names of now; a text that is no table of settings is returned unchanged."""
    try:
        table = json.loads(written)
    except ValueError:
        return written
    if not isinstance(table, dict):
        return written
    current = with_current_names(table, str(table.get("kind", "")))
    return written if current == table else json.dumps(current, sort_keys=True)
