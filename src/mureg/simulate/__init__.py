"""Virtual patients with known truth: anatomy, tracer, camera, scatter, CT and misregistration."""

from mureg.simulate.gamma_camera import GammaCamera
from mureg.simulate.misalignment import CLINICAL, PAPER, MotionRange, PatientMotion, moved
from mureg.simulate.photons import PhotonScatter

__all__ = ["CLINICAL", "PAPER", "GammaCamera", "MotionRange", "PatientMotion", "PhotonScatter", "moved"]
