"""Training of one classifier on one mixture: the stage, its epochs, its checkpoint.

A kill at any moment loses at most one epoch, and the resumed run gives the same bits: order,
augmentation and dropout depend on (seed, step) alone, and the checkpoint holds the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from classifiers.checkpoints import Checkpoint
from classifiers.data import Batches, LabelledSplit, TrainingSet, labelled_split
from classifiers.networks import Classifier, Network
from classifiers.prediction import normalise, predict
from classifiers.recipe import Recipe
from core.clip import Task
from core.errors import UserError
from core.files import atomic_path, read_json, write_json, write_text
from core.frame_cache import FrameCache, FrameTable
from core.mixture import Mixture
from core.progress import Progress
from core.runtime import derive_seed, seed_everything
from core.stage import ClipSource, Stage

CHECKPOINT_NAME, LOG_NAME, MODEL_NAME = "checkpoint.pt", "epochs.jsonl", "model.safetensors"
START_NAME = "start.json"


class ClassifierTraining(Stage):
    """Train `network` on `mixture`, choose the epoch on val, predict val and test.

    evaluation: labelled clips with a val and a test split; normally the same stage as the
    mixture's first source. start: a published checkpoint that the backbone starts from, so that
    `seed` decides the head, the order and dropout only.  Leaves `model.safetensors` (the weights of
    the best epoch: val top-1, the earlier one of equals), `epochs.jsonl`, and for val and test
    `logits_<split>.npy` (N, num_classes) float32, `labels_<split>.npy` (N,) int64 and
    `clips_<split>.json` (clip and video ids); with `start` also `start.json`, what became of its
    tensors.  A loss or val logits that are not finite end the run with `diverged: true` and the
    best epoch so far (epoch 0: the weights before training).
    """

    task: Task
    num_classes: int = pydantic.Field(ge=2)
    network: Network
    recipe: Recipe
    mixture: Mixture
    evaluation: ClipSource
    num_frames: int = pydantic.Field(default=8, ge=1)
    size: int = pydantic.Field(default=64, ge=8)
    start: Checkpoint | None = None
    seed: int = pydantic.Field(default=0, ge=0)

    def cache_of(self, clips: ClipSource) -> FrameCache:
        """The decoded frames of a source, shared with every run of the same frames and size."""
        return FrameCache(
            clips=clips,
            num_frames=self.num_frames,
            width=self.size,
            height=self.size,
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        )

    def upstream(self) -> Iterator[Stage]:
        """The fields' stages and the frame caches, so that a plan lists and runs those first."""
        yield from super().upstream()
        for clips in (*self.mixture.sources, self.evaluation):
            yield self.cache_of(clips)

    def build(self) -> Classifier:
        """The network with freshly drawn weights, which depend on `seed` alone, not on `start`."""
        torch.manual_seed(derive_seed(self.seed, "weights"))
        return self.network.build(self.num_classes, self.num_frames, self.size)

    def model(self) -> Classifier:
        """Run the stage if need be and load the best epoch's network, ready to predict."""
        self.run()
        model = self.build()
        model.load_state_dict(safetensors.torch.load_file(self.folder / MODEL_NAME))
        return model.to(self.runtime.torch_device()).eval()

    def execute(self, folder: Path) -> dict[str, Any]:
        chosen = self.mixture.chosen()
        tables = [self.cache_of(clips).table() for clips in self.mixture.sources]
        data = TrainingSet(tables, chosen, self.num_classes)
        frames = self.cache_of(self.evaluation).table()
        manifest = self.evaluation.manifest()
        val, test = (
            labelled_split(manifest, frames, split, self.task, self.num_classes)
            for split in ("val", "test")
        )
        run = _Run(self, folder, data, frames, val)
        run.train()
        model = run.best_model()
        _save_weights(folder / MODEL_NAME, model)
        for name, split in (("val", val), ("test", test)):
            _save_predictions(folder, name, split, predict(model, frames.frames, split.rows))
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
        started = {"start": read_json(folder / START_NAME)} if self.start is not None else {}
        return {
            "best_epoch": run.best["epoch"],
            "val_top1": run.best["top1"],
            "steps": run.steps_done,
            "train_clips": len(data),
            "unreadable": len({*data.unreadable, *val.unreadable, *test.unreadable}),
            "diverged": run.diverged,
            "parameters": sum(p.numel() for p in model.parameters()),
            **started,
        }

    def cost(self) -> str:
        return f"{self.recipe.epochs} epochs of batch {self.recipe.batch_size}"


