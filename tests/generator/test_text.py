"""The nano T5: a real training, and vectors from which a generator can read captions."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import T5Tokenizer

from generator.backbone.text import (
    TextEncoderSettings,
    TextEncoderTraining,
    correlation,
    encode_text,
)
from generator.encoding import load_text_encoder
from generator.optimisation import Optimisation
from tests.generator.tiny import CAPTIONS, TEXT_TOKENS, CaptionedClips, common

DIM = 8


def test_correlation_is_the_distance_from_white_noise() -> None:
    white = torch.randn(200_000, DIM, generator=torch.Generator().manual_seed(0))
    assert correlation(white) < 1e-3
    assert torch.isclose(correlation(torch.full((10, DIM), 3.0)), torch.tensor(9.0 + 1.0))
    # One direction with variance 4 instead of 1: its squared error, over the dimensions.
    stretched = white * torch.tensor([2.0] + [1.0] * (DIM - 1))
    assert torch.isclose(correlation(stretched), torch.tensor(9.0 / DIM), atol=0.02)


def trained(root: Path, decorrelation: float) -> torch.Tensor:
    """Vectors (N, D) of all captions' tokens after a training."""
    stage = TextEncoderTraining(
        clips=(CaptionedClips(**common(root)),),
        settings=TextEncoderSettings(
            d_model=DIM, d_ff=16, num_layers=1, num_heads=2,
            decorrelation=decorrelation, max_tokens=TEXT_TOKENS,
        ),
        optimisation=Optimisation(steps=80, batch_size=8, lr=2e-2, warmup_steps=5),
        **common(root),
    )  # fmt: skip
    folder = stage.weights()
    tokenizer = T5Tokenizer.from_pretrained(folder / "tokenizer")
    encoder = load_text_encoder(folder / "text_encoder")
    vectors, mask = encode_text(tokenizer, encoder, CAPTIONS, TEXT_TOKENS, mask_padding=False)
    assert vectors.shape == (len(CAPTIONS), TEXT_TOKENS, DIM) and mask.any(1).all()
    return vectors.flatten(0, 1)


def test_decorrelation_spreads_the_vectors_of_captions(tmp_path: Path) -> None:
    alone, spread = (correlation(trained(tmp_path, weight)) for weight in (0.0, 1.0))
    assert spread < alone / 2
