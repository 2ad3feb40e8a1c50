"""Training of Bora, from Biomed-sim (or the released weights) to the curated surgical clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from diffusers import DDPMScheduler
from torch import Tensor

from generator.base import GivenGenerator, load_denoiser, share_folder
from generator.bora.pipeline import BoraSampler
from generator.bora.stdit import STDiT
from generator.denoising import DiffusionSettings, Example
from generator.diffusion import DenoiserTraining, check_fits, train_denoiser
from generator.iddpm import noise_and_bound_loss
from generator.sampling import Sampling


class BoraTraining(DenoiserTraining):
    """One of Bora's trainings; `weights/` is a Bora folder (`generator/bora/pipeline.py`).

    name: "base" (its own pre-training), "fine-tuned" (on Ophora-160K, the Bora of Table 2) or
    "labelled" (on the classifiers' own clips).
    guided_channels: see `BoraSampler`.
    Source: Bora's released training: AdamW lr 1e-5, weight decay 0, EMA, caption dropout 0.1.
    """

    version: ClassVar[str] = "2"  # dropped captions keep their masks

    name: Literal["base", "fine-tuned", "labelled"]
    diffusion: DiffusionSettings = DiffusionSettings(caption_dropout=0.1, timestep_strata=1)
    guided_channels: int | None = 3

    def fit(self, folder: Path) -> tuple[STDiT, dict[str, Any]]:
        start = self.init.weights()
        data = self.encoding.load()
        model = load_denoiser(STDiT, start)
        config = model.config
        check_fits(
            data,
            latents=(config.num_frames, config.in_channels, config.height, config.width),
            tokens=(config.max_text_tokens, config.text_dim),
            weights=start,
        )
        scheduler = DDPMScheduler.from_pretrained(start / "scheduler")
        alphas = scheduler.alphas_cumprod.double()

        def sample_loss(given: Example) -> Tensor:
            noisy = scheduler.add_noise(given.latents, given.noise, given.timesteps)
            output = model(
                noisy, given.timesteps, given.text, given.mask, given.dropped, given.frames
            )
            return noise_and_bound_loss(
                output, given.latents, noisy, given.noise, given.timesteps, alphas
            )

        return model, train_denoiser(
            self,
            model,
            sample_loss,
            data,
            folder,
            num_timesteps=scheduler.config.num_train_timesteps,
            description=f"Bora {self.name}",
            sampler=lambda: BoraSampler(start, model, self.guided_channels),
        )

    def save(self, model: STDiT, start: Path, target: Path) -> None:
        share_folder(start, target, leave_out="transformer")
        model.save_pretrained(target / "transformer")

    def sampler(self, sampling: Sampling) -> BoraSampler:
        place = (self.shape, self.runtime.torch_device())
        return BoraSampler.load(self.weights(), *place, self.guided_channels, sampling.precision)


class GivenBora(GivenGenerator):
    """A trained Bora that the user names; nothing is trained."""

    guided_channels: int | None = 3

    def sampler(self, sampling: Sampling) -> BoraSampler:
        place = (self.shape, self.runtime.torch_device())
        return BoraSampler.load(self.weights(), *place, self.guided_channels, sampling.precision)
