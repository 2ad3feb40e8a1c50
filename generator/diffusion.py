"""What diffusion generators share: timestep strata, caption dropout, the training call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import Tensor, nn

from core.distributed import launch, world_size
from generator.base import Generator, Weights
from generator.encoding import Encoding, LatentDataset
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


class DenoiserTraining(Generator):
    """Continue `init`'s denoiser on the encoded clips; VAE and T5 stay frozen.

    held_out: clips that the loss is measured on before and after; they train nothing.
    With `runtime.processes` above 1, that many ranks train it and leave a checkpoint at its last
    step, from which this process takes it over.
    """

    init: Weights
    encoding: Encoding
    held_out: Encoding | None = None
    diffusion: DiffusionSettings = DiffusionSettings()
    optimisation: Optimisation

    def execute(self, folder: Path) -> dict[str, Any]:
        # Before the ranks start: they only read what is there.
        start = self.init.weights()
        clips = sum(self.encoding.run()["rows_per_shard"])
        if self.held_out is not None:
            self.held_out.run()
        if self.runtime.processes > 1:
            launch(type(self).fit, self, folder, runtime=self.runtime)
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


SampleLoss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def train_denoiser(
    stage: DenoiserTraining,
    model: nn.Module,
    sample_loss: SampleLoss,
    data: LatentDataset,
    folder: Path,
    *,
    num_timesteps: int,
    description: str,
) -> dict[str, Any]:
    """Fit a stage's denoiser on its encoded clips; measure the loss on held-out ones before and
    after (not in a rank).

    Args: sample_loss: (latents (B, T', C, h, w), noise likewise, timesteps (B,), text (B, L, D),
    mask (B, L), dropped (B,)) -> loss a sample (B,).  Returns: as `fit`, and `held_out_loss`.
    """
    device, settings = stage.runtime.torch_device(), stage.diffusion
    held_out = stage.held_out.load() if stage.held_out and world_size() == 1 else None

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
        model,
        loss,
        len(data),
        stage.optimisation,
        folder,
        description=description,
        device=device,
        runtime=stage.runtime,
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
