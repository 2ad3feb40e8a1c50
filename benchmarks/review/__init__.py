"""Blinded review of clips by experts: a kit to score them with, and what the scores say.

    python -m benchmarks.review build --config ophnet_phase --output kit
    python -m benchmarks.review aggregate kit answers/*.json

Source: the ophthalmologists' study of Ophora (MICCAI 2025): 12 phases, 50 clips each, seven
criteria, scored 0 to 3.
"""
