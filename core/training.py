"""The one training loop: generators, autoencoders, T5 and metric encoders are fitted by it.

Plan -> batch of global sample numbers -> loss -> clip -> AdamW -> EMA -> checkpoint.

Everything random follows from (seed, global sample number), so a run that is killed and resumed, or
split over processes, sees the same batches, noise and timesteps as an uninterrupted one. A process
that trains with others (`core.distributed.launch`) takes its share of each batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from core.distributed import (
    average_gradients,
    load_optimiser,
    mean_over_ranks,
    part_of,
    rank,
    share,
    whole,
    world_size,
)
from core.errors import UserError
from core.files import atomic_path
from core.optimisation import Optimisation, build_optimisers
from core.progress import Progress
from core.runtime import (
    Runtime,
    autocast,
    derive_seed,
    seed_everything,
    training_attention,
)

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "loss.jsonl"
ALONE = Runtime()


@dataclass(frozen=True)
class Batch:
    """One step's samples: `number` counts every sample since the start of the training (it decides
    noise, timestep and dropout), `index` is the row of the data set. Both are lists of length B."""

    number: list[int]
    index: list[int]
    seed: int

    def rngs(self, purpose: str) -> Iterator[torch.Generator]:
        """One CPU random generator a sample, a function of (seed, sample number, purpose)."""
        for number in self.number:
            yield torch.Generator().manual_seed(derive_seed(self.seed, purpose, number))

    def normal(self, shape: tuple[int, ...], purpose: str = "noise") -> Tensor:
        """(B, *shape) float32 standard normal noise."""
        return torch.stack([torch.randn(shape, generator=rng) for rng in self.rngs(purpose)])

    def uniform(self, purpose: str) -> Tensor:
        """(B,) float32 in [0, 1)."""
        return torch.cat([torch.rand(1, generator=rng) for rng in self.rngs(purpose)])

    def split(self, size: int) -> list[Batch]:
        """The batch in runs of at most `size` samples."""
        starts = range(0, len(self.number), size)
        return [
            Batch(self.number[start : start + size], self.index[start : start + size], self.seed)
            for start in starts
        ]


LossFunction = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Inspection:
    """`look(step)` is called after every `every` steps and the last, with the network in evaluation
    mode and its averaged weights in place, in all ranks."""

    every: int
    look: Callable[[int], None]


def batch_at(step: int, batch_size: int, num_samples: int, seed: int) -> Batch:
    """The batch of a step: epochs are seeded permutations, laid end to end."""
    numbers = list(range(step * batch_size, (step + 1) * batch_size))
    orders: dict[int, list[int]] = {}
    for epoch in {number // num_samples for number in numbers}:
        rng = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
        orders[epoch] = torch.randperm(num_samples, generator=rng).tolist()
    indices = [orders[number // num_samples][number % num_samples] for number in numbers]
    return Batch(numbers, indices, seed)


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
    if settings.batch_size % world_size():
        raise UserError(f"batch_size {settings.batch_size}: not a multiple of {world_size()} ranks")
    if settings.optimiser == "muon" and runtime.sharding == "shard":
        raise UserError("optimiser 'muon': it needs whole matrices; use sharding 'replicate'")
    share_size = settings.batch_size // world_size()
    seed_everything(settings.seed)
    model.to(device).train()
    if world_size() > 1:
        share(model, runtime.sharding)
    run = _Run(model, settings, folder, description)
    quiet = rank() > 0
    with Progress(description, settings.steps, "steps", run.step, quiet=quiet) as progress:
        while run.step < settings.steps:
            batch = batch_at(run.step, settings.batch_size, num_samples, settings.seed)
            torch.manual_seed(derive_seed(settings.seed, "step", run.step))  # for dropout
            parts = batch.split(share_size)[rank()].split(runtime.micro_batch or share_size)
            run.update(loss_function, parts, share_size, device)
            if inspection and (run.step % inspection.every == 0 or run.step == settings.steps):
                run.inspect(inspection)
            progress.advance(note=f"loss {run.mean_loss:.4f}")
    return run.finish()


class _Run:
    """Optimiser, schedule, average and log of one training; all of it in the checkpoint."""

    def __init__(
        self, model: nn.Module, settings: Optimisation, folder: Path, description: str
    ) -> None:
        self.model, self.settings, self.folder = model, settings, folder
        self.description = description
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimisers = build_optimisers(model, settings)
        self.schedulers = [
            get_scheduler(
                settings.lr_schedule,
                optimiser,
                num_warmup_steps=settings.warmup_steps,
                num_training_steps=settings.steps,
            )
            for optimiser in self.optimisers
        ]
        decay = settings.ema_decay
        self.average = EMAModel(self.parameters, decay=decay) if decay else None
        self.scaler = torch.amp.GradScaler(enabled=settings.precision == "fp16")
        self.step = self.skipped = 0
        self.mean_loss = math.nan
        self.log: list[dict[str, float]] = []
        self._load()

    def update(
        self, loss_function: LossFunction, parts: list[Batch], samples: int, device: torch.device
    ) -> None:
        """One optimiser step from the mean loss over `parts`, `samples` samples together."""
        total = torch.zeros((), device=device)
        for part in parts:
            with training_attention(self.settings.precision, device):
                with autocast(self.settings.precision, device):
                    loss = loss_function(part).mean() * (len(part.number) / samples)
                self.scaler.scale(loss).backward()
            total += loss.detach().float()
        average_gradients(self.parameters)
        value = float(mean_over_ranks(total))
        if not math.isfinite(value):
            raise UserError(
                f"{self.description}: the loss is {value} at step {self.step}; the last good "
                f"checkpoint is {self.folder / CHECKPOINT_NAME}: lower lr or use precision fp32"
            )
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        norm = whole(nn.utils.clip_grad_norm_(self.parameters, self.settings.grad_clip))
        # A finite loss can have gradients that overflow (seen with bf16 conv3d on CPU).
        if self.scaler.is_enabled() or bool(torch.isfinite(norm)):
            for optimiser in self.optimisers:
                self.scaler.step(optimiser)
        else:
            self.skipped += 1
        self.scaler.update()
        for scheduler in self.schedulers:
            scheduler.step()
        self.model.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.step(self.parameters)
        self.step += 1
        first = not math.isfinite(self.mean_loss)
        self.mean_loss = value if first else 0.98 * self.mean_loss + 0.02 * value
        every = self.settings.checkpoint_every
        if self.step % every == 0 or self.step in (1, self.settings.steps):
            row = {"step": self.step, "loss": round(self.mean_loss, 6), "last": round(value, 7)}
            self.log.append(row)
        # A rank hands its result on as a checkpoint; alone, the caller has the network itself.
        if self.step % every == 0 if self.step < self.settings.steps else world_size() > 1:
            self._save()

    def inspect(self, inspection: Inspection) -> None:
        """Let `inspection` look at the averaged weights; leave everything as it was."""
        kept = [parameter.detach().clone() for parameter in self.parameters]
        if self.average is not None:
            self.average.copy_to(self.parameters)
        self.model.eval()
        with autocast(self.settings.precision, kept[0].device):
            inspection.look(self.step)
        self.model.train()
        for parameter, value in zip(self.parameters, kept, strict=True):
            parameter.data.copy_(value)

    def finish(self) -> dict[str, Any]:
        """Put the averaged weights in place and write the log."""
        if self.average is not None:
            self.average.copy_to(self.parameters)
        with atomic_path(self.folder / LOG_NAME) as path:
            path.write_text("".join(json.dumps(row) + "\n" for row in self.log), encoding="utf-8")
        self.model.eval()
        return {
            "steps": self.settings.steps,
            "samples": self.settings.samples,
            "skipped_steps": self.skipped,
            "parameters": sum(p.numel() for p in self.parameters),
            "first_loss": self.log[0]["loss"],
            "last_loss": self.log[-1]["loss"],
        }

    def _save(self) -> None:
        state = {
            "step": self.step,
            "skipped": self.skipped,
            "mean_loss": self.mean_loss,
            "log": self.log,
            "model": whole(self.model.state_dict()),
            "optimisers": whole([optimiser.state_dict() for optimiser in self.optimisers]),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "scaler": self.scaler.state_dict(),
            "average": whole(self.average.shadow_params if self.average else []),
        }
        if rank() == 0:
            with atomic_path(self.folder / CHECKPOINT_NAME) as path:
                torch.save(state, path)

    def _load(self) -> None:
        path = self.folder / CHECKPOINT_NAME
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        own = self.model.state_dict()
        self.model.load_state_dict({k: part_of(v, own[k]) for k, v in state["model"].items()})
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            load_optimiser(optimiser, kept)
        for scheduler, kept in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(kept)
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            shadows = zip(state["average"], self.parameters, strict=True)
            self.average.shadow_params = [part_of(value, like) for value, like in shadows]
            self.average.optimization_step = state["step"]
        self.step, self.skipped = state["step"], state["skipped"]
        self.mean_loss, self.log = state["mean_loss"], state["log"]
