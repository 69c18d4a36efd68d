"""Random anthropomorphic torsos, drawn from stated distributions.

Places, sizes and fillets in these modules are drawn by eye after anatomy, in mm, unless a source is named; none is
measured. How the torsos compare with people stands in docs/concepts/virtual-patients.md, and how their ventricles lie
beside those of real CTs in docs/concepts/anatomies.md. The difficulty levels are frozen with these numbers.
"""

from mureg.simulate.torso.patient import Torso
from mureg.simulate.torso.settings import TorsoRange

__all__ = ["Torso", "TorsoRange"]
