"""From projections to activity."""

from mureg.recon.base import Reconstructor
from mureg.recon.osem import Osem

__all__ = ["Osem", "Reconstructor"]
