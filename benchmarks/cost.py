"""What a full-scale stage costs in GPU time: arithmetic over a GPU's rate, for `--dry-run`.

Forward pass of a transformer: 2 x parameters x tokens + 4 x layers x width x tokens^2 operations
(the second term is attention); backward costs twice that, gradient checkpointing one forward more.
"""

from __future__ import annotations

from dataclasses import dataclass

from augment.synthesis import CaptionSynthesis, ClassSynthesis
from core.stage import Stage
from generator.base import ClipShape
from generator.bora.training import BoraTraining
from generator.ophora.training import OphoraTraining

A100_FLOPS = 312e12  # dense bf16 / fp16, data sheet
UTILISATION = 0.4  # our assumption for training
# Source: model card of CogVideoX-2b: 50 steps of 49x480x720 take about 90 s on an A100. Bora's
# sampling is counted at the same rate, for want of a published one.
A100_S_PER_SAMPLING_STEP = 90 / 50


@dataclass(frozen=True)
class Size:
    """A denoiser at its published size; `patch` covers (frames, rows, columns) of pixels."""

    parameters: float
    layers: int
    width: int
    text_tokens: int
    patch: tuple[int, int, int]

    def forward_flops(self, shape: ClipShape) -> float:
        """Operations of one forward pass over one clip."""
        frames, rows, columns = self.patch
        latent_frames = -(-shape.num_frames // frames)
        tokens = latent_frames * (shape.height // rows) * (shape.width // columns)
        tokens += self.text_tokens
        return 2 * self.parameters * tokens + 4 * self.layers * self.width * tokens**2


COGVIDEOX_2B = Size(1_693_783_872, 30, 1920, 226, (4, 16, 16))
# STDiT-XL/2 attends within frames and along time: the quadratic term does not apply to it.
STDIT_XL_2 = Size(7.2e8, 0, 1152, 0, (1, 16, 16))


def a100_hours(stage: Stage) -> float | None:
    """A100-hours of a stage at its published size, None for stages that need no GPU."""
    if isinstance(stage, (OphoraTraining, BoraTraining)):
        size = COGVIDEOX_2B if isinstance(stage, OphoraTraining) else STDIT_XL_2
        passes = 4 if getattr(stage, "gradient_checkpointing", False) else 3
        flops = passes * size.forward_flops(stage.encoding.shape) * stage.optimisation.samples
        return flops / (A100_FLOPS * UTILISATION) / 3600
    if isinstance(stage, ClassSynthesis):
        return len(stage.requests()) * stage.sampling.steps * A100_S_PER_SAMPLING_STEP / 3600
    if isinstance(stage, CaptionSynthesis):
        return stage.num_clips * stage.sampling.steps * A100_S_PER_SAMPLING_STEP / 3600
    return None
