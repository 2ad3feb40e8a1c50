"""The fitting of one classifier: steps, epochs, evaluation on val, checkpoint.

Order, augmentation and dropout follow from (seed, step), and the checkpoint holds the rest: a run
that is killed and resumed gives the same bits. Processes that train together
(`core.distributed.launch`) each take their share of every batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from classifiers.checkpoints import Checkpoint
from classifiers.data import Batches, LabelledSplit, TrainingClips
from classifiers.networks import Classifier
from classifiers.prediction import normalise, predict
from classifiers.recipe import Recipe
from core.distributed import (
    average_gradients,
    gathered,
    load_optimiser,
    mean_over_ranks,
    rank,
    share,
    whole,
    world_size,
)
from core.errors import UserError
from core.files import atomic_path, write_json, write_text
from core.frame_cache import FrameTable
from core.progress import Progress
from core.runtime import Runtime, autocast, derive_seed, seed_everything

CHECKPOINT_NAME, LOG_NAME, START_NAME = "checkpoint.pt", "epochs.jsonl", "start.json"


class Fitting:
    """The state of one training run; all of it that matters is in the checkpoint.

    build: gives the network with freshly drawn weights. frames, val: what the epoch is chosen on.
    start: a published checkpoint whose backbone it starts from. folder: keeps `checkpoint.pt`,
    `epochs.jsonl` and, with `start`, `start.json`.
    """

    def __init__(
        self,
        build: Callable[[], Classifier],
        recipe: Recipe,
        data: TrainingClips,
        frames: FrameTable,
        val: LabelledSplit,
        folder: Path,
        *,
        seed: int,
        runtime: Runtime,
        start: Checkpoint | None = None,
    ) -> None:
        self.build, self.recipe, self.seed, self.runtime = build, recipe, seed, runtime
        self.data, self.frames, self.val, self.folder = data, frames, val, folder
        self.device = runtime.torch_device()
        self.steps_per_epoch = self._steps_per_epoch()
        self.batches = Batches(data, recipe, seed, recipe.epochs * self.steps_per_epoch)
        self.epochs_done, self.steps_done, self.diverged = 0, 0, False
        self.history: list[dict[str, float]] = []
        self.named: list[float] = []  # this epoch's steps, of clips without labels
        self.best: dict[str, Any] = {"epoch": 0, "top1": None}
        seed_everything(seed)
        model = build()
        state = self._resumed(model)
        if state is None:
            self._begin(model, start)
        self.model = self._placed(model)
        self.optimiser = recipe.build_optimiser(self.model)
        self.scaler = torch.amp.GradScaler(enabled=recipe.precision == "fp16")
        if state is not None:
            load_optimiser(self.optimiser, state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])

    def train(self, description: str) -> None:
        """Train the epochs that are left, with a checkpoint after each."""
        total = self.recipe.epochs * self.steps_per_epoch
        with Progress(description, total, "steps", self.steps_done, quiet=rank() > 0) as progress:
            while self.epochs_done < self.recipe.epochs and not self.diverged:
                self.epoch(progress)
                self.save()
        if self.best["epoch"] == 0:  # diverged before the first evaluation
            self.best["top1"] = top1(self._val_logits(self.best_model()), self.val.labels)

    def epoch(self, progress: Progress) -> None:
        """One pass of the schedule, then val if it is its turn; ends early with `diverged` set."""
        losses = []
        self.named = []
        for _ in range(self.steps_per_epoch):
            loss = self.step(self.steps_done)
            if not math.isfinite(loss):
                self.diverged = True
                return
            self.steps_done += 1
            losses.append(loss)
            progress.advance(note=f"loss {loss:.3f}")
        line = {
            "epoch": self.epochs_done + 1,
            "steps": self.steps_done,
            "train_loss": sum(losses) / len(losses),
        }
        if self.named:
            line["named"] = sum(self.named) / len(self.named)
        if line["epoch"] % self.recipe.val_interval == 0 or line["epoch"] == self.recipe.epochs:
            logits = self._val_logits(self.model)
            self.diverged = not bool(np.isfinite(logits).all())
            if self.diverged:
                return
            line["val_top1"] = accuracy = top1(logits, self.val.labels)
            if self.best["top1"] is None or accuracy > self.best["top1"]:
                self.best = {"epoch": line["epoch"], "top1": accuracy, "model": self._weights()}
        self.epochs_done += 1
        self.history.append(line)

    def save(self) -> None:
        """Write checkpoint and log (rank 0; the others hand over their part)."""
        state = {
            "epochs_done": self.epochs_done,
            "steps_done": self.steps_done,
            "diverged": self.diverged,
            "history": self.history,
            "best": self.best,
            "model": whole(self.model.state_dict()),
            "optimiser": whole(self.optimiser.state_dict()),
            "scaler": self.scaler.state_dict(),
        }
        if rank() > 0:
            return
        with atomic_path(self.folder / CHECKPOINT_NAME) as temporary:
            torch.save(state, temporary)
        lines = (json.dumps(line) + "\n" for line in self.history)
        write_text(self.folder / LOG_NAME, "".join(lines))

    def best_model(self) -> Classifier:
        """The network with the best epoch's weights, in evaluation mode."""
        model = self.build()
        model.load_state_dict(self.best["model"])
        return model.to(self.device).eval()

    def step(self, number: int) -> float:
        """One optimiser step; returns the loss. One that is not finite changes no weight."""
        others = () if rank() == 0 else (rank(),)  # dropout masks of their own
        torch.manual_seed(derive_seed(self.seed, "dropout", number, *others))
        rate = self.recipe.lr_at(number, self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        frames, labels = self.batches.part(number, rank(), world_size())
        clips = normalise(torch.from_numpy(frames).to(self.device))
        targets = torch.from_numpy(labels).to(self.device)
        with autocast(self.recipe.precision, self.device):
            loss: Tensor = functional.cross_entropy(
                self.model(clips), targets, label_smoothing=self.recipe.label_smoothing
            )
            if len(self.data.unlabelled):
                loss = loss + self.recipe.fixmatch.weight * self._without_labels(number)
        value = float(mean_over_ranks(loss.detach().clone()))
        if math.isfinite(value):
            self.optimiser.zero_grad()
            self.scaler.scale(loss).backward()
            average_gradients(self.model.parameters())
            if self.recipe.grad_clip is not None:
                self.scaler.unscale_(self.optimiser)
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
            self.scaler.step(self.optimiser)
            self.scaler.update()
        return value

    def _without_labels(self, number: int) -> Tensor:
        """FixMatch's loss of the step's clips without labels; 0 where the network is sure of none.

        One pass over both views: a batch norm must not see weakly augmented clips alone. The share
        of clips that it is sure of is in the log as `named`: at 0 they teach nothing.
        """
        parts = self.batches.unlabelled_part(number, rank(), world_size())
        both = normalise(torch.from_numpy(np.concatenate(parts)).to(self.device))
        weak, strong = self.model(both).chunk(2)
        sure, guesses = weak.detach().float().softmax(1).max(1)
        losses = functional.cross_entropy(strong, guesses, reduction="none")
        named = sure >= self.recipe.fixmatch.threshold
        self.named.append(float(mean_over_ranks(named.float().mean())))
        return (losses * named).mean()

    def _steps_per_epoch(self) -> int:
        first = self.data.num_counted
        if self.recipe.schedule == "matched_steps" and not first:
            raise UserError(
                "schedule 'matched_steps': the mixture's first source has no readable clip "
                "to count steps by: add some or use 'matched_epochs'"
            )
        return self.recipe.steps_per_epoch(len(self.data), first)

    def _placed(self, model: Classifier) -> Any:
        """The network on its device, shared by the ranks if there are several."""
        model.to(self.device).train()
        if world_size() == 1:
            return model
        shared: Any = model
        if self.device.type == "cuda":
            shared = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        shared.to(memory_format=torch.contiguous_format)  # FSDP knows no other layout
        share(shared, self.runtime.sharding)
        return shared

    def _val_logits(self, model: Classifier) -> np.ndarray:
        rows = self.val.rows
        if world_size() == 1 or self.runtime.sharding == "shard":  # all must call a shared network
            return predict(model, self.frames.frames, rows)
        part = np.array_split(rows, world_size())[rank()]
        return gathered(predict(model, self.frames.frames, part))

    def _weights(self) -> dict[str, Tensor]:
        return {name: whole(value).clone() for name, value in self.model.state_dict().items()}

    def _begin(self, model: Classifier, start: Checkpoint | None) -> None:
        if start is not None:
            report = start.load_into(model)
            if rank() == 0:
                write_json(self.folder / START_NAME, report.summary())
        self.best["model"] = {name: v.cpu().clone() for name, v in model.state_dict().items()}

    def _resumed(self, model: Classifier) -> dict[str, Any] | None:
        """Take over a checkpoint, if there is one, and return it for what is built later.

        It holds all weights: a published checkpoint is not needed again.
        """
        path = self.folder / CHECKPOINT_NAME
        if not path.is_file():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        for name in ("epochs_done", "steps_done", "diverged", "history", "best"):
            setattr(self, name, state[name])
        return state


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of clips, 0..1, whose largest logit is the label's."""
    return float(np.mean(logits.argmax(axis=1) == labels))
