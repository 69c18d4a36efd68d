"""Physics of the camera: what was measured, and how activity becomes counts."""

from mureg.spect.acquisition import Acquisition, EnergyWindow
from mureg.spect.physics import Physics
from mureg.spect.system import SystemModel

__all__ = ["Acquisition", "EnergyWindow", "Physics", "SystemModel"]
