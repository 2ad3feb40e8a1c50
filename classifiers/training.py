"""Training of one classifier on one mixture: the stage (its fitting: `classifiers/fitting.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydantic
import safetensors.torch
import torch

from classifiers.data import LabelledSplit, TrainingClips, labelled_split
from classifiers.fitting import LOG_NAME, START_NAME, Fitting
from classifiers.networks import Classifier
from classifiers.prediction import predict
from classifiers.recipe import Recipe
from classifiers.starts import Start
from classifiers.trained import MODEL_NAME, TrainedClassifier
from core.batch import samples_per_rank
from core.clip import Split
from core.files import atomic_path, read_json, write_json
from core.frame_cache import FrameTable
from core.launching import launch
from core.mixture import Mixture
from core.runtime import derive_seed
from core.stage import ClipStage, Stage
from core.training import CHECKPOINT_NAME

__all__ = ["LOG_NAME", "ClassifierTraining"]


class ClassifierTraining(TrainedClassifier):
    """Train `network` on `mixture`, choose the epoch on val, predict val and test.

    evaluation: labelled clips with a val and a test split; normally the same stage as the
    mixture's first source. start: weights that the backbone starts from, so that `seed` decides
    the head, the order and dropout only.  Leaves `model.safetensors` (the weights of the best
    epoch: val top-1, the earlier one of equals), `epochs.jsonl`, and for every split that
    `evaluation` has `logits_<split>.npy` (N, num_classes) float32, of clips without augmentation,
    `labels_<split>.npy` (N,) int64 and `clips_<split>.json` (clip and video ids); with `start` also
    `start.json`, what became of its tensors.  A loss or val logits that are not finite end the run
    with `diverged: true` and the best epoch so far (epoch 0: the weights before training).
    """

    version: ClassVar[str] = "2"
    recipe: Recipe
    mixture: Mixture
    evaluation: ClipStage
    start: Start | None = None
    seed: int = pydantic.Field(default=0, ge=0)

    def upstream(self) -> Iterator[Stage]:
        """The fields' stages and what is read of each source: a plan lists and runs those first."""
        yield from super().upstream()
        for clips in (*self.mixture.sources, self.evaluation):
            yield self.inputs_of(clips)

    def build(self) -> Classifier:
        """The network with freshly drawn weights, which depend on `seed` alone, not on `start`."""
        torch.manual_seed(derive_seed(self.seed, "weights"))
        return self.network.build(self.num_classes, self.num_frames, self.size)

    def weights_file(self) -> Path:
        """The best epoch's weights; runs the stage if need be."""
        self.run()
        return self.folder / MODEL_NAME

    @property
    def ranks(self) -> int:
        return self.runtime.classifier_processes

    def execute(self, folder: Path) -> dict[str, Any]:
        samples_per_rank(self.recipe.batch_size, self.ranks)
        if self.ranks > 1:
            self._inputs()  # before the ranks start: they only read what is there
            launch(type(self).fit, self, folder, runtime=self.runtime, ranks=self.ranks)
        run = self.fit(folder)
        data, frames = run.data, run.frames
        model = run.best_model()
        _save_weights(folder / MODEL_NAME, model)
        splits = self._splits(frames)
        for name, split in splits.items():
            save_predictions(folder, name, split, predict(model, frames.frames, split.rows))
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
        without: dict[str, Any] = {}
        if len(data.unlabelled):
            named = [row["named"] for row in run.training.log]
            share = sum(named) / len(named) if named else 0.0  # none if it diverged at once
            without = {"unlabelled_clips": len(data.unlabelled), "unlabelled_named": share}
        started = {"start": read_json(folder / START_NAME)} if self.start is not None else {}
        return {
            "best_epoch": run.best["epoch"],
            "val_top1": run.best["top1"],
            "steps": run.training.step,
            "train_clips": len(data),
            "unreadable": len({*data.unreadable, *chain(*(s.unreadable for s in splits.values()))}),
            "diverged": run.training.diverged,
            "parameters": sum(p.numel() for p in model.parameters()),
            **without,
            **started,
        }

    def fit(self, folder: Path) -> Fitting:
        """Train to the end, or take over what ranks have trained.

        Raises: UserError: if an input is wrong.
        """
        data, frames = self._inputs()
        val = self._splits(frames)["val"]  # all: faults are better found now than after days
        machinery: dict[str, Any] = {"seed": self.seed, "runtime": self.runtime}
        run = Fitting(
            self.build, self.recipe, data, frames, val, folder, start=self.start, **machinery
        )
        run.train(f"training {type(self.network).__name__}")
        return run

    def _inputs(self) -> tuple[TrainingClips, FrameTable]:
        chosen = self.mixture.chosen()
        tables = [self.inputs_of(clips).table() for clips in self.mixture.sources]
        data = TrainingClips(tables, chosen, self.num_classes, self.mixture.counted())
        return data, self.inputs_of(self.evaluation).table()

    def _splits(self, frames: FrameTable) -> dict[Split, LabelledSplit]:
        """What is predicted: val and test, and train if `evaluation` has it."""
        manifest = self.evaluation.manifest()
        wanted: list[Split] = ["val", "test"]
        if any(clip.split == "train" for clip in manifest.clips):
            wanted.insert(0, "train")
        return {
            split: labelled_split(manifest, frames, split, self.task, self.num_classes)
            for split in wanted
        }

    def cost(self) -> str:
        return f"{self.recipe.epochs} epochs of batch {self.recipe.batch_size}"


def _save_weights(path: Path, model: Classifier) -> None:
    # safetensors knows no memory layouts; loading restores the network's own.
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary)


def save_predictions(folder: Path, name: str, split: LabelledSplit, logits: np.ndarray) -> None:
    """Write `logits_<name>.npy`, `labels_<name>.npy` and `clips_<name>.json` (ids)."""
    for kind, array in (("logits", logits), ("labels", split.labels)):
        with atomic_path(folder / f"{kind}_{name}.npy") as temporary:
            np.save(temporary, array)
    ids = [
        {"clip_id": clip, "video_id": video}
        for clip, video in zip(split.clip_ids, split.video_ids, strict=True)
    ]
    write_json(folder / f"clips_{name}.json", ids)
