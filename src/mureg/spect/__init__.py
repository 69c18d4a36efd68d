"""Physics of the camera: what was measured, and how activity becomes counts."""

from mureg.spect.acquisition import Acquisition, EnergyWindow
from mureg.attenuation.hu_to_mu import HuToMu, mu_map
from mureg.spect.physics import Physics
from mureg.spect.system import SystemModel

__all__ = ["Acquisition", "EnergyWindow", "HuToMu", "Physics", "SystemModel", "mu_map"]
