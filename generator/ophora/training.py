"""Training of Ophora: one stage, used for the base model, for transfer pre-training (TPT) and for
privacy-preserving fine-tuning (P2FT); they differ in data, starting weights and a few numbers.

Objective. With x_t = a x_0 + s n (a^2 = alpha_bar_t, s^2 = 1 - a^2, n noise) the network predicts
v = a n - s x_0. Then x_0 = a x_t - s v, so the error of the implied x_0 is s times the error of v,
and the x_0 loss weighted by 1 / (1 - alpha_bar_t), which the released code computes, equals the
plain mean squared error of v, which is computed here. (The paper's Eq. 1 shows the noise form.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.embeddings import CogVideoXPatchEmbed
from torch import Tensor

from generator.base import GivenGenerator, share_folder
from generator.denoising import Example, SampleLoss
from generator.diffusion import DenoiserTraining, check_fits, train_denoiser
from generator.ophora.adapters import add_lora, save_lora
from generator.ophora.pipeline import OphoraSampler, load_pipeline, reading, write_usage
from generator.sampling import Sampling


class OphoraTraining(DenoiserTraining):
    """One of Ophora's trainings; `weights/` is a CogVideoXPipeline folder.

    name: which training this is, for progress and tables ("OphVL": as TPT, on uncurated clips;
    "labelled": as TPT, on the classifiers' own).
    lora_rank: train low-rank updates of the attention's projections instead of all weights
    (arXiv 2106.09685); they are added to the weights at the end, so that the folder stays a plain
    pipeline. The paper trains all weights.
    max_text_tokens: of a caption, where they are not those of the weights that it starts with.
    Paper scale: TPT lr 1e-4, 65,000 steps; P2FT lr 5e-5, 4,500 steps; batch 128.
    Source: Ophora, Sec. 3.1, and its released code.
    """

    name: Literal["base", "TPT", "P2FT", "OphVL", "labelled"]
    gradient_checkpointing: bool = False
    lora_rank: int | None = pydantic.Field(default=None, ge=1)
    max_text_tokens: int | None = pydantic.Field(default=None, ge=1)

    def fit(self, folder: Path) -> tuple[CogVideoXTransformer3DModel, dict[str, Any]]:
        start = self.init.weights()
        data = self.encoding.load()
        pipeline = load_pipeline(start, text=False)
        if self.max_text_tokens is not None:
            pipeline.transformer = reading(pipeline.transformer, self.max_text_tokens)
        transformer = pipeline.transformer
        config = transformer.config
        latent_frames = (config.sample_frames - 1) // config.temporal_compression_ratio + 1
        check_fits(
            data,
            latents=(latent_frames, config.in_channels, config.sample_height, config.sample_width),
            tokens=(config.max_text_seq_length, config.text_embed_dim),
            weights=start,
        )
        if self.lora_rank is not None:
            add_lora(transformer, self.lora_rank, self.optimisation.seed)
        if self.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        return transformer, train_denoiser(
            self,
            transformer,
            velocity_loss(transformer, pipeline.scheduler),
            data,
            folder,
            num_timesteps=pipeline.scheduler.config.num_train_timesteps,
            description=f"Ophora {self.name}",
            sampler=lambda: OphoraSampler(
                pipeline.to(self.runtime.torch_device()), self.encoding.shape
            ),
        )

    def save(self, model: CogVideoXTransformer3DModel, start: Path, target: Path) -> None:
        if self.lora_rank is not None:
            save_lora(model, target)
        share_folder(start, target, leave_out="transformer")
        model.save_pretrained(target / "transformer")
        write_usage(target, model)

    def sampler(self, sampling: Sampling) -> OphoraSampler:
        device = self.runtime.torch_device()
        return OphoraSampler.load(self.weights(), self.shape, device, sampling)


def velocity_loss(transformer: CogVideoXTransformer3DModel, scheduler: Any) -> SampleLoss:
    """Mean squared error of the predicted velocity; see the module's text."""

    def sample_loss(given: Example) -> Tensor:
        latents, noise, timesteps = given.latents, given.noise, given.timesteps
        noisy = scheduler.add_noise(latents, noise, timesteps)
        target = scheduler.get_velocity(latents, noise, timesteps)
        with placed(transformer.patch_embed, given.frames):
            output = transformer(
                hidden_states=noisy, encoder_hidden_states=given.text, timestep=timesteps
            ).sample
        return (output.float() - target).square().flatten(1).mean(1)

    return sample_loss


@contextmanager
def placed(patches: CogVideoXPatchEmbed, frames: Tensor | None) -> Iterator[None]:
    """Give latents the positions of `frames`, (B, T) int64, of whole clips; None: of the first T.

    diffusers asks `_get_positional_embeddings` for clips of another length than its own and counts
    from 0; it has no argument for which frames they are.
    """
    if frames is None or frames.shape[1] == patches.sample_frames:
        yield
        return
    whole, tokens = patches.pos_embedding, patches.max_text_seq_length
    of_text, of_frames = whole[:, :tokens], whole[0, tokens:].unflatten(0, (-1, _patches(patches)))
    chosen = torch.cat([of_text.expand(len(frames), -1, -1), of_frames[frames].flatten(1, 2)], 1)
    patches._get_positional_embeddings = lambda *_, **__: chosen
    try:
        yield
    finally:
        del patches._get_positional_embeddings


def _patches(patches: CogVideoXPatchEmbed) -> int:
    """How many make a frame."""
    size: int = patches.patch_size
    return (patches.sample_height // size) * (patches.sample_width // size)


class GivenOphora(GivenGenerator):
    """A trained CogVideoX pipeline that the user names; nothing is trained."""

    def sampler(self, sampling: Sampling) -> OphoraSampler:
        device = self.runtime.torch_device()
        return OphoraSampler.load(self.weights(), self.shape, device, sampling)
