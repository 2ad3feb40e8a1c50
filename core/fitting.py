"""Fit a network to samples by a loss function: batches, micro-batches, averaged weights, a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.batch import Batch, batch_at, samples_per_rank
from core.distributed import rank, world_size
from core.errors import UserError
from core.optimisation import Optimisation, build_optimisers
from core.runtime import Runtime, autocast
from core.training import ALONE, CHECKPOINT_NAME, Course, Losses, Training

LossFunction = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Inspection:
    """`look(step)` is called after every `every` steps and the last, with the network in evaluation
    mode and its averaged weights in place, in all ranks."""

    every: int
    look: Callable[[int], None]

    def inspect(self, training: Training) -> None:
        """Let it look if it is time; leave everything as it was."""
        if training.step % self.every and training.step != training.course.steps:
            return
        kept = [parameter.detach().clone() for parameter in training.parameters]
        training.take_average()
        training.model.eval()
        with autocast(training.course.precision, training.device):
            self.look(training.step)
        training.model.train()
        for parameter, value in zip(training.parameters, kept, strict=True):
            parameter.data.copy_(value)


def _course(settings: Optimisation) -> Course:
    return Course(
        steps=settings.steps,
        seed=settings.seed,
        optimisers=partial(build_optimisers, settings=settings),
        lr_at=settings.lr_at,
        precision=settings.precision,
        grad_clip=settings.grad_clip,
        ema_decay=settings.ema_decay,
    )


def fit(
    model: nn.Module,
    loss_function: LossFunction,
    num_samples: int,
    settings: Optimisation,
    folder: Path,
    *,
    description: str,
    device: torch.device,
    runtime: Runtime = ALONE,
    inspection: Inspection | None = None,
) -> dict[str, Any]:
    """Fit `model` in place and leave it with its final (or averaged) weights.

    Args: loss_function: Batch -> scalar or (B,) loss, calling `model` itself; num_samples: rows of
    the data set; folder: keeps `checkpoint.pt` (resumed from) and `loss.jsonl`; runtime: how ranks
    share the model, and the micro-batch.
    Returns: steps, samples, first and last logged loss.
    Raises: UserError: when the loss is not finite; the last good checkpoint stays; or for settings
    that do not go together.
    """
    if num_samples < 1:
        raise UserError(f"{description}: no training samples are left; check the filters before it")
    share_size = samples_per_rank(settings.batch_size, world_size())
    if settings.optimiser == "muon" and runtime.sharding == "shard":
        raise UserError("optimiser 'muon': it needs whole matrices; use sharding 'replicate'")
    training = Training(model, _course(settings), folder, device=device, runtime=runtime)

    def loss_of(part: Batch) -> Tensor:
        return loss_function(part).mean() * (len(part.number) / share_size)

    def losses(step: int) -> Losses:
        batch = batch_at(step, settings.batch_size, num_samples, settings.seed)
        parts = batch.split(share_size)[rank()].split(runtime.micro_batch or share_size)
        return [partial(loss_of, part) for part in parts]

    def follow(loss: float) -> None:
        step, due = training.step, training.step % settings.checkpoint_every == 0
        if due or step in (1, settings.steps):
            row = {"step": step, "loss": round(training.mean_loss, 6), "last": round(loss, 7)}
            training.log.append(row)
        # A rank hands its result on as a checkpoint; alone, the caller has the network itself.
        if due if step < settings.steps else world_size() > 1:
            training.save()
        if inspection:
            inspection.inspect(training)

    training.run(losses, follow, description)
    if training.diverged:
        raise UserError(
            f"{description}: the loss is {training.last_loss} at step {training.step}; the last "
            f"good checkpoint is {folder / CHECKPOINT_NAME}: lower lr or use precision fp32"
        )
    training.take_average()
    model.eval()
    return _summary(training, settings)


def _summary(training: Training, settings: Optimisation) -> dict[str, Any]:
    return {
        "steps": settings.steps,
        "samples": settings.samples,
        "skipped_steps": training.skipped,
        "parameters": sum(p.numel() for p in training.parameters),
        "first_loss": training.log[0]["loss"],
        "last_loss": training.log[-1]["loss"],
    }
