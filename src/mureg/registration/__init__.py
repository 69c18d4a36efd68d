"""From two images to a pose. A registrar is one file here and one line in the catalogue."""

from mureg.registration.base import Registrar, Registration
from mureg.registration.mutual_information import MutualInformation

REGISTRARS: dict[str, type] = {MutualInformation.kind: MutualInformation}
"""Every registrar by its kind: help, settings files, the command line and the contract tests read this."""

__all__ = ["REGISTRARS", "MutualInformation", "Registrar", "Registration"]
