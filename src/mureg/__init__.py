"""Register the CT attenuation map to the cardiac SPECT and reconstruct the corrected image. Research use only."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; at run time each name is loaded when it is first used
    from mureg.assessment.result import Assessment as Assessment
    from mureg.assessment.thresholds import Thresholds as Thresholds
    from mureg.errors import MuregError as MuregError
    from mureg.geometry import Grid as Grid
    from mureg.geometry import Quantity as Quantity
    from mureg.geometry import RigidTransform as RigidTransform
    from mureg.geometry import Volume as Volume
    from mureg.io import inspect as inspect
    from mureg.io import read_ct as read_ct
    from mureg.io import read_mu as read_mu
    from mureg.io import read_spect as read_spect
    from mureg.io import read_study as read_study
    from mureg.io import read_transform as read_transform
    from mureg.io import write_nifti as write_nifti
    from mureg.io import write_transform as write_transform
    from mureg.pipeline import StudySettings as StudySettings
    from mureg.pipeline import examine as examine
    from mureg.pipeline import prepare as prepare
    from mureg.pipeline import reconstruct_at as reconstruct_at
    from mureg.pipeline import register as register
    from mureg.recon import Osem as Osem
    from mureg.recon.images import reconstruct as reconstruct
    from mureg.registration import Combination as Combination
    from mureg.registration import MutualInformation as MutualInformation
    from mureg.registration import NearHeart as NearHeart
    from mureg.registration import PoseByHand as PoseByHand
    from mureg.registration import Registration as Registration
    from mureg.registration.network import NetworkRegistrar as NetworkRegistrar
    from mureg.spect import Acquisition as Acquisition
    from mureg.spect import Physics as Physics
    from mureg.spect import SystemModel as SystemModel
    from mureg.study import Ct as Ct
    from mureg.study import PreparedStudy as PreparedStudy
    from mureg.study import Study as Study

__version__ = "0.1.0"

RESEARCH_USE_ONLY = "Research use only: not for diagnosis."
"""Stands wherever a result is shown."""

_PUBLIC = {
    "Acquisition": "mureg.spect",
    "Assessment": "mureg.assessment.result",
    "Combination": "mureg.registration",
    "Ct": "mureg.study",
    "Grid": "mureg.geometry",
    "MuregError": "mureg.errors",
    "MutualInformation": "mureg.registration",
    "NearHeart": "mureg.registration",
    "NetworkRegistrar": "mureg.registration.network",
    "Osem": "mureg.recon",
    "Physics": "mureg.spect",
    "PoseByHand": "mureg.registration",
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
    "read_transform": "mureg.io",
    "reconstruct": "mureg.recon.images",
    "reconstruct_at": "mureg.pipeline",
    "register": "mureg.pipeline",
    "write_nifti": "mureg.io",
    "write_transform": "mureg.io",
}

__all__ = ["RESEARCH_USE_ONLY", "__version__", *_PUBLIC]


if not TYPE_CHECKING:  # a type checker refuses names that are not public

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used, so that the command line answers at once."""
        if name not in _PUBLIC:
            raise AttributeError(f"module 'mureg' has no attribute {name!r}")
        return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion and help."""
    return sorted(__all__)
