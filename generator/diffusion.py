"""What diffusion generators share: timestep strata, caption dropout, the training call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import Tensor, nn

from generator.encoding import LatentDataset
from generator.training import Batch, Optimisation, fit

HELD_OUT_CLIPS = 256
HELD_OUT_BATCH = 32


class DiffusionSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Choices of diffusion training that are not the optimiser's.

    timestep_strata: N equal sub-intervals of the timesteps; a sample's interval follows from its
    global number, so a batch covers all of them evenly. In the paper N is the number of ranks.
    Source: Ophora, Sec. 2.3; the released code leaves it out (1 = uniform timesteps).
    caption_dropout: share of samples trained with the empty caption, which guidance needs (0 in
    Ophora's fine-tuning, 0.1 in Bora's).
    """

    timestep_strata: int = pydantic.Field(default=16, ge=1)
    caption_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)


def draw_timesteps(batch: Batch, num_timesteps: int, strata: int) -> Tensor:
    """(B,) int64 in [0, num_timesteps): uniform within the stratum of each sample's number."""
    stratum = torch.tensor([number % strata for number in batch.number])
    position = (stratum + batch.uniform("timestep")) / strata
    return (position * num_timesteps).long().clamp(max=num_timesteps - 1)


def drop_captions(
    batch: Batch, text: Tensor, mask: Tensor, data: LatentDataset, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Replace the captions of a share of the samples by the empty one.

    Args: text: (B, L, D); mask: (B, L) bool.  Returns: text, mask and which were dropped (B,) bool.
    """
    dropped = batch.uniform("caption") < share
    text = torch.where(dropped[:, None, None], data.empty_text, text)
    return text, torch.where(dropped[:, None], data.empty_mask, mask), dropped


SampleLoss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def train_denoiser(
    model: nn.Module,
    sample_loss: SampleLoss,
    data: LatentDataset,
    settings: DiffusionSettings,
    optimisation: Optimisation,
    folder: Path,
    *,
    num_timesteps: int,
    description: str,
    device: torch.device,
    held_out: LatentDataset | None = None,
) -> dict[str, Any]:
    """Fit a denoiser on pre-encoded clips; measure the loss on held-out ones before and after.

    Args: sample_loss: (latents (B, T', C, h, w), noise likewise, timesteps (B,), text (B, L, D),
    mask (B, L), dropped (B,)) -> loss a sample (B,).  Returns: as `fit`, and `held_out_loss`.
    """

    def loss(batch: Batch) -> Tensor:
        latents, text, mask = data.rows(batch.index)
        noise = batch.normal(data.latent_shape)
        timesteps = draw_timesteps(batch, num_timesteps, settings.timestep_strata)
        text, mask, dropped = drop_captions(batch, text, mask, data, settings.caption_dropout)
        tensors = (latents, noise, timesteps, text, mask, dropped)
        return sample_loss(*(tensor.to(device) for tensor in tensors))

    def measure() -> float | None:
        if held_out is None:
            return None
        return held_out_loss(model.to(device), sample_loss, held_out, num_timesteps, device)

    before = measure()
    result = fit(
        model, loss, len(data), optimisation, folder, description=description, device=device
    )
    return {**result, "held_out_loss": {"before": before, "after": measure()}}


@torch.inference_mode()
def held_out_loss(
    model: nn.Module,
    sample_loss: SampleLoss,
    data: LatentDataset,
    num_timesteps: int,
    device: torch.device,
) -> float:
    """Mean loss over up to HELD_OUT_CLIPS clips, with fixed noise and evenly spread timesteps."""
    model.eval()
    losses = []
    for start in range(0, min(len(data), HELD_OUT_CLIPS), HELD_OUT_BATCH):
        numbers = list(range(start, min(start + HELD_OUT_BATCH, len(data), HELD_OUT_CLIPS)))
        batch = Batch(numbers, numbers, seed=0)
        latents, text, mask = data.rows(numbers)
        timesteps = draw_timesteps(batch, num_timesteps, HELD_OUT_BATCH)
        kept = torch.zeros(len(numbers), dtype=torch.bool)
        tensors = (latents, batch.normal(data.latent_shape), timesteps, text, mask, kept)
        losses.append(sample_loss(*(tensor.to(device) for tensor in tensors)))
    return round(float(torch.cat(losses).mean()), 6)