class _Run:
    """The state of one training run; all of it that matters is in the checkpoint."""

    def __init__(
        self,
        stage: ClassifierTraining,
        folder: Path,
        data: TrainingSet,
        frames: FrameTable,
        val: LabelledSplit,
    ) -> None:
        self.stage, self.recipe, self.folder = stage, stage.recipe, folder
        self.data, self.frames, self.val = data, frames, val
        self.device = stage.runtime.torch_device()
        seed_everything(stage.seed)
        self.model = stage.build().to(self.device)
        self.optimizer = self.recipe.build_optimizer(self.model)
        self.batches = Batches(data, self.recipe, stage.seed)
        first = int(np.count_nonzero(data.sources == 0))
        if self.recipe.schedule == "matched_steps" and not first:
            raise UserError(
                "schedule 'matched_steps': the mixture's first source has no readable clip "
                "to count steps by: add some or use 'matched_epochs'"
            )
        self.steps_per_epoch = self.recipe.steps_per_epoch(len(data), first)
        self.epochs_done, self.steps_done, self.diverged = 0, 0, False
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"epoch": 0, "top1": None}
        if (folder / CHECKPOINT_NAME).is_file():
            self._resume()
        else:
            self._begin()

    def train(self) -> None:
        """Train the epochs that are left, with a checkpoint after each."""
        total = self.recipe.epochs * self.steps_per_epoch
        name = f"training {type(self.stage.network).__name__}"
        with Progress(name, total, "steps", self.steps_done) as progress:
            while self.epochs_done < self.recipe.epochs and not self.diverged:
                self._epoch(progress)
                self._save()
        if self.best["epoch"] == 0:  # diverged before the first evaluation
            self.best["top1"] = _top1(self._val_logits(self.best_model()), self.val.labels)

    def best_model(self) -> Classifier:
        """The network with the best epoch's weights, in evaluation mode."""
        model = self.stage.build()
        model.load_state_dict(self.best["model"])
        return model.to(self.device).eval()

    def _epoch(self, progress: Progress) -> None:
        losses = []
        for _ in range(self.steps_per_epoch):
            loss = self._step(self.steps_done)
            if not math.isfinite(loss):
                self.diverged = True
                return
            self.steps_done += 1
            losses.append(loss)
            progress.advance(note=f"loss {loss:.3f}")
        logits = self._val_logits(self.model)
        self.diverged = not bool(np.isfinite(logits).all())
        if self.diverged:
            return
        self.epochs_done += 1
        top1 = _top1(logits, self.val.labels)
        if self.best["top1"] is None or top1 > self.best["top1"]:
            self.best = {"epoch": self.epochs_done, "top1": top1, "model": self._weights()}
        mean_loss = sum(losses) / len(losses)
        self.history.append(
            {
                "epoch": self.epochs_done,
                "steps": self.steps_done,
                "train_loss": mean_loss,
                "val_top1": top1,
            }
        )

    def _step(self, step: int) -> float:
        """One optimiser step; returns the loss. One that is not finite changes no weight."""
        torch.manual_seed(derive_seed(self.stage.seed, "dropout", step))
        rate = self.recipe.learning_rate_at(step, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        frames, labels = self.batches[step]
        clips = normalise(torch.from_numpy(frames).to(self.device))
        targets = torch.from_numpy(labels).to(self.device)
        loss: Tensor = functional.cross_entropy(
            self.model(clips), targets, label_smoothing=self.recipe.label_smoothing
        )
        value = loss.item()
        if math.isfinite(value):
            self.optimizer.zero_grad()
            loss.backward()
            if self.recipe.grad_clip is not None:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
            self.optimizer.step()
        return value

    def _val_logits(self, model: Classifier) -> np.ndarray:
        return predict(model.to(self.device), self.frames.frames, self.val.rows)

    def _save(self) -> None:
        with atomic_path(self.folder / CHECKPOINT_NAME) as temporary:
            state = {
                "epochs_done": self.epochs_done,
                "steps_done": self.steps_done,
                "diverged": self.diverged,
                "history": self.history,
                "best": self.best,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            torch.save(state, temporary)
        lines = (json.dumps(line) + "\n" for line in self.history)
        write_text(self.folder / LOG_NAME, "".join(lines))

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.cpu().clone() for name, value in self.model.state_dict().items()}

    def _begin(self) -> None:
        if self.stage.start is not None:
            report = self.stage.start.load_into(self.model)
            write_json(self.folder / START_NAME, report.summary())
        self.best["model"] = self._weights()

    def _resume(self) -> None:
        # The state holds all weights: a published checkpoint is not needed again.
        path = self.folder / CHECKPOINT_NAME
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("epochs_done", "steps_done", "diverged", "history", "best"):
            setattr(self, name, state[name])


def _top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of clips, 0..1, whose largest logit is the label's."""
    return float(np.mean(logits.argmax(axis=1) == labels))


def _save_weights(path: Path, model: Classifier) -> None:
    # safetensors knows no memory layouts; loading restores the network's own.
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary)


def _save_predictions(folder: Path, name: str, split: LabelledSplit, logits: np.ndarray) -> None:
    for kind, array in (("logits", logits), ("labels", split.labels)):
        with atomic_path(folder / f"{kind}_{name}.npy") as temporary:
            np.save(temporary, array)
    ids = [
        {"clip_id": clip, "video_id": video}
        for clip, video in zip(split.clip_ids, split.video_ids, strict=True)
    ]
    write_json(folder / f"clips_{name}.json", ids)
