"""What diffusion generators share: timestep strata, caption dropout, the training call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from core.batch import samples_per_rank
from core.distributed import launch, world_size
from core.errors import UserError
from core.fitting import Inspection, fit
from core.optimisation import Optimisation
from core.runtime import autocast
from generator.base import ClipShape, Generator, Weights
from generator.denoising import (
    HELD_OUT_BATCH,
    DiffusionSettings,
    SampleLoss,
    batch_loss,
    held_out_loss,
)
from generator.encoding import Encoding
from generator.latents import LatentDataset
from generator.preview import EmbeddingSampler, Preview, sheet_writer


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

    @property
    def shape(self) -> ClipShape:
        """Of the clips that it is trained on and makes."""
        return self.encoding.shape

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
        at_once = stage.runtime.micro_batch or HELD_OUT_BATCH
        with autocast(stage.optimisation.precision, device):
            return held_out_loss(
                on_device, sample_loss, held_out, num_timesteps, device, at_once=at_once, **choice
            )

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
