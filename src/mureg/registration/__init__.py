"""From two images to a pose. A registrar is one file here and one line in the catalogue."""

from mureg.registration.base import Registrar, Registration
from mureg.registration.by_hand import PoseByHand
from mureg.registration.catalogue import REGISTRARS, registrar_from, registrar_named
from mureg.registration.combination.registrar import Combination
from mureg.registration.gradient_fields import GradientFields
from mureg.registration.likelihood.projection import ProfileLikelihood
from mureg.registration.mutual_information import MutualInformation
from mureg.registration.near_heart import NearHeart
from mureg.registration.network import NetworkRegistrar

__all__ = [
    "REGISTRARS",
    "Combination",
    "GradientFields",
    "MutualInformation",
    "NearHeart",
    "NetworkRegistrar",
    "PoseByHand",
    "ProfileLikelihood",
    "Registrar",
    "Registration",
    "registrar_from",
    "registrar_named",
]
