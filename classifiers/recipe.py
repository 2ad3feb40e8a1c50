"""How a classifier is trained: optimiser, learning-rate curve, number of steps. Plain numbers.

One recipe trains all arms of a table; the configurations name where their numbers come from.
"""

from __future__ import annotations

import math
from typing import Literal

import pydantic
import torch
from torch import nn

from core.runtime import Precision

Schedule = Literal["matched_epochs", "matched_steps"]


class FixMatch(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How clips without labels teach: a strongly augmented one is to be named as the network names
    it when augmented as usual, if it is sure.

    Source: FixMatch (arXiv 2001.07685), Sec. 2, with its threshold and weight; Endora uses it on
    generated clips (arXiv 2403.11050, Table 2).
    """

    threshold: float = pydantic.Field(default=0.95, gt=0, lt=1)
    """From which probability on the network is sure."""
    weight: float = pydantic.Field(default=1.0, gt=0)
    """Of this loss, beside that of the labelled clips."""
    ratio: int = pydantic.Field(default=1, ge=1)
    """Unlabelled clips in a batch for each labelled one."""
    max_shift: float = pydantic.Field(default=0.25, ge=0, lt=0.5)
    """Largest shift of the strong augmentation, as a fraction of the frame."""
    colour: float = pydantic.Field(default=0.5, ge=0, lt=1)
    """Its largest change of brightness, contrast and white balance, as a fraction."""


class Recipe(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Hyperparameters of one training run."""

    optimiser: Literal["sgd", "adamw", "adam"]
    """SGD is with momentum; Adam and AdamW have torch's betas."""
    lr: float = pydantic.Field(gt=0)
    """The peak, at this batch size."""
    momentum: float = pydantic.Field(default=0.9, ge=0, lt=1)
    """Of SGD only."""
    weight_decay: float = pydantic.Field(ge=0)
    """Not applied to biases and normalisation weights."""
    epochs: int = pydantic.Field(ge=1)
    """Passes over the training clips; `schedule` says over which."""
    batch_size: int = pydantic.Field(ge=2)
    """Clips a step, on all ranks together; those without labels come on top."""
    warmup_epochs: float = pydantic.Field(default=0.0, ge=0)
    """The learning rate rises linearly to the peak for so long."""
    decay: Literal["cosine", "constant"] = "cosine"
    """From the peak on: half a cosine to zero, or no change."""
    grad_clip: float | None = pydantic.Field(default=None, gt=0)
    """Largest 2-norm of all gradients together; None for no limit."""
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Share of a label that is spread over all classes."""
    max_shift: float = pydantic.Field(default=1 / 16, ge=0, lt=0.5)
    """Largest random shift, as a fraction of the frame."""
    flip: bool = True
    """Whether every second clip, at random, is mirrored."""
    colour: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Largest random change of brightness, contrast and white balance, as a fraction."""
    precision: Precision = "fp32"
    """Of the forward pass on a GPU or, where it does not overflow, a CPU (see docs/log.md)."""
    schedule: Schedule = "matched_epochs"
    """What arms have in common: "matched_epochs" passes `epochs` times over the whole mixture, so
    an arm with more clips gets more optimiser steps; "matched_steps" gives every arm the steps (and
    evaluations) that the mixture's first source alone would get."""
    val_interval: int = pydantic.Field(default=1, ge=1)
    """Epochs from one evaluation on val to the next; the last epoch is always evaluated."""
    fixmatch: FixMatch = FixMatch()
    """For clips without labels, if there are any."""

    @pydantic.model_validator(mode="after")
    def _warmup_ends(self) -> Recipe:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must be below {self.epochs}")
        return self

    def steps_per_pass(self, num_clips: int) -> int:
        """Optimiser steps of one pass over `num_clips` clips.

        The last, smaller batch is left out (another pass shuffles other clips into it), but a pass
        has at least one step.
        """
        return max(1, num_clips // self.batch_size)

    def steps_per_epoch(self, num_clips: int, num_first_source: int) -> int:
        """Optimiser steps between two evaluations on val, under `schedule`."""
        matched = self.schedule == "matched_steps"
        return self.steps_per_pass(num_first_source if matched else num_clips)

    def lr_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of step 0, 1, ...: linear warm-up, then half a cosine to zero.

        Source: the training recipe of SlowFast (half-period cosine, linear warm-up).
        """
        total, warmup = self.epochs * steps_per_epoch, self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return self.lr * (step + 1) / (math.floor(warmup) + 1)
        if self.decay == "constant":
            return self.lr
        progress = (step - warmup) / (total - warmup)
        return self.lr * 0.5 * (1 + math.cos(math.pi * progress))

    def build_optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser over all parameters; biases and norms (1-D) are not decayed.

        Source: mmaction2's mvit-small-p244 (norm_decay_mult, bias_decay_mult 0) and PySlowFast
        (BN.WEIGHT_DECAY 0).
        """
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        if self.optimiser == "sgd":
            return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum)
        kind = torch.optim.AdamW if self.optimiser == "adamw" else torch.optim.Adam
        return kind(groups, lr=self.lr)
