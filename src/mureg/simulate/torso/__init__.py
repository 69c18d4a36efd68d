"""Random anthropomorphic torsos, drawn from stated distributions."""

from mureg.simulate.torso.patient import Torso
from mureg.simulate.torso.settings import TorsoRange

__all__ = ["Torso", "TorsoRange"]
