"""The networks of the registrar near-heart: crops around the heart, training, errors on unseen cases, the card."""
