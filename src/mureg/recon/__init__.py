"""From projections to activity."""

from mureg.recon.base import Reconstructor
from mureg.recon.catalogue import RECONSTRUCTIONS, reconstruction_from, reconstruction_named
from mureg.recon.osem import Osem

__all__ = ["RECONSTRUCTIONS", "Osem", "Reconstructor", "reconstruction_from", "reconstruction_named"]
