"""From narrated clips to a clean instruction set: refine, dynamics, resolution, privacy."""
