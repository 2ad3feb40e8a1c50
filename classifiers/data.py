"""Labelled clips in frame caches; batches whose order and augmentation depend on (seed, step)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from classifiers.recipe import Recipe
from core.clip import Manifest, Split
from core.errors import UserError
from core.frame_cache import FrameTable
from core.mixture import Chosen
from core.runtime import derive_seed

# First clip and size of the whole batch that the given clips are a part of: what is drawn for a
# clip must not depend on how many processes share the batch.
Place: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class LabelledSplit:
    """The readable clips of one split: row in the frame cache, class id, clip id and video id."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    clip_ids: list[str]
    video_ids: list[str]
    unreadable: list[str]


def labelled_split(
    manifest: Manifest, table: FrameTable, split: Split, task: str, num_classes: int
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


class TrainingClips:
    """The chosen clips of several frame caches, as one indexable set.

    tables: one a source. chosen: the mixture's choice; clips that could not be read drop out and
    are listed in `unreadable`. Its length is that of the clips that are drawn; those without
    labels, `unlabelled`, have indices as well, but no order contains them.
    counted: the clips of the first source that equal steps are counted by; `num_counted` of them
    could be read.
    Raises: UserError: if none is left, or the choice names a source or clip that does not exist,
    or a label is out of range.
    """

    def __init__(
        self,
        tables: Sequence[FrameTable],
        chosen: Sequence[Chosen],
        num_classes: int,
        counted: Sequence[Chosen] = (),
    ) -> None:
        self.tables = tables
        self.num_counted = sum(item.clip_id in tables[0].rows for item in counted)
        self.unreadable: list[str] = []
        kept: list[tuple[int, int, Chosen]] = []
        for item in chosen:
            _check_label(item.clip_id, item.label, num_classes)
            if item.source >= len(tables):
                raise UserError(f"mixture: source {item.source} of {item.clip_id!r} does not exist")
            table = tables[item.source]
            if item.clip_id in table.rows:
                kept.append((item.source, table.rows[item.clip_id], item))
            elif item.clip_id in table.unreadable:
                self.unreadable.append(item.clip_id)
            else:
                raise UserError(f"mixture: source {item.source} has no clip {item.clip_id!r}")
        if all(item.unlabelled for _, _, item in kept):
            raise UserError("mixture: no readable training clip; add labelled videos")
        sources, rows, items = zip(*kept, strict=True)
        self.sources = np.array(sources, dtype=np.int64)
        self.rows = np.array(rows, dtype=np.int64)
        self.labels = np.array([item.label for item in items], dtype=np.int64)
        unlabelled = np.array([item.unlabelled for item in items])
        self.drawn = np.flatnonzero(~unlabelled)
        self.unlabelled = np.flatnonzero(unlabelled)
        until = np.array([item.until for item in items])
        self.until = float(until[self.drawn].min())
        self.drawn_late = self.drawn[until[self.drawn] == 1]

    def __len__(self) -> int:
        return len(self.drawn)

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The clips at `indices` -> (B, T, size, size, 3) uint8, a copy."""
        parts = [self.tables[self.sources[i]].frames[self.rows[i]] for i in indices]
        return np.stack(parts)

    def order(self, seed: int, number: int, *, late: bool = False) -> NDArray[np.int64]:
        """Indices of pass `number` over the set, shuffled.

        late: over the clips that are still drawn when others no longer are, numbered anew.
        """
        drawn, purpose = (self.drawn_late, "late") if late else (self.drawn, "order")
        rng = np.random.default_rng(derive_seed(seed, purpose, number))
        return drawn[rng.permutation(len(drawn))]


class Batches:
    """The batch of every optimiser step, as a pure function of (seed, step).

    Nothing has to be remembered to go on after a kill, and arms that share a seed and a size see
    the same order.

    steps: of the whole training; with clips that are drawn in a part of it only.
    Raises: UserError: if no clip is left to be drawn after that.
    """

    def __init__(self, data: TrainingClips, recipe: Recipe, seed: int, steps: int = 0) -> None:
        self.data, self.recipe, self.seed = data, recipe, seed
        self._early_steps = round(data.until * steps) if data.until < 1 else sys.maxsize
        if data.until < 1 and not len(data.drawn_late):
            raise UserError("mixture: no readable real clip to end with; set mixing.until to 1")
        self._pass, self._order = (False, -1), np.empty(0, dtype=np.int64)

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Augmented clips (B, T, size, size, 3) uint8 and their labels (B,) int64."""
        return self.part(step, 0, 1)

    def part(self, step: int, rank: int, parts: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """What process `rank` of `parts` gets of a batch, its clips as in the whole one."""
        late = step >= self._early_steps
        drawn = self.data.drawn_late if late else self.data.drawn
        number, position = divmod(
            step - late * self._early_steps, self.recipe.steps_per_pass(len(drawn))
        )
        if (late, number) != self._pass:
            self._pass = (late, number)
            self._order = self.data.order(self.seed, number, late=late)
        start = position * self.recipe.batch_size
        indices = self._order[start : start + self.recipe.batch_size]
        share = np.array_split(np.arange(len(indices)), parts)[rank]
        place = (int(share[0]), len(indices))
        indices = indices[share]
        frames = self._augmented(indices, step, place, self.recipe.max_shift, self.recipe.colour)
        return frames, self.data.labels[indices]

    def unlabelled_part(
        self, step: int, rank: int, parts: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Clips without labels for a step, augmented as the others are, and strongly."""
        settings = self.recipe.fixmatch
        count = settings.ratio * self.recipe.batch_size
        rng = np.random.default_rng(derive_seed(self.seed, "unlabelled", step))
        indices = rng.choice(self.data.unlabelled, count)
        share = np.array_split(np.arange(count), parts)[rank]
        place, drawn = (int(share[0]), count), indices[share]
        usual = (self.recipe.max_shift, self.recipe.colour)
        weak = self._augmented(drawn, step, place, *usual, "weak")
        strong = self._augmented(drawn, step, place, settings.max_shift, settings.colour, "strong")
        return weak, strong

    def _augmented(
        self,
        indices: NDArray[np.int64],
        step: int,
        place: Place,
        max_shift: float,
        colour: float,
        *purpose: str,
    ) -> NDArray[np.uint8]:
        rng = np.random.default_rng(derive_seed(self.seed, "augment", step, *purpose))
        frames = self.data.frames(indices)
        if max_shift or self.recipe.flip:
            frames = augment(frames, rng, max_shift, self.recipe.flip, place)
        if colour:
            rng = np.random.default_rng(derive_seed(self.seed, "colour", step, *purpose))
            frames = recolour(frames, rng, colour, place)
        return frames


def augment(
    frames: NDArray[np.uint8],
    rng: np.random.Generator,
    max_shift: float,
    flip: bool,
    place: Place | None = None,
) -> NDArray[np.uint8]:
    """Shift every clip by up to `max_shift` of its size (edges repeated), mirror every second one.

    All frames of a clip move alike.  Args: frames: (B, T, size, size, 3) uint8; place: None if
    they are a whole batch.
    Source: our choice, the padded random crop and flip usual for small images.
    """
    size = frames.shape[2]
    first, batch = place or (0, len(frames))
    most = round(max_shift * size)
    offsets = rng.integers(-most, most + 1, size=(2, batch, 1))
    rows, columns = np.clip(np.arange(size) + offsets, 0, size - 1)  # (B, size) each
    if flip:
        mirrored = rng.random(batch) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    moved = np.empty_like(frames)
    # A take a clip is five times as fast as one indexing of the batch.
    for i, clip in enumerate(frames):
        moved[i] = clip.take(rows[first + i], axis=1).take(columns[first + i], axis=2)
    return moved


def recolour(
    frames: NDArray[np.uint8], rng: np.random.Generator, most: float, place: Place | None = None
) -> NDArray[np.uint8]:
    """Change brightness, contrast and the colours' gains of every clip by up to `most` (0..1).

    All frames of a clip change alike.  Args: as of `augment`.
    Source: our choice, a table of 256 values a clip and colour.
    """
    first, batch = place or (0, len(frames))
    brightness, contrast = rng.uniform(-most, most, size=(2, batch, 1, 1))
    gains = 1 + rng.uniform(-most, most, size=(batch, 3, 1)) / 2
    levels = (np.arange(256) - 127.5) * (1 + contrast) * gains + 127.5 * (1 + brightness)
    tables = np.clip(np.rint(levels), 0, 255).astype(np.uint8)  # (B, 3, 256)
    tables = tables[first : first + len(frames)]
    changed = np.empty_like(frames)
    for clip, table, target in zip(frames, tables, changed, strict=True):
        for colour in range(3):
            target[..., colour] = table[colour][clip[..., colour]]
    return changed
