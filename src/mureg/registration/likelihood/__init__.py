"""Registration by the likelihood of the projections."""
