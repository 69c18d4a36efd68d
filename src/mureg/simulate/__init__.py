"""Virtual patients with known truth: anatomy, tracer, camera, scatter and misregistration."""

from mureg.simulate.camera import Camera, Collimator
from mureg.simulate.misalignment import CLINICAL, PAPER, Motion, MotionRange, moved
from mureg.simulate.patient import HeartLandmarks, Patient, patient_from_ct
from mureg.simulate.scatter import SingleScatter

__all__ = [
    "CLINICAL",
    "PAPER",
    "Camera",
    "Collimator",
    "HeartLandmarks",
    "Motion",
    "MotionRange",
    "Patient",
    "SingleScatter",
    "moved",
    "patient_from_ct",
]
