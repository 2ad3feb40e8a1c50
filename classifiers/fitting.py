"""The fitting of one classifier: its passes, its loss, evaluation on val, choice of the epoch.

The loop, its checkpoint and its log are `core.training`'s. What differs from `core.fitting.fit`,
and why:

- A pass leaves the last, smaller batch out, can be weighted or change its clips on the way, and
  augments what it draws (`classifiers.data.Batches`): batch norm wants whole batches, arms of a
  table equal passes.
- Val is looked at after a pass, so passes are logged and saved, and the best one's weights kept.
- A loss that is not finite is a result (`diverged`), not an error, and gradients that overflow are
  applied and so become one: a recipe must not be repaired in one arm of a table and not in another.
- Optimisers, their groups and the curve of the learning rate are the recipe's, as published.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from classifiers.data import Batches, LabelledSplit, TrainingClips
from classifiers.networks import Classifier
from classifiers.prediction import predict
from classifiers.recipe import Recipe
from classifiers.starts import Start
from core.distributed import gathered, mean_over_ranks, rank, whole, world_size
from core.errors import UserError
from core.files import write_json
from core.frame_cache import FrameTable
from core.runtime import Runtime
from core.training import CHECKPOINT_NAME, Course, Losses, Training

LOG_NAME, START_NAME = "epochs.jsonl", "start.json"


class Fitting:
    """One training run; all of its state that matters is in the checkpoint.

    build: gives the network with freshly drawn weights. frames, val: what the epoch is chosen on.
    start: weights that its backbone starts from. folder: keeps `checkpoint.pt`,
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
        start: Start | None = None,
    ) -> None:
        self.build, self.recipe, self.runtime = build, recipe, runtime
        self.data, self.frames, self.val, self.folder = data, frames, val, folder
        self.device = runtime.torch_device()
        self.steps_per_epoch = self._steps_per_epoch()
        steps = recipe.epochs * self.steps_per_epoch
        self.batches = Batches(data, recipe, seed, steps)
        self.epoch_losses: list[float] = []
        self.named: list[float] = []  # this epoch's steps, of clips without labels
        model = build()
        # A begun training has all weights: the published checkpoint is not needed again.
        if start is not None and not (folder / CHECKPOINT_NAME).is_file():
            self._start_from(start, model)
        before = {name: value.cpu().clone() for name, value in model.state_dict().items()}
        course = Course(
            steps=steps,
            seed=seed,
            optimisers=lambda placed: [recipe.build_optimiser(placed)],
            lr_at=partial(recipe.lr_at, steps_per_epoch=self.steps_per_epoch),
            precision=recipe.precision,
            grad_clip=recipe.grad_clip,
            purpose="dropout",
            leave_out=False,
        )
        self.model = self._for_ranks(model)
        self.training = Training(
            self.model,
            course,
            folder,
            device=self.device,
            runtime=runtime,
            log_name=LOG_NAME,
            kept={"best": {"epoch": 0, "top1": None, "model": before}},
        )

    @property
    def best(self) -> dict[str, Any]:
        """Number (0: none), val top-1 and weights of the best epoch so far."""
        found: dict[str, Any] = self.training.kept["best"]
        return found

    def train(self, description: str) -> None:
        """Train the epochs that are left, with a checkpoint after each."""
        self.training.run(self.losses, self.follow, description)
        if self.training.diverged:
            self.training.save()
        if self.best["epoch"] == 0:  # diverged before the first evaluation
            self.best["top1"] = top1(self._val_logits(self.best_model()), self.val.labels)

    def losses(self, number: int) -> Losses:
        """The loss of a step: this rank's clips of its batch."""
        frames, labels = self.batches.part(number, rank(), world_size())
        clips = self.model.prepare(torch.from_numpy(frames).to(self.device))
        targets = torch.from_numpy(labels).to(self.device)
        return [partial(self._loss, number, clips, targets)]

    def follow(self, loss: float) -> None:
        """After the last step of an epoch: its row, val if it is its turn, checkpoint."""
        self.epoch_losses.append(loss)
        training = self.training
        if training.step % self.steps_per_epoch:
            return
        row = {
            "epoch": training.step // self.steps_per_epoch,
            "steps": training.step,
            "train_loss": sum(self.epoch_losses) / len(self.epoch_losses),
        }
        if self.named:
            row["named"] = sum(self.named) / len(self.named)
        self.epoch_losses, self.named = [], []
        if row["epoch"] % self.recipe.val_interval == 0 or row["epoch"] == self.recipe.epochs:
            logits = self._val_logits(self.model)
            training.diverged = not bool(np.isfinite(logits).all())
            if training.diverged:
                return
            row["val_top1"] = accuracy = top1(logits, self.val.labels)
            if self.best["top1"] is None or accuracy > self.best["top1"]:
                best = {"epoch": row["epoch"], "top1": accuracy, "model": self._weights()}
                training.kept["best"] = best
        training.log.append(row)
        training.save()

    def best_model(self) -> Classifier:
        """The network with the best epoch's weights, in evaluation mode."""
        model = self.build()
        model.load_state_dict(self.best["model"])
        return model.to(self.device).eval()

    def _loss(self, number: int, clips: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = functional.cross_entropy(
            self.model(clips), targets, label_smoothing=self.recipe.label_smoothing
        )
        if len(self.data.unlabelled):
            loss = loss + self.recipe.fixmatch.weight * self._without_labels(number)
        return loss

    def _without_labels(self, number: int) -> Tensor:
        """FixMatch's loss of the step's clips without labels; 0 where the network is sure of none.

        One pass over both views: a batch norm must not see weakly augmented clips alone. The share
        of clips that it is sure of is in the log as `named`: at 0 they teach nothing.
        """
        parts = self.batches.unlabelled_part(number, rank(), world_size())
        both = self.model.prepare(torch.from_numpy(np.concatenate(parts)).to(self.device))
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

    def _for_ranks(self, model: Classifier) -> Any:
        """The network as ranks can share it, if there are several."""
        if world_size() == 1:
            return model
        shared: Any = model
        if self.device.type == "cuda":
            shared = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return shared.to(memory_format=torch.contiguous_format)  # FSDP knows no other layout

    def _val_logits(self, model: Classifier) -> np.ndarray:
        rows = self.val.rows
        if world_size() == 1 or self.runtime.sharding == "shard":  # all must call a shared network
            return predict(model, self.frames.frames, rows)
        part = np.array_split(rows, world_size())[rank()]
        return gathered(predict(model, self.frames.frames, part))

    def _weights(self) -> dict[str, Tensor]:
        return {name: whole(value).clone() for name, value in self.model.state_dict().items()}

    def _start_from(self, start: Start, model: Classifier) -> None:
        report = start.load_into(model)
        if rank() == 0:
            write_json(self.folder / START_NAME, report.summary())


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of clips, 0..1, whose largest logit is the label's."""
    return float(np.mean(logits.argmax(axis=1) == labels))
