"""Virtual patients made from real CTs."""

from mureg.simulate.ct_anatomy.base import CtBase
from mureg.simulate.ct_anatomy.coordinates import REST
from mureg.simulate.ct_anatomy.landmarks import CtLandmarks, load_landmarks, patient_of
from mureg.simulate.ct_anatomy.patient import CtAnatomy, CtAnatomyRange

__all__ = ["REST", "CtAnatomy", "CtAnatomyRange", "CtBase", "CtLandmarks", "load_landmarks", "patient_of"]
