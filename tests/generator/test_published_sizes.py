"""The full scale, built without its weights: parameters, tokens, one step at full width."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from benchmarks.config.files import load_config
from core.batch import Batch
from core.fitting import fit
from core.optimisation import Optimisation
from generator.base import ClipShape
from generator.ophora.pipeline import TransformerSettings

PAPER = load_config("paper/ophnet_phase")


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_cogvideox_2b_has_the_published_parameters() -> None:
    with torch.device("meta"):
        transformer = TransformerSettings().build(PAPER.clip)
        # Source: configurations of THUDM/CogVideoX-2b and google/t5-v1_1-xxl
        vae = AutoencoderKLCogVideoX(
            block_out_channels=(128, 256, 256, 512), latent_channels=16, layers_per_block=3
        )
        text = T5EncoderModel(
            T5Config(
                vocab_size=32_128,
                d_model=4096,
                d_kv=64,
                d_ff=10_240,
                num_layers=24,
                num_heads=64,
                feed_forward_proj="gated-gelu",
            )
        )
    assert parameters(transformer) == 1_693_783_872
    assert parameters(vae) == 215_583_907
    assert parameters(text) == 4_762_310_656


def test_one_clip_of_the_paper_is_17776_tokens() -> None:
    settings = TransformerSettings(num_layers=1, num_attention_heads=1, attention_head_dim=16)
    with torch.device("meta"):
        transformer = settings.build(PAPER.clip)
        latents = torch.zeros(1, 13, 16, 60, 90)
        text = torch.zeros(1, PAPER.ophora.max_text_tokens, 4096)
        assert transformer.patch_embed(text, latents).shape[1] == 17_776


def test_positions_span_the_same_range_at_every_size() -> None:
    settings = TransformerSettings(num_layers=1, num_attention_heads=3)
    with torch.device("meta"):
        published = settings.build(PAPER.clip).config
    assert published.spatial_interpolation_scale == 1.875  # Source: THUDM/CogVideoX-2b, config.json
    assert published.temporal_interpolation_scale == 1.0
    small = settings.build(ClipShape(num_frames=9, width=96, height=64), temporal_compression=1)
    assert small.config.spatial_interpolation_scale * (720 // 16) == 1.875 * (96 // 16)
    positions = small.patch_embed.pos_embedding[0, -9 * 24 :].reshape(9, 24, 192)[0]
    apart = torch.cdist(positions, positions) + 100 * torch.eye(24)
    assert apart.min() > 4  # of vectors of length 9.8; 0.8 with the step of the full size


def test_full_width_trains(tmp_path: Path) -> None:
    """Width, heads, text and time embedding of CogVideoX-2b; two layers, a small clip."""
    shape = ClipShape(num_frames=9, width=64, height=64)
    torch.manual_seed(0)
    model = TransformerSettings(num_layers=2).build(shape)
    model.enable_gradient_checkpointing()
    text = torch.randn(1, 226, 4096)

    def loss(batch: Batch) -> Tensor:
        latents = batch.normal((3, 16, 8, 8))
        output = model(
            hidden_states=latents, encoder_hidden_states=text, timestep=torch.tensor([500])
        ).sample
        return (output - 1).square().mean()

    optimisation = Optimisation(steps=2, batch_size=1, lr=1e-4, precision="auto")
    result = fit(
        model, loss, 1, optimisation, tmp_path, description="width", device=torch.device("cpu")
    )
    assert result["parameters"] > 100e6 and result["skipped_steps"] == 0
    assert result["last_loss"] == pytest.approx(result["first_loss"], rel=0.5)
