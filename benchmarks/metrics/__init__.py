"""Generation quality: clips -> features -> statistics -> values, each step a pure function."""
