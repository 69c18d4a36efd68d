"""One pose from several registrars, with a learned rule for how much each of them is worth in a study."""
