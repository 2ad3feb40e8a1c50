"""Ophora: a CogVideoX pipeline, transfer pre-trained, then privacy-preserving fine-tuned."""
