"""Sample sheets: what a generator draws while it is being trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pydantic
import torch
from torch import Tensor

from core.distributed import rank
from core.sheet import write_sheet
from core.video import Frames
from generator.backbone.autoencoder import decode, to_frames
from generator.latents import LatentDataset
from generator.sampling import Sampling


class Preview(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Sample sheets of a training: captions, each with its real clip as the autoencoder keeps it
    and with a sample of the averaged weights. They change nothing in the training."""

    every: int = pydantic.Field(ge=1)
    """Steps from one sheet to the next; there is one at the end too."""
    clips: int = pydantic.Field(default=4, ge=1)
    """Captions a sheet, spread evenly over the held-out clips (without any, over the training
    clips)."""
    sampling: Sampling
    """How its samples are drawn."""


class EmbeddingSampler(Protocol):
    """A sampler whose captions are encoded already."""

    vae: Any

    def from_embeddings(
        self, text: Tensor, mask: Tensor, empty: Tensor, seeds: Sequence[int], sampling: Sampling
    ) -> Frames:
        """text: (B, L, D) float; mask: (B, L) bool; empty: (L, D), the empty caption.

        Returns: (B, T, H, W, 3) uint8.
        """


def sheet_writer(
    sampler: EmbeddingSampler, data: LatentDataset, settings: Preview, folder: Path
) -> Callable[[int], None]:
    """A function of the step that writes `folder/samples-<step>.png`.

    Every rank that trains calls it, since they may share the network; the first one writes.
    """
    rows = np.unique(np.linspace(0, len(data) - 1, settings.clips).round().astype(int)).tolist()
    latents, text, mask = data.rows(rows)
    device, dtype = sampler.vae.device, sampler.vae.dtype

    @torch.no_grad()
    def write(step: int) -> None:
        unscaled = (latents / data.scaling_factor).transpose(1, 2).to(device, dtype)
        real = to_frames(decode(sampler.vae, unscaled))
        drawn = sampler.from_embeddings(text, mask, data.empty_text, rows, settings.sampling)
        if rank() == 0:
            pairs = [
                item
                for row, there, here in zip(rows, real, drawn, strict=True)
                for item in ((f"real: {data.captions[row]}", there), ("sampled", here))
            ]
            write_sheet(folder / f"samples-{step:06d}.png", pairs)

    return write
