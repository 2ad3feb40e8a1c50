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
) -> dict[str, Any]:
    """Fit a denoiser on pre-encoded clips.

    Args: sample_loss: (latents (B, T', C, h, w), noise likewise, timesteps (B,), text (B, L, D),
    mask (B, L), dropped (B,)) -> loss a sample (B,).  Returns: as `fit`.
    """

    def loss(batch: Batch) -> Tensor:
        latents, text, mask = data.rows(batch.index)
        noise = batch.normal(data.latent_shape)
        timesteps = draw_timesteps(batch, num_timesteps, settings.timestep_strata)
        text, mask, dropped = drop_captions(batch, text, mask, data, settings.caption_dropout)
        tensors = (latents, noise, timesteps, text, mask, dropped)
        return sample_loss(*(tensor.to(device) for tensor in tensors))

    return fit(model, loss, len(data), optimisation, folder, description=description, device=device)
