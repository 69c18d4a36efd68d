"""What is concluded from a registration: decision, limits, warnings by rank, the move at the heart, perfusion."""
