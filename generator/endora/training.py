"""Training of Endora: noise and variance of 2D latents, with the DINO prior if asked for."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from core.errors import UserError
from core.frame_cache import FrameCache
from core.runtime import seed_everything
from generator.base import GivenGenerator, Sampling, Weights, load_denoiser, share_folder
from generator.denoising import DiffusionSettings, Example, frames_of
from generator.diffusion import DenoiserTraining, check_fits, train_denoiser
from generator.endora.pipeline import EndoraSampler, known_classes, label_of
from generator.endora.prior import DinoPrior, PriorSettings, load_vit
from generator.endora.transformer import EndoraTransformer
from generator.iddpm import noise_and_bound_loss


class EndoraTraining(DenoiserTraining):
    """One of Endora's trainings; `weights/` is an Endora folder (`generator/endora/pipeline.py`).

    name: "base" (its own pre-training), "fine-tuned" (on Ophora-160K) or "classes" (on labelled
    clips whose captions are their classes). prior, dino, frames: the prior's settings, the frozen
    ViT and the training clips' frames; all three or none.
    Source: Endora's released training: AdamW lr 1e-4, weight decay 0, EMA 0.9999.
    """

    name: Literal["base", "fine-tuned", "classes"]
    diffusion: DiffusionSettings = DiffusionSettings(caption_dropout=0.1, timestep_strata=1)
    prior: PriorSettings | None = None
    dino: Weights | None = None
    frames: FrameCache | None = None

    @pydantic.model_validator(mode="after")
    def _prior_is_whole(self) -> EndoraTraining:
        parts = (self.prior, self.dino, self.frames)
        if len({part is None for part in parts}) > 1:
            raise ValueError("prior, dino and frames: give all three or none")
        return self

    def fit(self, folder: Path) -> tuple[WithPrior, dict[str, Any]]:
        start = self.init.weights()
        data = self.encoding.load()
        model = load_denoiser(EndoraTransformer, start)
        config = model.config
        check_fits(
            data,
            latents=(config.num_frames, config.in_channels, config.height, config.width),
            tokens=None,
            weights=start,
        )
        self._check_autoencoder(start)
        seed_everything(self.optimisation.seed)  # the prior's convolution starts random
        trained = WithPrior(model, self._prior(model))
        scheduler = DDPMScheduler.from_pretrained(start / "scheduler")
        alphas = scheduler.alphas_cumprod.double()
        classes = known_classes(start)
        shown = self._frames_of() if self.prior is not None else None

        def sample_loss(given: Example) -> Tensor:
            noisy = scheduler.add_noise(given.latents, given.noise, given.timesteps)
            labels = None
            if classes:
                found = torch.tensor([label_of(caption, classes) for caption in given.captions])
                labels = found.to(given.dropped.device).masked_fill(given.dropped, len(classes))
            pictures = shown(given.rows) if shown and trained.training else None
            if pictures is not None and given.frames is not None:
                pictures = frames_of(pictures, given.frames.cpu())
            output, disagreement = trained(
                noisy, given.timesteps, labels, pictures, places=given.frames
            )
            loss = noise_and_bound_loss(
                output, given.latents, noisy, given.noise, given.timesteps, alphas
            )
            return loss if disagreement is None else loss + disagreement

        return trained, train_denoiser(
            self,
            trained,
            sample_loss,
            data,
            folder,
            num_timesteps=scheduler.config.num_train_timesteps,
            description=f"Endora {self.name}",
            sampler=lambda: EndoraSampler(start, model),
        )

    def _check_autoencoder(self, start: Path) -> None:
        # The clips may be encoded with another generator's parts (Bora's), to encode them once.
        name = "vae/diffusion_pytorch_model.safetensors"
        ours, theirs = start / name, self.encoding.parts.weights() / name
        if not filecmp.cmp(ours, theirs, shallow=False):
            raise UserError(
                f"weights {start}: the clips are encoded by another autoencoder, {theirs}"
            )

    def _prior(self, model: EndoraTransformer) -> DinoPrior | None:
        if self.prior is None or self.dino is None:
            return None
        last = model.config.depth // 2 - 1
        if max(self.prior.blocks) > last:
            raise UserError(f"prior.blocks {self.prior.blocks}: spatial blocks are 0 to {last}")
        vit = load_vit(self.dino.weights())
        return DinoPrior(vit, self.prior, model.config.hidden_size, model.grid)

    def _frames_of(self) -> Callable[[list[int]], Tensor]:
        """Rows of the encoded clips -> their frames (B, T, H, W, 3) uint8."""
        assert self.frames is not None
        table = self.frames.table()
        rows = [table.rows[clip_id] for clip_id in self.encoding.clip_ids()]

        def look_up(numbers: list[int]) -> Tensor:
            return torch.from_numpy(np.stack([table.frames[rows[n]] for n in numbers]))

        return look_up

    def save(self, model: WithPrior, start: Path, target: Path) -> None:
        share_folder(start, target, leave_out="transformer")
        model.denoiser.save_pretrained(target / "transformer")

    def sampler(self, sampling: Sampling) -> EndoraSampler:
        device = self.runtime.torch_device()
        return EndoraSampler.load(self.weights(), self.shape, device, sampling.precision)


class WithPrior(nn.Module):
    """The denoiser and, while it trains, its prior."""

    def __init__(self, denoiser: EndoraTransformer, prior: DinoPrior | None) -> None:
        super().__init__()
        self.denoiser, self.prior = denoiser, prior

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        labels: Tensor | None,
        frames: Tensor | None,
        places: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The denoiser's output, and the weighted prior of each clip if its frames are given.

        Args: places: as `EndoraTransformer.forward`.
        """
        if self.prior is None or frames is None:
            return self.denoiser(noisy, timesteps, labels, places=places)[0], None
        settings = self.prior.settings
        output, features = self.denoiser(
            noisy,
            timesteps,
            labels,
            settings.blocks,
            local=settings.reach == "spatial",
            places=places,
        )
        return output, settings.weight * self.prior(frames.to(noisy.device), features)


class GivenEndora(GivenGenerator):
    """A trained Endora that the user names; nothing is trained."""

    def sampler(self, sampling: Sampling) -> EndoraSampler:
        device = self.runtime.torch_device()
        return EndoraSampler.load(self.weights(), self.shape, device, sampling.precision)
