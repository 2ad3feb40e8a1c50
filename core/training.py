"""The one training loop: generators, autoencoders, T5, encoders and classifiers are fitted by it.

    step n -> losses -> gradients -> clip -> optimisers -> average -> follower: log, checkpoint, ...

Everything random follows from (seed, step), so a run that is killed and resumed sees the same
batches, noise and dropout as an uninterrupted one. A process that trains with others
(`core.distributed.launch`) takes its share of each batch.

`core/fitting.py` trains what has samples and a loss by it, `classifiers/fitting.py` a classifier.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
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
from core.events import Events
from core.files import atomic_path, write_text
from core.progress import Progress
from core.runtime import (
    Precision,
    Runtime,
    autocast,
    derive_seed,
    seed_everything,
    training_attention,
)

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "loss.jsonl"
ALONE = Runtime()

Losses = Iterable[Callable[[], Tensor]]


@dataclass(frozen=True)
class Course:
    """How a training goes, whatever the network and its samples are.

    steps: in all. optimisers: of a network that is where it is trained. lr_at: the learning rate of
    step 0, 1, ... grad_clip: largest 2-norm of all gradients together, None: not limited.
    ema_decay: None keeps the raw weights. purpose: names what a step draws itself, as dropout does.
    leave_out: clipped gradients that are not finite are not applied; else the next loss tells.
    """

    steps: int
    seed: int
    optimisers: Callable[[nn.Module], list[torch.optim.Optimizer]]
    lr_at: Callable[[int], float]
    precision: Precision
    grad_clip: float | None
    ema_decay: float | None = None
    purpose: str = "step"
    leave_out: bool = True


class Training:
    """Network, optimisers, average and log of one training; all of it in the checkpoint.

    Puts `model` on `device`, shared by the ranks if there are several, and resumes what lies in
    `folder`: `checkpoint.pt`, and `log_name` with the rows of `log` (`core.events` too). kept: what
    the follower wants to find again. diverged: a loss was not finite; the weights are those from
    before it.
    Raises: UserError: if the checkpoint is of another version.
    """

    def __init__(
        self,
        model: nn.Module,
        course: Course,
        folder: Path,
        *,
        device: torch.device,
        runtime: Runtime = ALONE,
        log_name: str = LOG_NAME,
        kept: dict[str, Any] | None = None,
    ) -> None:
        seed_everything(course.seed)
        model.to(device).train()
        if world_size() > 1:
            share(model, runtime.sharding)
        self.model, self.course, self.folder, self.device = model, course, folder, device
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimisers = course.optimisers(model)
        self.average: Any = None
        if course.ema_decay:
            from diffusers.training_utils import EMAModel  # seconds, and not all need it

            self.average = EMAModel(self.parameters, decay=course.ema_decay)
        self.scaler = torch.amp.GradScaler(enabled=course.precision == "fp16")
        self.step = self.skipped = 0
        self.diverged = False
        self.last_loss = self.mean_loss = math.nan
        self.log: list[dict[str, float]] = []
        self.log_name = log_name
        self.events = Events(folder)
        self.kept = kept or {}
        self._load()

    def run(
        self,
        losses: Callable[[int], Losses],
        follow: Callable[[float], None],
        description: str,
        *,
        until: int | None = None,
        quiet: bool = False,
    ) -> None:
        """Train to step `until` (None: the last), or until it diverges, and write the log.

        losses: of a step, as `update` takes them. follow: is called with the loss after each step;
        it keeps the log, looks at the network and saves when it is time.
        """
        until, quiet = self.course.steps if until is None else until, quiet or rank() > 0
        with Progress(description, until, "steps", self.step, quiet=quiet) as progress:
            while self.step < until and not self.diverged:
                if self.update(losses(self.step)):
                    follow(self.last_loss)
                    progress.advance(note=f"loss {self.mean_loss:.4f}")
        self._write_log()
        self.events.close()

    def update(self, losses: Losses) -> bool:
        """One optimiser step from the sum of `losses`, scalars that are computed one at a time.

        Returns False, with `diverged` set and nothing changed, where the sum is not finite.
        """
        course = self.course
        others = () if rank() == 0 else (rank(),)  # each draws dropout masks of its own
        torch.manual_seed(derive_seed(course.seed, course.purpose, self.step, *others))
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = course.lr_at(self.step)
        total = torch.zeros((), device=self.device)
        for loss_of_part in losses:
            with training_attention(course.precision, self.device):
                with autocast(course.precision, self.device):
                    loss = loss_of_part()
                self.scaler.scale(loss).backward()
            total += loss.detach().float()
        self.last_loss = float(mean_over_ranks(total))
        self.diverged = not math.isfinite(self.last_loss)
        if not self.diverged:
            self._apply_gradients()
            self.step += 1
            first = not math.isfinite(self.mean_loss)
            self.mean_loss = (
                self.last_loss if first else 0.98 * self.mean_loss + 0.02 * self.last_loss
            )
        self.model.zero_grad(set_to_none=True)
        return not self.diverged

    def _apply_gradients(self) -> None:
        average_gradients(self.parameters)
        applied = True
        if self.course.grad_clip is not None:
            for optimiser in self.optimisers:
                self.scaler.unscale_(optimiser)
            norm = whole(nn.utils.clip_grad_norm_(self.parameters, self.course.grad_clip))
            # A finite loss can have gradients that overflow (seen with bf16 conv3d on CPU). In
            # fp16 the scaler leaves them out.
            applied = self.scaler.is_enabled() or bool(torch.isfinite(norm))
        if applied or not self.course.leave_out:
            for optimiser in self.optimisers:
                self.scaler.step(optimiser)
        else:
            self.skipped += 1
        self.scaler.update()
        if self.average is not None:
            self.average.step(self.parameters)

    def take_average(self) -> None:
        """Put the averaged weights, if there are any, in the place of the raw ones."""
        if self.average is not None:
            self.average.copy_to(self.parameters)

    def save(self) -> None:
        """Write checkpoint and log (rank 0; the others hand over their part)."""
        keep = rank() == 0
        state = {
            "step": self.step,
            "skipped": self.skipped,
            "diverged": self.diverged,
            "mean_loss": self.mean_loss,
            "log": self.log,
            "kept": self.kept,
            "model": whole(self.model.state_dict(), keep=keep),
            "optimisers": whole([each.state_dict() for each in self.optimisers], keep=keep),
            "scaler": self.scaler.state_dict(),
            "average": whole(self.average.shadow_params if self.average else [], keep=keep),
        }
        if keep:
            with atomic_path(self.folder / CHECKPOINT_NAME) as path:
                torch.save(state, path)
        self._write_log()

    def _write_log(self) -> None:
        if rank() == 0:
            lines = (json.dumps(row) + "\n" for row in self.log)
            write_text(self.folder / self.log_name, "".join(lines))
            self.events.write(self.log)

    def _load(self) -> None:
        path = self.folder / CHECKPOINT_NAME
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        if "kept" not in state:
            raise UserError(f"checkpoint {path}: of an earlier version; delete it to start anew")
        own = self.model.state_dict()
        self.model.load_state_dict({k: part_of(v, own[k]) for k, v in state["model"].items()})
        for optimiser, moments in zip(self.optimisers, state["optimisers"], strict=True):
            load_optimiser(optimiser, moments)
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            shadows = zip(state["average"], self.parameters, strict=True)
            self.average.shadow_params = [part_of(value, like) for value, like in shadows]
            self.average.optimization_step = state["step"]
        for name in ("step", "skipped", "diverged", "mean_loss", "log", "kept"):
            setattr(self, name, state[name])
