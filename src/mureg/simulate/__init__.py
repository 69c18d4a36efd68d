"""Virtual patients with known truth: anatomy, tracer, camera, scatter and misregistration."""

from mureg.simulate.camera import Camera, Collimator
from mureg.simulate.misalignment import CLINICAL, PAPER, Motion, MotionRange, moved
from mureg.simulate.patient import HeartLandmarks, Patient, patient_from_ct
from mureg.sample import SampleTruth, load_truth, sample_folder
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
    "SampleTruth",
    "SingleScatter",
    "load_truth",
    "moved",
    "patient_from_ct",
    "sample_folder",
]
