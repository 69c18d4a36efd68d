"""Lay the CT attenuation map onto the cardiac SPECT and reconstruct the corrected heart. Research use only."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

RESEARCH_USE_ONLY = "Research use only: not for diagnosis."
"""Stands wherever a result is shown."""

_PUBLIC = {
    "Acquisition": "mureg.spect",
    "Assessment": "mureg.assessment.result",
    "Ct": "mureg.study",
    "Grid": "mureg.geometry",
    "MuregError": "mureg.errors",
    "MutualInformation": "mureg.registration",
    "Osem": "mureg.recon",
    "Physics": "mureg.spect",
    "PreparedStudy": "mureg.study",
    "Quantity": "mureg.geometry",
    "Registration": "mureg.registration",
    "RigidTransform": "mureg.geometry",
    "Study": "mureg.study",
    "StudySettings": "mureg.pipeline",
    "SystemModel": "mureg.spect",
    "Thresholds": "mureg.assessment.thresholds",
    "Volume": "mureg.geometry",
    "examine": "mureg.pipeline",
    "inspect": "mureg.io",
    "prepare": "mureg.pipeline",
    "read_ct": "mureg.io",
    "read_mu": "mureg.io",
    "read_spect": "mureg.io",
    "read_study": "mureg.io",
    "reconstruct": "mureg.recon.images",
    "reconstruct_at": "mureg.pipeline",
    "register": "mureg.pipeline",
    "write_nifti": "mureg.io",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the command line answers before torch is loaded."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mureg' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
