"""Training of LVDM: the noise of the latents of whole clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import DDPMScheduler, UNet3DConditionModel
from torch import Tensor

from generator.base import GivenGenerator, load_denoiser, share_folder
from generator.denoising import DiffusionSettings, Example
from generator.diffusion import DenoiserTraining, check_fits, train_denoiser
from generator.iddpm import noise_and_bound_loss
from generator.lvdm.pipeline import LVDMSampler, latent_size, made_for, predict_noise
from generator.sampling import Sampling


class LVDMTraining(DenoiserTraining):
    """The training from nothing; `weights/` is an LVDM folder (`generator/lvdm/pipeline.py`).

    Source: the mean squared error of the noise, arXiv 2112.10752, Eq. 2, without a condition.
    """

    diffusion: DiffusionSettings = DiffusionSettings(timestep_strata=1)

    def fit(self, folder: Path) -> tuple[UNet3DConditionModel, dict[str, Any]]:
        start = self.init.weights()
        data = self.encoding.load()
        model = load_denoiser(UNet3DConditionModel, start)
        size = latent_size(start / "vae", made_for(start))
        check_fits(data, latents=size, tokens=None, weights=start)
        scheduler = DDPMScheduler.from_pretrained(start / "scheduler")
        alphas = scheduler.alphas_cumprod.double()

        def sample_loss(given: Example) -> Tensor:
            noisy = scheduler.add_noise(given.latents, given.noise, given.timesteps)
            output = predict_noise(model, noisy, given.timesteps)
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
            description="LVDM",
            sampler=lambda: LVDMSampler(start, model),
        )

    def save(self, model: UNet3DConditionModel, start: Path, target: Path) -> None:
        share_folder(start, target, leave_out="transformer")
        model.save_pretrained(target / "transformer")

    def sampler(self, sampling: Sampling) -> LVDMSampler:
        device = self.runtime.torch_device()
        return LVDMSampler.load(self.weights(), self.shape, device, sampling.precision)


class GivenLVDM(GivenGenerator):
    """A trained LVDM that the user names; nothing is trained."""

    def sampler(self, sampling: Sampling) -> LVDMSampler:
        device = self.runtime.torch_device()
        return LVDMSampler.load(self.weights(), self.shape, device, sampling.precision)
