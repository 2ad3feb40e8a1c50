"""Improved DDPM, as Bora and Endora use it: objective, schedule and respaced sampling.

noise error + the variational bound that teaches the variance -> fewer steps than it was trained on
Source: Improved DDPM (arXiv 2102.09672), Sec. 3.1, Eq. 15 and 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from diffusers import DDPMScheduler
from torch import Tensor

NoiseSchedule = Literal["linear", "cosine"]


def noise_and_bound_loss(
    output: Tensor,
    clean: Tensor,
    noisy: Tensor,
    noise: Tensor,
    step: Tensor,
    alphas_cumprod: Tensor,
) -> Tensor:
    """Mean squared error of the noise + variational bound in bits (mean detached) -> (B,).

    Args: output: (B, T, 2C, h, w) noise and variance interpolation, or (B, T, C, h, w) noise alone,
    which has no bound; clean, noisy, noise: (B, T, C, h, w); step: (B,) timesteps; alphas_cumprod:
    (1000,) float64.
    """
    if output.shape == noise.shape:
        return (output.float() - noise).square().flatten(1).mean(1)
    predicted, interpolation = output.float().chunk(2, dim=2)
    error = (predicted - noise).square().flatten(1).mean(1)
    bound = variational_bound(predicted.detach(), interpolation, clean, noisy, step, alphas_cumprod)
    return error + bound


def variational_bound(
    noise: Tensor, interpolation: Tensor, clean: Tensor, noisy: Tensor, step: Tensor, bar: Tensor
) -> Tensor:
    """KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) in bits a value; at t = 0 the density of x_0.

    The released code discretises the t = 0 term for 8-bit pixels; latents are continuous, so the
    Gaussian density is used here (our choice).
    """
    bar_now = _at(bar, step, clean)
    bar_before = torch.where(
        (step > 0).view(-1, *[1] * (clean.ndim - 1)), _at(bar, (step - 1).clamp(min=0), clean), 1.0
    )
    alpha = bar_now / bar_before
    beta = 1 - alpha
    # At t = 0 the posterior variance vanishes: that of t = 1 stands in, as in the reference.
    first = _at(bar, torch.ones_like(step), clean)
    zero = _at(bar, torch.zeros_like(step), clean)
    beta_first = (1 - first / zero) * (1 - zero) / (1 - first)
    variance = torch.where(bar_before == 1.0, beta_first, beta * (1 - bar_before) / (1 - bar_now))

    def mean(start: Tensor) -> Tensor:
        keep = bar_before.sqrt() * beta / (1 - bar_now)
        return keep * start + alpha.sqrt() * (1 - bar_before) / (1 - bar_now) * noisy

    implied = (noisy - (1 - bar_now).sqrt() * noise) / bar_now.sqrt()
    share = (interpolation + 1) / 2
    log_model = share * beta.log() + (1 - share) * variance.log()
    gap = (mean(clean) - mean(implied)).square()
    log_true = variance.log()
    divergence = 0.5 * (log_model - log_true - 1 + ((log_true - log_model).exp()))
    divergence = divergence + 0.5 * gap * (-log_model).exp()
    density = 0.5 * (math.log(2 * math.pi) + log_model + gap * (-log_model).exp())
    bits = torch.where(bar_before == 1.0, density, divergence) / math.log(2.0)
    return bits.flatten(1).mean(1).float()


def _at(values: Tensor, step: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device)[step].view(-1, *[1] * (like.ndim - 1)).double()


def iddpm_scheduler(
    *, learned_variance: bool = True, schedule: NoiseSchedule = "linear"
) -> DDPMScheduler:
    """1,000 steps, noise prediction, learned variance range (or DDPM's own, the betas).

    schedule: linear betas 1e-4..0.02, as Bora and Endora have them, or Improved DDPM's cosine (its
    Sec. 3.2), made for small images, of which linear betas leave too little for most of the steps.
    Sampling with fewer steps respaces it.
    """
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="squaredcos_cap_v2" if schedule == "cosine" else "linear",
        prediction_type="epsilon",
        variance_type="learned_range" if learned_variance else "fixed_large",
        # At cosine's first step the clip's estimate is divided by an alpha-bar of 2e-9: it must
        # be bounded. Latents have unit deviation.
        clip_sample=schedule == "cosine",
        clip_sample_range=4.0,
        timestep_spacing="linspace",
    )


def starting_noise(
    size: tuple[int, ...], seeds: Sequence[int]
) -> tuple[Tensor, list[torch.Generator]]:
    """Noise (B, *size) and a random generator a clip; clip i depends on seeds[i] alone."""
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(size, generator=rng) for rng in rngs]), rngs


@torch.no_grad()
def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    latents: Tensor,
    scheduler: DDPMScheduler,
    steps: int,
    rngs: list[torch.Generator],
) -> Tensor:
    """Ancestral sampling, respaced to `steps`: noise (B, T, C, h, w) -> latents.

    Args: predict: (latents, timestep) -> (B, T, 2C, h, w) noise and variance interpolation, or the
    noise alone.
    """
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        output = predict(latents, timestep)
        # The scheduler splits noise from variance along axis 1, so channels go first.
        step = scheduler.step(
            output.transpose(1, 2), timestep, latents.transpose(1, 2), generator=rngs
        )
        latents = step.prev_sample.transpose(1, 2)
    return latents


def guide(output: Tensor, scale: float, channels: int) -> Tensor:
    """Classifier-free guidance on the first `channels` channels of the noise.

    Args: output: (2B, T, 2C, h, w), conditioned predictions before unconditioned ones.
    Returns: (B, T, 2C, h, w); what is not guided, and the variance, are as conditioned.
    """
    conditioned, empty = output.float().chunk(2)
    mixed: Tensor = conditioned.clone()
    difference = conditioned[:, :, :channels] - empty[:, :, :channels]
    mixed[:, :, :channels] = empty[:, :, :channels] + scale * difference
    return mixed
