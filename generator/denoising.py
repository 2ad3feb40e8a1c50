"""What a denoiser is trained on: a batch of encoded clips, their noise, timesteps and captions.

encoded clips -> frames -> noise, timesteps, dropped captions -> Example -> loss a sample
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pydantic
import torch
from torch import Tensor, nn

from core.batch import Batch
from core.errors import UserError
from core.fitting import LossFunction
from generator.latents import LatentDataset

HELD_OUT_CLIPS = 256
HELD_OUT_BATCH = 32


class DiffusionSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Choices of diffusion training that are not the optimiser's."""

    timestep_strata: int = pydantic.Field(default=16, ge=1)
    """N equal sub-intervals of the timesteps; a sample's interval follows from its global number,
    so a batch covers all of them evenly. In the paper N is the number of ranks. Source: Ophora,
    Sec. 2.3; the released code leaves it out (1 = uniform timesteps)."""
    caption_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Share of samples trained with the empty caption, which guidance needs (0 in Ophora's
    fine-tuning, 0.1 in Bora's)."""
    frames: int | None = pydantic.Field(default=None, ge=1)
    """Train on so many frames of each clip, evenly spaced, from a start that is drawn anew each
    time, at their own places in time; None takes all. CogVideoX is trained on images as well as on
    clips (arXiv 2408.06072, Sec. 3): what a caption's words look like is learned from single
    frames, and what moves from three, at a fraction of a clip's cost (docs/log.md)."""


def draw_timesteps(batch: Batch, num_timesteps: int, strata: int) -> Tensor:
    """(B,) int64 in [0, num_timesteps): uniform within the stratum of each sample's number."""
    stratum = torch.tensor([number % strata for number in batch.number])
    position = (stratum + batch.uniform("timestep")) / strata
    return (position * num_timesteps).long().clamp(max=num_timesteps - 1)


def drop_captions(
    batch: Batch, text: Tensor, data: LatentDataset, share: float
) -> tuple[Tensor, Tensor]:
    """Replace the captions (B, L, D) of a share of the samples by the empty one -> captions and
    which were dropped (B,) bool.

    Their masks stay: guidance samples with the prompt's mask on both sides, as in Bora's code.
    """
    dropped = batch.uniform("caption") < share
    return torch.where(dropped[:, None, None], data.empty_text, text), dropped


def draw_frames(batch: Batch, num_frames: int, count: int) -> Tensor:
    """(B, count) int64: which frames of each clip are trained on, of 0 to num_frames - 1.

    Raises: UserError: if a clip has fewer.
    """
    if count > num_frames:
        raise UserError(f"diffusion.frames {count}: the clips have {num_frames} latent frames")
    apart = num_frames // count
    starts = num_frames - apart * (count - 1)
    first = (batch.uniform("frame") * starts).long()
    return first[:, None] + apart * torch.arange(count)


def frames_of(clips: Tensor, frames: Tensor) -> Tensor:
    """Some frames of each clip, (B, T, ...) and (B, count) -> (B, count, ...)."""
    return clips[torch.arange(len(clips))[:, None], frames]


@dataclass(frozen=True)
class Example:
    """A batch as a denoiser's loss takes it, on its device.

    latents, noise: (B, T', C, h, w); timesteps: (B,) int64; text: (B, L, D); mask: (B, L) bool;
    dropped: (B,) bool, whose condition is left out; rows: of the encoded clips; captions: theirs;
    frames: (B, T') int64, which frames of the clip they are, None for whole clips.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    text: Tensor
    mask: Tensor
    dropped: Tensor
    rows: list[int]
    captions: list[str]
    frames: Tensor | None = None

    def to(self, device: torch.device) -> Example:
        """The same with its tensors on `device`."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def parts(self, size: int) -> Iterator[Example]:
        """The same in pieces of at most `size` samples."""
        for start in range(0, len(self.rows), size):
            part = slice(start, start + size)
            cut = ((name, value) for name, value in vars(self).items() if value is not None)
            yield Example(**{name: value[part] for name, value in cut})


SampleLoss = Callable[[Example], Tensor]  # -> loss a sample (B,)


def batch_loss(
    sample_loss: SampleLoss,
    data: LatentDataset,
    settings: DiffusionSettings,
    num_timesteps: int,
    device: torch.device,
) -> LossFunction:
    """The loss of a batch of encoded clips: their rows, noise, timesteps and dropped captions."""

    def loss(batch: Batch) -> Tensor:
        latents, text, mask = data.rows(batch.index)
        frames = None
        if settings.frames is not None:
            frames = draw_frames(batch, latents.shape[1], settings.frames)
            latents = frames_of(latents, frames)
        noise = batch.normal(tuple(latents.shape[1:]))
        timesteps = draw_timesteps(batch, num_timesteps, settings.timestep_strata)
        text, dropped = drop_captions(batch, text, data, settings.caption_dropout)
        captions = [data.captions[row] for row in batch.index]
        condition = (text, mask, dropped, batch.index, captions, frames)
        return sample_loss(Example(latents, noise, timesteps, *condition).to(device))

    return loss


@torch.inference_mode()
def held_out_loss(
    model: nn.Module,
    sample_loss: SampleLoss,
    data: LatentDataset,
    num_timesteps: int,
    device: torch.device,
    *,
    at_once: int = HELD_OUT_BATCH,
    other_captions: bool = False,
) -> float:
    """Mean loss over up to HELD_OUT_CLIPS clips, with fixed noise and evenly spread timesteps.

    Args: at_once: clips that go through the network together; other_captions: each clip gets the
    caption of a clip half a batch away.
    """
    model.eval()
    losses = []
    for start in range(0, min(len(data), HELD_OUT_CLIPS), HELD_OUT_BATCH):
        numbers = list(range(start, min(start + HELD_OUT_BATCH, len(data), HELD_OUT_CLIPS)))
        batch = Batch(numbers, numbers, seed=0)
        latents, text, mask = data.rows(numbers)
        captions = [data.captions[row] for row in numbers]
        if other_captions:
            turn = len(numbers) // 2
            text, mask = (value.roll(turn, 0) for value in (text, mask))
            captions = captions[-turn:] + captions[:-turn] if turn else captions
        timesteps = draw_timesteps(batch, num_timesteps, HELD_OUT_BATCH)
        kept = torch.zeros(len(numbers), dtype=torch.bool)
        condition = (text, mask, kept, numbers, captions)
        noise = batch.normal(data.latent_shape)
        parts = Example(latents, noise, timesteps, *condition).parts(at_once)
        losses += [sample_loss(part.to(device)).float() for part in parts]
    return round(float(torch.cat(losses).mean()), 6)
