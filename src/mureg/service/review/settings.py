"""The settings of a result, so that its study is reconstructed the same way."""

from __future__ import annotations

from typing import Any

from mureg.assessment.thresholds import Thresholds
from mureg.attenuation.maps import AttenuationMap
from mureg.files.settings import Table
from mureg.files.validation import validated
from mureg.pipeline import StudySettings
from mureg.recon.catalogue import RECONSTRUCTION_CATALOGUE
from mureg.registration import PoseByHand
from mureg.spect import Physics


def settings_of(table: Table, pose: PoseByHand) -> StudySettings:
    """What the result in ``registration.json`` was made with, but for the pose, which is given.

    Raises:
        UsageError: settings of another version that this one does not know.
    """
    stored: dict[str, Any] = (table.get("provenance") or {}).get("settings") or {}
    where = "the settings of the result"
    return StudySettings(
        pose,
        RECONSTRUCTION_CATALOGUE.make(stored.get("reconstructor") or {"kind": "osem"}, imports=False, where=where),
        validated(Physics, stored.get("physics") or {}, where, "physics"),
        validated(AttenuationMap, stored.get("attenuation") or {}, where, "attenuation"),
        validated(Thresholds, stored.get("decision") or {}, where, "decision"),
    )
