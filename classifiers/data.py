"""Labelled clips in frame caches; batches whose order and augmentation depend on (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.recipe import Recipe
from core.clip import Manifest, Split, Task
from core.errors import UserError
from core.frame_cache import FrameTable
from core.mixture import Chosen
from core.runtime import derive_seed


@dataclass(frozen=True)
class LabelledSplit:
    """The readable clips of one split: row in the frame cache, class id, clip id and video id."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    clip_ids: list[str]
    video_ids: list[str]
    unreadable: list[str]


def labelled_split(
    manifest: Manifest, table: FrameTable, split: Split, task: Task, num_classes: int
) -> LabelledSplit:
    """The clips of `split`, in the manifest's order, without the unreadable ones.

    Raises: UserError: if none is left, or a label is missing or not below `num_classes`.
    """
    clips = manifest.of_split(split).clips
    kept = [clip for clip in clips if clip.clip_id in table.rows]
    if not kept:
        raise UserError(f"evaluation: no readable clip in the {split} split; add labelled videos")
    labels = [clip.label(task) for clip in kept]
    for clip, label in zip(kept, labels, strict=True):
        _check_label(clip.clip_id, label, num_classes)
    return LabelledSplit(
        rows=np.array([table.rows[clip.clip_id] for clip in kept], dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        clip_ids=[clip.clip_id for clip in kept],
        video_ids=[clip.video_id for clip in kept],
        unreadable=[clip.clip_id for clip in clips if clip.clip_id in table.unreadable],
    )


def _check_label(clip_id: str, label: int, num_classes: int) -> None:
    if label >= num_classes:
        raise UserError(
            f"clip {clip_id!r}: label {label} is out of range for num_classes {num_classes}; "
            "correct the label or the number of classes"
        )


class TrainingSet:
    """The chosen clips of several frame caches, as one indexable set.

    tables: one a source. chosen: the mixture's choice; clips that could not be read drop out and
    are listed in `unreadable`.  Raises: UserError: if none is left, or the choice names a source
    or clip that does not exist, or a label is out of range.
    """

    def __init__(
        self, tables: Sequence[FrameTable], chosen: Sequence[Chosen], num_classes: int
    ) -> None:
        self.tables = tables
        self.unreadable: list[str] = []
        kept: list[tuple[int, int, int, float]] = []
        for item in chosen:
            _check_label(item.clip_id, item.label, num_classes)
            if item.source >= len(tables):
                raise UserError(f"mixture: source {item.source} of {item.clip_id!r} does not exist")
            table = tables[item.source]
            if item.clip_id in table.rows:
                kept.append((item.source, table.rows[item.clip_id], item.label, item.weight))
            elif item.clip_id in table.unreadable:
                self.unreadable.append(item.clip_id)
            else:
                raise UserError(f"mixture: source {item.source} has no clip {item.clip_id!r}")
        if not kept:
            raise UserError("mixture: no readable training clip; add labelled videos")
        sources, rows, labels, weights = zip(*kept, strict=True)
        self.sources = np.array(sources, dtype=np.int64)
        self.rows = np.array(rows, dtype=np.int64)
        self.labels = np.array(labels, dtype=np.int64)
        self.weights = np.array(weights, dtype=np.float64)

    def __len__(self) -> int:
        return len(self.rows)

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The clips at `indices` -> (B, T, size, size, 3) uint8, a copy."""
        parts = [self.tables[self.sources[i]].frames[self.rows[i]] for i in indices]
        return np.stack(parts)

    def order(self, seed: int, number: int) -> NDArray[np.int64]:
        """Indices of pass `number` over the set: a shuffle; a weighted draw if weights differ."""
        rng = np.random.default_rng(derive_seed(seed, "order", number))
        if np.all(self.weights == self.weights[0]):
            return rng.permutation(len(self))
        return rng.choice(len(self), size=len(self), p=self.weights / self.weights.sum())


class Batches:
    """The batch of every optimiser step, as a pure function of (seed, step).

    Nothing has to be remembered to go on after a kill, and arms that share a seed and a size see
    the same order.
    """

    def __init__(self, data: TrainingSet, recipe: Recipe, seed: int) -> None:
        self.data, self.recipe, self.seed = data, recipe, seed
        self._per_pass = recipe.steps_per_pass(len(data))
        self._pass, self._order = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Augmented clips (B, T, size, size, 3) uint8 and their labels (B,) int64."""
        number, position = divmod(step, self._per_pass)
        if number != self._pass:
            self._pass, self._order = number, self.data.order(self.seed, number)
        start = position * self.recipe.batch_size
        indices = self._order[start : start + self.recipe.batch_size]
        rng = np.random.default_rng(derive_seed(self.seed, "augment", step))
        frames = augment(self.data.frames(indices), rng, self.recipe.max_shift, self.recipe.flip)
        return frames, self.data.labels[indices]


def augment(
    frames: NDArray[np.uint8], rng: np.random.Generator, max_shift: float, flip: bool
) -> NDArray[np.uint8]:
    """Shift every clip by up to `max_shift` of its size (edges repeated), mirror every second one.

    All frames of a clip move alike.  Args: frames: (B, T, size, size, 3) uint8.
    Source: our choice, the padded random crop and flip usual for small images.
    """
    batch, _, size = frames.shape[:3]
    most = round(max_shift * size)
    offsets = rng.integers(-most, most + 1, size=(2, batch, 1))
    rows, columns = np.clip(np.arange(size) + offsets, 0, size - 1)  # (B, size) each
    if flip:
        mirrored = rng.random(batch) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    moved = np.empty_like(frames)
    for i in range(batch):  # a take a clip is five times as fast as one indexing of the batch
        moved[i] = frames[i].take(rows[i], axis=1).take(columns[i], axis=2)
    return moved
