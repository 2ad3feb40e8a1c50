"""Seeds -> clips, by the generator of a GAN."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from core.errors import UserError
from core.runtime import Precision, dtype_of
from core.video import Frames
from generator.backbone.autoencoder import to_frames
from generator.base import ClipShape, load_denoiser
from generator.sampling import Sampling
from generator.video_gan.networks import ClipGenerator

PART = "generator"  # of a folder of weights


class GANSampler:
    """Prompts only count; a clip is made in one pass, whatever `sampling` says."""

    def __init__(self, model: ClipGenerator) -> None:
        self.model = model

    @classmethod
    def load(
        cls,
        kind: type[ClipGenerator],
        folder: Path,
        shape: ClipShape,
        device: torch.device,
        precision: Precision,
    ) -> GANSampler:
        """The sampler of a folder whose generator is of the class `kind`.

        Raises: UserError: if it holds another network, or makes clips of another shape.
        """
        model = load_denoiser(kind, folder, PART)
        if model.shape != shape:
            raise UserError(f"weights {folder}: made for clips of {model.shape}, not of {shape}")
        return cls(model.to(device, dtype_of(precision, device)).eval())

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Frames:
        """See `generator.base.Sampler`. A clip is made alone, so that none changes another."""
        model = self.model
        times = torch.arange(model.shape.num_frames, device=model.device)[None].to(model.dtype)
        clips = []
        for seed in seeds:
            z, noise = model.starts([torch.Generator().manual_seed(seed)])
            clip = model(z.to(times), times, noise.to(times))
            clips.append(to_frames(clip.transpose(1, 2)))
        return np.concatenate(clips)
