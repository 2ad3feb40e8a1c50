"""Training of Bora, from Biomed-sim (or the released weights) to the curated surgical clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from core.errors import UserError
from core.runtime import Precision
from generator.base import ClipShape, Generator, Weights, share_folder
from generator.bora.objective import noise_and_bound_loss
from generator.bora.pipeline import BoraSampler, load_stdit
from generator.diffusion import DiffusionSettings, train_denoiser
from generator.encoding import Encoding
from generator.training import Optimisation


class BoraTraining(Generator):
    """Continue `init`'s STDiT on the encoded clips; VAE and T5 stay frozen.

    name: "base" (its own pre-training) or "fine-tuned" (on Ophora-160K, the Bora of Table 2).
    held_out: clips that the loss is measured on before and after; they train nothing.
    guided_channels: see `BoraSampler`.
    Source: Bora's released training: AdamW lr 1e-5, weight decay 0, EMA, caption dropout 0.1.
    """

    name: Literal["base", "fine-tuned"]
    init: Weights
    encoding: Encoding
    held_out: Encoding | None = None
    diffusion: DiffusionSettings = DiffusionSettings(caption_dropout=0.1, timestep_strata=1)
    optimisation: Optimisation
    guided_channels: int | None = 3

    def execute(self, folder: Path) -> dict[str, Any]:
        start = self.init.weights()
        data = self.encoding.load()
        model = load_stdit(start)
        config = model.config
        expected = (config.num_frames, config.in_channels, config.height, config.width)
        if data.latent_shape != expected:
            raise UserError(
                f"weights {start}: the STDiT takes latents {expected}, the clips give "
                f"{data.latent_shape}: use weights made for this clip shape"
            )
        scheduler = DDPMScheduler.from_pretrained(start / "scheduler")
        alphas = scheduler.alphas_cumprod.double()

        def sample_loss(
            latents: Tensor,
            noise: Tensor,
            timesteps: Tensor,
            text: Tensor,
            mask: Tensor,
            dropped: Tensor,
        ) -> Tensor:
            null_text, null_mask = model.null_condition(len(text))
            text = torch.where(dropped[:, None, None], null_text, text)
            mask = torch.where(dropped[:, None], null_mask, mask)
            noisy = scheduler.add_noise(latents, noise, timesteps)
            output = model(noisy, timesteps, text, mask)
            return noise_and_bound_loss(output, latents, noisy, noise, timesteps, alphas)

        result = train_denoiser(
            model,
            sample_loss,
            data,
            self.diffusion,
            self.optimisation,
            folder,
            num_timesteps=scheduler.config.num_train_timesteps,
            description=f"Bora {self.name}",
            device=self.runtime.torch_device(),
            held_out=self.held_out.load() if self.held_out else None,
        )
        target = folder / "weights"
        for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
            share_folder(start / part, target / part)
        model.save_pretrained(target / "transformer")
        return {**result, "clips": len(data), "init": self.init.run()}

    def sampler(self, precision: Precision = "fp32") -> BoraSampler:
        device, shape = self.runtime.torch_device(), self.encoding.shape
        return BoraSampler(self.weights(), shape, device, self.guided_channels, precision)

    def cost(self) -> str:
        return f"{self.optimisation.steps:,} steps x {self.optimisation.batch_size}"


class GivenBora(Generator):
    """A trained Bora that the user names; nothing is trained."""

    given: Weights
    shape: ClipShape
    guided_channels: int | None = 3

    def execute(self, folder: Path) -> dict[str, Any]:
        return {"init": self.given.run()}

    def weights(self) -> Path:
        return self.given.weights()

    def sampler(self, precision: Precision = "fp32") -> BoraSampler:
        device = self.runtime.torch_device()
        return BoraSampler(self.weights(), self.shape, device, self.guided_channels, precision)
