"""Endora: interleaved spatial and temporal attention with a DINO prior (arXiv 2403.11050)."""
