"""The two objectives against closed forms."""

from __future__ import annotations

import torch
from diffusers import CogVideoXDPMScheduler
from torch.distributions import Normal, kl_divergence

from benchmarks.config.files import load_as
from benchmarks.pretraining.config import PretrainConfig
from generator.iddpm import iddpm_scheduler, noise_and_bound_loss, sample, variational_bound
from generator.ophora.pipeline import COGVIDEOX_2B_SCHEDULE


def test_velocity_error_is_the_weighted_x0_error() -> None:
    """The released code's x0 loss weighted by 1 / (1 - alpha_bar) equals the plain v loss."""
    scheduler = CogVideoXDPMScheduler(**COGVIDEOX_2B_SCHEDULE)
    torch.manual_seed(0)
    clean, noise, guess = torch.randn(3, 4, 2, 3, 5, 5).double()
    steps = torch.tensor([3, 200, 700, 990])
    bar = scheduler.alphas_cumprod[steps].double().view(4, 1, 1, 1, 1)
    noisy = scheduler.add_noise(clean, noise, steps)
    target = scheduler.get_velocity(clean, noise, steps)
    x0 = bar.sqrt() * noisy - (1 - bar).sqrt() * guess
    weighted = (x0 - clean).square() / (1 - bar)
    assert torch.allclose(weighted, (guess - target).square(), atol=1e-4, rtol=1e-3)


def test_noise_schedule_is_cogvideox_2bs() -> None:
    """Source: alpha_bar anchors of THUDM/CogVideoX-2b."""
    bar = CogVideoXDPMScheduler(**COGVIDEOX_2B_SCHEDULE).alphas_cumprod
    assert abs(bar[0] - 0.99745433) < 1e-6
    assert abs(bar[500] - 0.0953281) < 1e-6
    assert bar[999] == 0


def test_nano_generators_see_as_much_as_noise_half_way() -> None:
    config = load_as(PretrainConfig, "_pretrain_nano")
    shifted = CogVideoXDPMScheduler(**config.ophora_base.transformer.schedule()).alphas_cumprod
    networks = (config.bora_base.transformer, config.endora_base.transformer)
    others = [iddpm_scheduler(schedule=each.noise_schedule).alphas_cumprod for each in networks]
    assert all(abs(bar[500] - 0.5) < 0.01 for bar in (shifted, *others))


def _pair(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    bar = iddpm_scheduler().alphas_cumprod.double()
    torch.manual_seed(1)
    clean, noise = torch.randn(2, 2, 3, 4, 4, 4)
    level = bar[step].float()
    return clean, noise, level.sqrt() * clean + (1 - level).sqrt() * noise, bar


def test_bound_is_the_divergence_of_two_gaussians() -> None:
    step = 400
    clean, noise, noisy, bar = _pair(step)
    guess = noise + 0.3
    share = torch.full_like(clean, 0.25)
    beta = 1 - bar[step] / bar[step - 1]
    posterior = beta * (1 - bar[step - 1]) / (1 - bar[step])

    def mean(start: torch.Tensor) -> torch.Tensor:
        keep = bar[step - 1].sqrt() * beta / (1 - bar[step])
        rest = (1 - beta).sqrt() * (1 - bar[step - 1]) / (1 - bar[step])
        return keep * start + rest * noisy

    implied = (noisy - (1 - bar[step]).sqrt() * guess) / bar[step].sqrt()
    log_variance = 0.25 * beta.log() + 0.75 * posterior.log()
    expected = kl_divergence(
        Normal(mean(clean.double()), posterior.sqrt()),
        Normal(mean(implied), (0.5 * log_variance).exp()),
    ) / torch.log(torch.tensor(2.0))
    found = variational_bound(guess, 2 * share - 1, clean, noisy, torch.tensor([step, step]), bar)
    assert torch.allclose(found, expected.flatten(1).mean(1).float(), rtol=1e-4)


def test_perfect_prediction_with_the_posterior_variance_has_no_bound() -> None:
    clean, noise, noisy, bar = _pair(400)
    bound = variational_bound(
        noise, -torch.ones_like(clean), clean, noisy, torch.tensor([400, 400]), bar
    )
    assert bound.abs().max() < 1e-4


def test_first_step_is_finite_and_bound_does_not_train_the_noise() -> None:
    clean, noise, noisy, bar = _pair(0)
    output = torch.cat([noise, torch.zeros_like(noise)], 2).requires_grad_()
    steps = torch.tensor([0, 0])
    loss = noise_and_bound_loss(output, clean, noisy, noise, steps, bar)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    predicted, interpolation = output.grad.chunk(2, dim=2)
    assert predicted.abs().max() == 0  # the noise was right; the bound must not move it
    assert interpolation.abs().max() > 0


def test_respaced_sampling_uses_the_kept_steps_own_schedule() -> None:
    """Six of 1,000 steps: betas between kept steps, 1 - bar_t / bar_s (Improved DDPM, Sec. 4).

    The reference is written out in float64; noise and variance are functions of the latents.
    """
    scheduler = iddpm_scheduler()
    bar = scheduler.alphas_cumprod.double()

    def predict(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        noise = 0.3 * latents + 0.001 * float(timestep)
        return torch.cat([noise, torch.full_like(noise, 0.5)], 2)

    torch.manual_seed(0)
    start = torch.randn(1, 2, 4, 3, 3)
    found = sample(predict, start, scheduler, 6, [torch.Generator().manual_seed(5)])

    kept = [int(step) for step in scheduler.timesteps]
    assert len(kept) == 6 and kept[0] == 999 and kept[-1] == 0 and kept == sorted(kept)[::-1]
    rng, x = torch.Generator().manual_seed(5), start.double()
    for step, before in zip(kept, [*kept[1:], None], strict=True):
        noise = predict(x, torch.tensor(step))[:, :, :4]
        now, then = bar[step], bar[before] if before is not None else torch.tensor(1.0).double()
        beta = 1 - now / then
        clean = (x - (1 - now).sqrt() * noise) / now.sqrt()
        keep, rest = then.sqrt() * beta / (1 - now), (now / then).sqrt() * (1 - then) / (1 - now)
        mean = keep * clean + rest * x
        if before is None:
            x = mean
            continue
        posterior = beta * (1 - then) / (1 - now)
        deviation = (0.5 * (0.75 * beta.log() + 0.25 * posterior.log())).exp()
        drawn = torch.randn((1, 4, 2, 3, 3), generator=rng).transpose(1, 2)
        x = mean + deviation * drawn.double()
    assert torch.allclose(found.double(), x, atol=2e-4)


def test_a_wrong_guess_at_the_first_step_of_cosine_noise_stays_bounded() -> None:
    scheduler = iddpm_scheduler(schedule="cosine")
    scheduler.set_timesteps(16)
    torch.manual_seed(0)
    latents = torch.randn(1, 4, 9, 8, 12)
    guess = torch.cat([0.9 * latents, torch.zeros_like(latents)], dim=1)
    assert scheduler.step(guess, scheduler.timesteps[0], latents).prev_sample.abs().max() < 10
