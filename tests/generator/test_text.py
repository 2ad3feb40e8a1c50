"""How generators read their captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from generator.backbone.text import captions_of, token_embeddings, whiten_input
from generator.base import Weights
from generator.bora.pipeline import BoraAssembly, load_stdit
from generator.ophora.pipeline import load_pipeline
from tests.generator.tiny import (
    CAPTIONS,
    TEXT_TOKENS,
    CaptionedClips,
    bora_base,
    common,
    ophora_base,
    text_folder,
)


def test_a_whitened_layer_sees_zero_mean_and_unit_covariance() -> None:
    rng = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=rng)).Q
    scaled = torch.randn(4000, 6, generator=rng) * torch.tensor([1.0, 2, 3, 4, 5, 6])
    embeddings = 10 + scaled @ rotation
    layer = nn.Linear(6, 6)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    whiten_input(layer, embeddings)
    seen = layer(embeddings)
    assert seen.mean(0).abs().max() < 1e-3
    assert (torch.cov(seen.T) - torch.eye(6)).abs().max() < 1e-3


def test_directions_without_variance_are_not_blown_up() -> None:
    embeddings = torch.zeros(100, 4)
    embeddings[:, 0] = torch.linspace(-1, 1, 100)
    layer = nn.Linear(4, 4)
    nn.init.eye_(layer.weight)
    whiten_input(layer, embeddings)
    assert layer.weight[1, 1] < 100 * layer.weight[0, 0]


@pytest.mark.parametrize("make", [ophora_base, bora_base])
def test_an_assembly_prepares_its_projection_for_its_captions(
    make: Callable[..., Weights], tmp_path: Path
) -> None:
    clips = (CaptionedClips(**common(tmp_path)),)
    assert captions_of(clips) == sorted(CAPTIONS)
    plain, prepared = (
        projected_captions(make(tmp_path, captions=captions), tmp_path) for captions in ((), clips)
    )
    assert (plain.mean(0) - prepared.mean(0)).abs().max() > 0.05
    assert (prepared.mean(0) - bias_of(make(tmp_path))).abs().max() < 1e-4
    assert prepared.std(0).mean() > 0.3


def projected_captions(base: Weights, root: Path) -> torch.Tensor:
    """The captions' tokens (N, D) as the generator projects them."""
    bora = isinstance(base, BoraAssembly)
    read = token_embeddings(text_folder(root), CAPTIONS, TEXT_TOKENS, mask_padding=bora)
    with torch.no_grad():
        return projection_of(base)(read)


def bias_of(base: Weights) -> torch.Tensor:
    return projection_of(base).bias.detach()


def projection_of(base: Weights) -> nn.Linear:
    """The first layer that sees the text."""
    folder = base.weights()
    if isinstance(base, BoraAssembly):
        return load_stdit(folder).caption_projection.linear_1
    layer: nn.Linear = load_pipeline(folder, text=False).transformer.patch_embed.text_proj
    return layer
