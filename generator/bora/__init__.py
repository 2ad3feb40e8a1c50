"""Bora: a spatial-temporal diffusion transformer (STDiT) on per-frame image latents."""
