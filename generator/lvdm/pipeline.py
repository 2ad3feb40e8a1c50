"""LVDM's folder: assembled, loaded, sampled.

noise (T', C, h, w) -> U-Net, step by step -> latents -> VAE -> clip

Source: LVDM (arXiv 2211.13221), Sec. 3: a U-Net whose spatial and temporal layers take turns
denoises the latents of whole clips. Ours is diffusers' UNet3DConditionModel, which is factorised
so; its cross-attention gets one token of zeros, since nothing is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
import torch
from diffusers import DDPMScheduler, UNet3DConditionModel
from torch import Tensor

from core.errors import UserError
from core.files import read_object, write_json
from core.runtime import Precision, dtype_of, seed_everything
from core.video import Frames
from generator.backbone.autoencoder import decode, load_autoencoder, to_frames
from generator.base import ClipShape, Weights, load_denoiser, share_folder
from generator.iddpm import sample, starting_noise
from generator.sampling import Sampling

CLIP_NAME = "clip.json"  # beside the networks: the clips that they are made for
CONDITION = 8  # width of the token of zeros


class UNetSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Widths and depths of the denoiser. Defaults: as released (lvdm_short), with one size of head.

    Source: YingqingHe/LVDM, configs/lvdm_short: width 256 times 1, 2, 3, 4, three residual blocks a
    level, attention on all levels but the finest, 32 groups (its default), 4 heads a level.
    """

    channels: tuple[int, ...] = pydantic.Field(default=(256, 512, 768, 1024), min_length=2)
    """Widths of the levels, the finest first; each has half the rows and columns of the one
    before."""
    layers_per_block: int = pydantic.Field(default=3, ge=1)
    """Residual blocks of each level, each with one along time after it."""
    head_size: int = pydantic.Field(default=64, ge=1)
    """Width of an attention head; diffusers wants one for all levels."""
    norm_groups: int = pydantic.Field(default=32, ge=1)
    """Of group normalisation; it divides all `channels`."""

    @pydantic.model_validator(mode="after")
    def _groups_divide_the_channels(self) -> UNetSettings:
        for width in self.channels:
            if width % self.norm_groups or width < self.head_size:
                raise ValueError(
                    f"channels {width}: a multiple of norm_groups {self.norm_groups} and at least "
                    f"head_size {self.head_size}"
                )
        return self

    def build(self, latent: tuple[int, int, int, int]) -> UNet3DConditionModel:
        """A freshly initialised network for latents (T', C, h, w)."""
        coarser = len(self.channels) - 1
        _, channels, height, width = latent
        return UNet3DConditionModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownBlock3D", *("CrossAttnDownBlock3D",) * coarser),
            up_block_types=(*("CrossAttnUpBlock3D",) * coarser, "UpBlock3D"),
            block_out_channels=self.channels,
            layers_per_block=self.layers_per_block,
            norm_num_groups=self.norm_groups,
            cross_attention_dim=CONDITION,
            attention_head_dim=self.head_size,
        )


def predict_noise(model: UNet3DConditionModel, latents: Tensor, timesteps: Tensor) -> Tensor:
    """The noise in noisy latents, (B, T', C, h, w) both. Args: timesteps: (B,)."""
    nothing = latents.new_zeros(len(latents), 1, CONDITION)
    noise: Tensor = model(latents.transpose(1, 2), timesteps, nothing).sample
    return noise.transpose(1, 2)


def lvdm_scheduler() -> DDPMScheduler:
    """1,000 steps whose betas go from 0.0015 to 0.0155, linear in their square roots.

    Source: YingqingHe/LVDM, configs/lvdm_short; latent diffusion's "linear" (arXiv 2112.10752) is
    diffusers' "scaled_linear".
    """
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.0015,
        beta_end=0.0155,
        beta_schedule="scaled_linear",
        variance_type="fixed_large",
        clip_sample=False,
        timestep_spacing="trailing",
    )


def latent_size(vae: Path, shape: ClipShape) -> tuple[int, int, int, int]:
    """(T', C, h, w) of a clip of `shape`, by the configuration of an autoencoder's folder."""
    config = read_object(vae / "config.json")
    apart = int(config.get("temporal_compression_ratio") or 1)
    scale = 2 ** (len(config["block_out_channels"]) - 1)
    frames = (shape.num_frames - 1) // apart + 1
    return frames, config["latent_channels"], shape.height // scale, shape.width // scale


class LVDMAssembly(Weights):
    """`transformer` (the U-Net), `vae`, `scheduler`: an LVDM that knows nothing.

    autoencoder: of single frames or of clips, as `load_autoencoder` takes it.
    """

    autoencoder: Weights
    shape: ClipShape
    unet: UNetSettings
    seed: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        target = folder / "weights"
        share_folder(self.autoencoder.weights(), target / "vae")
        seed_everything(self.seed)
        model = self.unet.build(latent_size(target / "vae", self.shape))
        model.save_pretrained(target / "transformer")
        lvdm_scheduler().save_pretrained(target / "scheduler")
        write_json(target / CLIP_NAME, self.shape.model_dump())
        return {"parameters": sum(p.numel() for p in model.parameters())}


def made_for(folder: Path) -> ClipShape:
    """The clips that an LVDM folder makes.  Raises: UserError: if the folder does not say so."""
    path = folder / CLIP_NAME
    if not path.is_file():
        raise UserError(f"weights {folder}: no {CLIP_NAME} in it; give a folder that LVDM left")
    try:
        return ClipShape(**read_object(path))
    except pydantic.ValidationError:
        raise UserError(f"weights {path}: not the frames and size of a clip") from None


class LVDMSampler:
    """Seeds -> clips; prompts only count."""

    def __init__(
        self, folder: Path, model: UNet3DConditionModel, precision: Precision = "fp32"
    ) -> None:
        self.model = model
        self.dtype = dtype_of(precision, model.device)
        self.vae = load_autoencoder(folder / "vae", self.dtype).to(model.device)
        self.scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
        self.latent = latent_size(folder / "vae", made_for(folder))

    @classmethod
    def load(
        cls, folder: Path, shape: ClipShape, device: torch.device, precision: Precision = "fp32"
    ) -> LVDMSampler:
        """The sampler of an LVDM folder.

        Raises: UserError: if it holds another network, or makes clips of another shape.
        """
        if made_for(folder) != shape:
            raise UserError(
                f"weights {folder}: made for clips of {made_for(folder)}, not of {shape}"
            )
        model = load_denoiser(UNet3DConditionModel, folder)
        return cls(folder, model.to(device, dtype_of(precision, device)).eval(), precision)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Frames:
        """See `generator.base.Sampler`."""
        return self._draw(seeds, sampling)

    def from_embeddings(
        self, text: Tensor, mask: Tensor, empty: Tensor, seeds: Sequence[int], sampling: Sampling
    ) -> Frames:
        """See `generator.preview.EmbeddingSampler`: captions are not read."""
        return self._draw(seeds, sampling)

    @torch.no_grad()
    def _draw(self, seeds: Sequence[int], sampling: Sampling) -> Frames:
        noise, rngs = starting_noise(self.latent, seeds)

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            times = timestep.to(latents.device).expand(len(latents))
            return predict_noise(self.model, latents.to(self.dtype), times).float()

        start = noise.to(self.model.device)
        latents = sample(predict, start, self.scheduler, sampling.steps, rngs)
        scaled = latents.transpose(1, 2) / self.vae.config.scaling_factor
        return to_frames(decode(self.vae, scaled.to(self.vae.dtype)))
