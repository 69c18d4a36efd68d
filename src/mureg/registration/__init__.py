"""From two images to a pose. A registrar is one file here and one line in the catalogue."""

from mureg.registration.base import Registrar, Registration
from mureg.registration.likelihood.projection import ProfileLikelihood
from mureg.registration.mutual_information import MutualInformation
from mureg.registration.near_heart import NearHeart

REGISTRARS: dict[str, type] = {kind.kind: kind for kind in (MutualInformation, NearHeart, ProfileLikelihood)}
"""Every registrar by its kind: help, settings files, the command line and the contract tests read this."""

__all__ = ["REGISTRARS", "MutualInformation", "NearHeart", "ProfileLikelihood", "Registrar", "Registration"]
