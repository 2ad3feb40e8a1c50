"""Bora's pipeline folder: assembled from trained parts, loaded, sampled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from transformers import T5Tokenizer

from core.runtime import Precision, dtype_of, seed_everything
from core.video import Frames
from generator.backbone.autoencoder import decode, load_autoencoder, to_frames
from generator.backbone.text import encode_text
from generator.base import ClipShape, Weights, check_frame_latents, load_denoiser, share_folder
from generator.bora.stdit import STDiT
from generator.encoding import load_text_encoder
from generator.iddpm import NoiseSchedule, guide, iddpm_scheduler, sample, starting_noise
from generator.sampling import Sampling


class STDiTSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Widths and depths of the STDiT, and its noise. Defaults: STDiT-XL/2 (Bora)."""

    depth: int = pydantic.Field(default=28, ge=1)
    """Transformer blocks."""
    hidden_size: int = pydantic.Field(default=1152, ge=8)
    """Width of the tokens; `num_heads` divides it."""
    num_heads: int = pydantic.Field(default=16, ge=1)
    """Of every attention: within frames, along time, to the caption."""
    patch_size: int = pydantic.Field(default=2, ge=1)
    """Side of a token's square of latents."""
    text_dim: int = pydantic.Field(default=4096, ge=8)
    """Width of T5's embeddings."""
    max_text_tokens: int = pydantic.Field(default=120, ge=1)
    """Of a caption; what is longer is cut."""
    latent_channels: int = pydantic.Field(default=4, ge=1)
    """Of the VAE; Stable Diffusion's has 4."""
    space_scale: float = pydantic.Field(default=0.5, gt=0)
    """Positions in a frame go from 0 to 16 / space_scale, whatever its size."""
    noise_schedule: NoiseSchedule = "linear"
    """Linear betas, as Bora has them, or Improved DDPM's cosine, made for small images."""

    def build(self, shape: ClipShape) -> STDiT:
        """A freshly initialised network for clips of `shape` (8x in space, every frame)."""
        return STDiT(
            num_frames=shape.num_frames,
            height=shape.height // 8,
            width=shape.width // 8,
            in_channels=self.latent_channels,
            patch_size=self.patch_size,
            hidden_size=self.hidden_size,
            depth=self.depth,
            num_heads=self.num_heads,
            text_dim=self.text_dim,
            max_text_tokens=self.max_text_tokens,
            space_scale=self.space_scale,
        )


class BoraAssembly(Weights):
    """`transformer`, `vae`, `text_encoder`, `tokenizer`, `scheduler`: a Bora that knows nothing."""

    autoencoder: Weights
    text: Weights
    shape: ClipShape
    transformer: STDiTSettings
    seed: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        seed_everything(self.seed)
        model = self.transformer.build(self.shape)
        self.write(model, folder / "weights")
        return {"parameters": sum(p.numel() for p in model.parameters())}

    def write(self, model: STDiT, target: Path) -> None:
        """The whole folder around a denoiser."""
        for part in ("text_encoder", "tokenizer"):
            share_folder(self.text.weights() / part, target / part)
        share_folder(self.autoencoder.weights(), target / "vae")
        schedule = iddpm_scheduler(schedule=self.transformer.noise_schedule)
        schedule.save_pretrained(target / "scheduler")
        model.save_pretrained(target / "transformer")


class BoraSampler:
    """Prompts -> clips: respaced ancestral sampling with guidance on the first channels.

    guided_channels: the released sampler guides 3 of the 4 latent channels; None guides all.
    folder: a Bora folder; its denoiser is `model`.
    """

    def __init__(
        self,
        folder: Path,
        model: STDiT,
        guided_channels: int | None = 3,
        precision: Precision = "fp32",
    ) -> None:
        self.folder, self.model, self.guided_channels = folder, model, guided_channels
        self.dtype = dtype_of(precision, model.device)
        self.vae = load_autoencoder(folder / "vae", self.dtype).to(model.device)
        self.scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")

    @classmethod
    def load(
        cls,
        folder: Path,
        shape: ClipShape,
        device: torch.device,
        guided_channels: int | None = 3,
        precision: Precision = "fp32",
    ) -> BoraSampler:
        """The sampler of a Bora folder.

        Raises: UserError: if it makes clips of another shape.
        """
        model = load_denoiser(STDiT, folder).to(device, dtype_of(precision, device))
        check_frame_latents(folder, model.config, shape)
        return cls(folder, model.eval(), guided_channels, precision)

    @cached_property
    def _text_encoder(self) -> tuple[Any, Any]:
        encoder = load_text_encoder(self.folder / "text_encoder", self.dtype)
        tokenizer = T5Tokenizer.from_pretrained(self.folder / "tokenizer")
        return tokenizer, encoder.to(self.model.device)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Frames:
        """See `generator.base.Sampler`."""
        limit = self.model.config.max_text_tokens
        text, mask = encode_text(*self._text_encoder, prompts, limit, mask_padding=True)
        return self.from_embeddings(text, mask, None, seeds, sampling)

    @torch.no_grad()
    def from_embeddings(
        self,
        text: Tensor,
        mask: Tensor,
        empty: Tensor | None,
        seeds: Sequence[int],
        sampling: Sampling,
    ) -> Frames:
        """See `generator.preview.EmbeddingSampler`; Bora's empty caption is its own parameter."""
        config, device = self.model.config, self.model.device
        text, mask = text.to(device, self.dtype), mask.to(device)
        size = (config.num_frames, config.in_channels, config.height, config.width)
        noise, rngs = starting_noise(size, seeds)

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            return self._guided(latents, timestep, text, mask, sampling.guidance_scale)

        latents = sample(predict, noise.to(device), self.scheduler, sampling.steps, rngs)
        scaled = latents.transpose(1, 2) / self.vae.config.scaling_factor
        return to_frames(decode(self.vae, scaled.to(self.vae.dtype)))

    def _guided(
        self, latents: Tensor, timestep: Tensor, text: Tensor, mask: Tensor, scale: float
    ) -> Tensor:
        """(B, T, 2C, h, w): noise with guidance on the guided channels, variance as conditioned."""
        times = timestep.to(latents.device).expand(2 * len(latents))
        doubled = torch.cat([latents] * 2).to(self.dtype)
        dropped = torch.arange(len(doubled), device=latents.device) >= len(latents)
        output = self.model(doubled, times, text.repeat(2, 1, 1), mask.repeat(2, 1), dropped)
        return guide(output, scale, self.guided_channels or latents.shape[2])
