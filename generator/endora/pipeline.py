"""Endora's folder: assembled, loaded, sampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from core.errors import UserError, did_you_mean
from core.files import read_json, write_json
from core.runtime import Precision, dtype_of, seed_everything
from core.video import Frames
from generator.backbone.autoencoder import decode, load_autoencoder, to_frames
from generator.base import ClipShape, Weights, check_frame_latents, load_denoiser, share_folder
from generator.endora.transformer import EndoraTransformer
from generator.iddpm import NoiseSchedule, guide, iddpm_scheduler, sample, starting_noise
from generator.sampling import Sampling

CLASSES_NAME = "classes.json"  # captions that a class-conditional Endora knows, in label order


class EndoraSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Widths and depths of the denoiser, and its noise. Defaults: EnDora-XL/2."""

    depth: int = pydantic.Field(default=28, ge=2, multiple_of=2)
    """Blocks, within frames and along time in turn."""
    hidden_size: int = pydantic.Field(default=1152, ge=8)
    """Width of the tokens; `num_heads` divides it."""
    num_heads: int = pydantic.Field(default=16, ge=1)
    """Of every attention, within frames and along time."""
    patch_size: int = pydantic.Field(default=2, ge=1)
    """Side of a token's square of latents."""
    latent_channels: int = pydantic.Field(default=4, ge=1)
    """Of the VAE; Stable Diffusion's has 4."""
    temporal: bool = True
    """Every second block attends along time; false: within frames, without positions in time.
    Endora's ablation leaves it out."""
    learned_variance: bool = True
    """Puts out the variance beside the noise, as Improved DDPM; false: DDPM. Endora's ablation
    leaves it out."""
    noise_schedule: NoiseSchedule = "linear"
    """Linear betas, as Endora has them, or Improved DDPM's cosine, made for small images."""

    def build(self, shape: ClipShape, num_classes: int | None) -> EndoraTransformer:
        """A freshly initialised network for clips of `shape` (8x in space, every frame)."""
        return EndoraTransformer(
            num_frames=shape.num_frames,
            height=shape.height // 8,
            width=shape.width // 8,
            in_channels=self.latent_channels,
            patch_size=self.patch_size,
            hidden_size=self.hidden_size,
            depth=self.depth,
            num_heads=self.num_heads,
            num_classes=num_classes,
            temporal=self.temporal,
            learned_variance=self.learned_variance,
        )


class EndoraAssembly(Weights):
    """`transformer`, `vae`, `scheduler`: an Endora that knows nothing.

    classes: captions that stand for classes, in label order; none: unconditional.
    """

    autoencoder: Weights
    shape: ClipShape
    transformer: EndoraSettings
    classes: tuple[str, ...] = ()
    seed: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        seed_everything(self.seed)
        model = self.transformer.build(self.shape, len(self.classes) or None)
        self.write(model, folder / "weights")
        return {"parameters": sum(p.numel() for p in model.parameters())}

    def write(self, model: EndoraTransformer, target: Path) -> None:
        """The whole folder around a denoiser."""
        share_folder(self.autoencoder.weights(), target / "vae")
        schedule = iddpm_scheduler(
            learned_variance=self.transformer.learned_variance,
            schedule=self.transformer.noise_schedule,
        )
        schedule.save_pretrained(target / "scheduler")
        model.save_pretrained(target / "transformer")
        write_json(target / CLASSES_NAME, list(self.classes))


class EndoraSampler:
    """Prompts -> clips. Unconditional: prompts only count. Conditional: a prompt is one of the
    captions that stand for the classes, and guidance is applied to all channels."""

    def __init__(
        self, folder: Path, model: EndoraTransformer, precision: Precision = "fp32"
    ) -> None:
        self.model = model
        self.dtype = dtype_of(precision, model.device)
        self.vae = load_autoencoder(folder / "vae", self.dtype).to(model.device)
        self.scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
        self.classes = known_classes(folder)

    @classmethod
    def load(
        cls, folder: Path, shape: ClipShape, device: torch.device, precision: Precision = "fp32"
    ) -> EndoraSampler:
        """The sampler of an Endora folder.

        Raises: UserError: if it makes clips of another shape.
        """
        model = load_denoiser(EndoraTransformer, folder).to(device, dtype_of(precision, device))
        check_frame_latents(folder, model.config, shape)
        return cls(folder, model.eval(), precision)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Frames:
        """See `generator.base.Sampler`."""
        labels = None
        if self.classes:
            labels = torch.tensor([label_of(prompt, self.classes) for prompt in prompts])
        return self._draw(labels, seeds, sampling)

    def from_embeddings(
        self, text: Tensor, mask: Tensor, empty: Tensor, seeds: Sequence[int], sampling: Sampling
    ) -> Frames:
        """See `generator.preview.EmbeddingSampler`: captions are not read; classes go in turn."""
        labels = torch.arange(len(seeds)) % len(self.classes) if self.classes else None
        return self._draw(labels, seeds, sampling)

    @torch.no_grad()
    def _draw(self, labels: Tensor | None, seeds: Sequence[int], sampling: Sampling) -> Frames:
        config, device = self.model.config, self.model.device
        size = (config.num_frames, config.in_channels, config.height, config.width)
        noise, rngs = starting_noise(size, seeds)

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            times = timestep.to(device).expand(len(latents))
            if labels is None:
                return self.model(latents.to(self.dtype), times)[0].float()
            none = torch.full_like(labels, len(self.classes))
            both = torch.cat([labels, none]).to(device)
            doubled = torch.cat([latents] * 2).to(self.dtype)
            output = self.model(doubled, times.repeat(2), both)[0]
            return guide(output, sampling.guidance_scale, latents.shape[2])

        latents = sample(predict, noise.to(device), self.scheduler, sampling.steps, rngs)
        scaled = latents.transpose(1, 2) / self.vae.config.scaling_factor
        return to_frames(decode(self.vae, scaled.to(self.vae.dtype)))


def known_classes(folder: Path) -> list[str]:
    """The captions that an Endora folder knows as classes; empty if it is unconditional."""
    path = folder / CLASSES_NAME
    found: list[str] = read_json(path) if path.is_file() else []
    return found


def label_of(caption: str, classes: Sequence[str]) -> int:
    """The class that `caption` stands for.  Raises: UserError: if it is none of them."""
    if caption not in classes:
        raise UserError(f"prompt {caption!r}: not a class of this Endora; "
                        f"{did_you_mean(caption, classes)}")  # fmt: skip
    return classes.index(caption)
