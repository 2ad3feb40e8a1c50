"""What diffusion generators share: timestep strata, caption dropout, the training call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import torch
from torch import Tensor, nn

from core.batch import Batch, samples_per_rank
from core.distributed import launch, world_size
from core.errors import UserError
from core.fitting import Inspection, LossFunction, fit
from core.optimisation import Optimisation
from generator.base import Generator, Weights
from generator.encoding import Encoding
from generator.latents import LatentDataset
from generator.preview import EmbeddingSampler, Preview, sheet_writer

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


class DenoiserTraining(Generator):
    """Continue `init`'s denoiser on the encoded clips; VAE and T5 stay frozen.

    held_out: clips that the loss is measured on before and after; they train nothing.
    preview: sample sheets beside the loss log, while it trains.
    With `runtime.processes` above 1, that many ranks train it and leave a checkpoint at its last
    step, from which this process takes it over.
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "preview")

    init: Weights
    encoding: Encoding
    held_out: Encoding | None = None
    diffusion: DiffusionSettings = DiffusionSettings()
    optimisation: Optimisation
    preview: Preview | None = None

    def execute(self, folder: Path) -> dict[str, Any]:
        samples_per_rank(self.optimisation.batch_size, self.runtime.processes)
        # Before the ranks start: they only read what is there.
        start = self.init.weights()
        clips = sum(self.encoding.run()["rows_per_shard"])
        if self.held_out is not None:
            self.held_out.run()
        if self.runtime.processes > 1:
            ranks = self.runtime.processes
            launch(type(self).fit, self, folder, runtime=self.runtime, ranks=ranks)
        model, result = self.fit(folder)
        self.save(model, start, folder / "weights")
        return {**result, "clips": clips, "init": self.init.run()}

    @abstractmethod
    def fit(self, folder: Path) -> tuple[Any, dict[str, Any]]:
        """Load the denoiser, train it (or take it from a finished checkpoint): it and the record.

        Raises: UserError: if it was made for latents of another shape.
        """

    @abstractmethod
    def save(self, model: Any, start: Path, target: Path) -> None:
        """Write the whole generator to `target`: the denoiser, and the frozen parts of `start`."""

    def cost(self) -> str:
        return f"{self.optimisation.steps:,} steps x {self.optimisation.batch_size}"


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


def train_denoiser(
    stage: DenoiserTraining,
    model: nn.Module,
    sample_loss: SampleLoss,
    data: LatentDataset,
    folder: Path,
    *,
    num_timesteps: int,
    description: str,
    sampler: Callable[[], EmbeddingSampler],
) -> dict[str, Any]:
    """Fit a stage's denoiser on its encoded clips; measure the loss on held-out ones before and
    after (not in a rank), and after with captions of other clips: where this is not higher, the
    captions are not read.

    Args: sampler: draws with `model` as it is when it draws.
    Returns: as `fit`, and `held_out_loss`.
    """
    device = stage.runtime.torch_device()
    held_out = stage.held_out.load() if stage.held_out and world_size() == 1 else None

    def measure(**choice: bool) -> float | None:
        if held_out is None:
            return None
        on_device = model.to(device)
        return held_out_loss(on_device, sample_loss, held_out, num_timesteps, device, **choice)

    inspection = None
    if stage.preview is not None:
        shown = data if stage.held_out is None else stage.held_out.load()
        write = sheet_writer(sampler(), shown, stage.preview, folder)
        inspection = Inspection(stage.preview.every, write)
    before = measure()
    result = fit(
        model,
        batch_loss(sample_loss, data, stage.diffusion, num_timesteps, device),
        len(data),
        stage.optimisation,
        folder,
        description=description,
        device=device,
        runtime=stage.runtime,
        inspection=inspection,
    )
    found = {"before": before, "after": measure(), "other_captions": measure(other_captions=True)}
    return {**result, "held_out_loss": found}


def check_fits(
    data: LatentDataset, *, latents: tuple[int, ...], tokens: tuple[int, int] | None, weights: Path
) -> None:
    """Compare encoded clips with what a denoiser takes: latents (T', C, h, w), captions (L, D),
    None if it reads none.

    Raises: UserError: if it was made for others.
    """
    if data.latent_shape != latents:
        raise UserError(
            f"weights {weights}: the denoiser takes latents {latents}, the clips give "
            f"{data.latent_shape}: use weights made for this clip shape"
        )
    found = tuple(data.empty_text.shape)
    if tokens is not None and found != tokens:
        raise UserError(
            f"weights {weights}: the denoiser takes captions of {tokens[0]} tokens x {tokens[1]}, "
            f"got {found[0]} x {found[1]}: set max_text_tokens {tokens[0]} and use the T5 that "
            "comes with the weights"
        )


@torch.inference_mode()
def held_out_loss(
    model: nn.Module,
    sample_loss: SampleLoss,
    data: LatentDataset,
    num_timesteps: int,
    device: torch.device,
    *,
    other_captions: bool = False,
) -> float:
    """Mean loss over up to HELD_OUT_CLIPS clips, with fixed noise and evenly spread timesteps.

    other_captions: each clip gets the caption of a clip half a batch away.
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
        losses.append(sample_loss(Example(latents, noise, timesteps, *condition).to(device)))
    return round(float(torch.cat(losses).mean()), 6)
