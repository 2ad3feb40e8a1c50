"""Mixing real and synthetic clips into one training set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pydantic

from core.errors import UserError
from core.mixture import Chosen, Mixture
from core.runtime import derive_seed


class Mixing(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How many synthetic clips join the real ones. The defaults take all of them.

    ratio: at most this many synthetic clips a real training clip, over all sources and classes.
    rare_below: only classes with fewer real training clips than this get synthetic ones (None: all
    classes do). class_balanced: an epoch draws every class equally often instead of every clip.
    swap: synthetic clips do not join but stand in: each time that a real clip is drawn, a random
    synthetic clip of its class takes its place with this probability, so that an epoch stays as
    long as without them (None: they join).
    until: synthetic clips are drawn in this share of a training's steps, the first ones, and the
    real ones alone in the others (1: in all). The number of steps stays as it is.
    real_per_class: at most this many real training clips a class, chosen by `seed`: what a lab with
    few labels has (None: all).
    seed: which synthetic clips a ratio keeps, and which real ones.
    Source: all clips added, as "Source + Ophora" in the Ophora paper's Table 2; the other settings
    are our choice, for studies of the mixing.
    """

    ratio: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)
    rare_below: int | None = pydantic.Field(default=None, ge=1)
    class_balanced: bool = False
    swap: float | None = pydantic.Field(default=None, gt=0, le=1)
    until: float = pydantic.Field(default=1.0, gt=0, le=1)
    real_per_class: int | None = pydantic.Field(default=None, ge=1)
    seed: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _until_stands_alone(self) -> Mixing:
        if self.until < 1 and (self.swap is not None or self.class_balanced):
            raise ValueError("mixing.until below 1 goes with neither swap nor class_balanced")
        return self

    def check(self, *, with_real: bool, with_labels: bool) -> None:
        """Whether a training set that leaves real clips or labels out can be mixed so.

        Raises: UserError: if clips are to stand in for real ones, or to make room for them, that
        are left out, or have no label by which to do so.
        """
        if self.until < 1 and not (with_real and with_labels):
            raise UserError(
                "mixing.until: an arm without real clips, or of clips without labels, has nothing "
                "to end with: leave the arm out or set it to 1"
            )
        if self.swap is not None and not with_real:
            raise UserError("mixing.swap: without real clips there is nothing to stand in for")
        if self.swap is not None and not with_labels:
            raise UserError("mixing.swap: a clip without a label cannot stand in for one with it")


class TrainingSet(Mixture):
    """Train clips of `sources[0]` (real), then chosen clips of the other sources (synthetic).

    with_real: False leaves the real ones out (train on synthetic, test on real); a ratio, a limit
    for rare classes and equal steps still count them. with_labels: False takes the synthetic clips
    without their labels.
    """

    task: str
    mixing: Mixing = Mixing()
    with_real: bool = True
    with_labels: bool = True

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write `mixture.jsonl`; return clips and clips per class, for each source in order.

        Raises: UserError: if `sources[0]` has no training clip, a clip lacks the task's label, or
        the mixing does not suit the clips (`Mixing.check`).
        """
        self.mixing.check(with_real=self.with_real, with_labels=self.with_labels)
        real = few(self._clips(0), self.mixing)
        if not real:
            raise UserError(
                f"training set: {type(self.sources[0]).__name__} has no clip in its train split: "
                "give some of its videos the split 'train'"
            )
        offered = [clip for index in range(1, len(self.sources)) for clip in self._clips(index)]
        synthetic = select(real, offered, self.mixing)
        if not self.with_labels:
            synthetic = [item.model_copy(update={"unlabelled": True}) for item in synthetic]
        chosen = balance(swap(real if self.with_real else [], synthetic, self.mixing), self.mixing)
        self.save(folder, chosen)
        counts = Counter((item.label, item.source) for item in chosen)
        sources = range(len(self.sources))
        return {
            "clips": [sum(item.source == source for item in chosen) for source in sources],
            "offered": [
                sum(item.source == source for item in real + offered) for source in sources
            ],
            "per_class": {
                str(label): [counts[label, source] for source in sources]
                for label in sorted({item.label for item in chosen})
            },
        }

    def counted(self) -> list[Chosen]:
        return few(self._clips(0), self.mixing)

    def _clips(self, index: int) -> list[Chosen]:
        manifest = self.sources[index].manifest()
        clips = manifest.of_split("train").clips if index == 0 else manifest.clips
        return [
            Chosen(source=index, clip_id=clip.clip_id, label=clip.label(self.task))
            for clip in clips
        ]


def few(real: list[Chosen], mixing: Mixing) -> list[Chosen]:
    """At most `mixing.real_per_class` clips of each class, in their order; more keep those."""
    if mixing.real_per_class is None:
        return real
    taken: Counter[int] = Counter()
    kept = set()
    for item in sorted(real, key=lambda item: derive_seed(mixing.seed, "few", item.clip_id)):
        taken[item.label] += 1
        if taken[item.label] <= mixing.real_per_class:
            kept.add(item.clip_id)
    return [item for item in real if item.clip_id in kept]


def select(real: list[Chosen], offered: list[Chosen], mixing: Mixing) -> list[Chosen]:
    """The synthetic clips that join, in the order offered.

    Under a ratio the classes are served in turn, one clip each, so that they stay as even as they
    were offered; a smaller ratio keeps a subset of a larger one's clips. A clip's place depends on
    its source's position and its id only: two generators' sources are thinned in the same way.
    """
    if mixing.rare_below is not None:
        real_clips = Counter(item.label for item in real)
        offered = [item for item in offered if real_clips[item.label] < mixing.rare_below]
    if mixing.ratio is None:
        return offered
    by_seed = sorted(offered, key=lambda item: derive_seed(mixing.seed, item.source, item.clip_id))
    turn: Counter[int] = Counter()
    turns: list[tuple[int, Chosen]] = []
    for item in by_seed:
        turns.append((turn[item.label], item))
        turn[item.label] += 1
    turns.sort(key=lambda pair: pair[0])  # stable: inside a turn the seed decides
    kept = {(item.source, item.clip_id) for _, item in turns[: round(mixing.ratio * len(real))]}
    return [item for item in offered if (item.source, item.clip_id) in kept]


def swap(real: list[Chosen], synthetic: list[Chosen], mixing: Mixing) -> list[Chosen]:
    """Real clips, then synthetic ones, which join (for a time) or stand in."""
    if mixing.swap is None:
        return real + [item.model_copy(update={"until": mixing.until}) for item in synthetic]
    return [item.model_copy(update={"swap": mixing.swap}) for item in real] + [
        item.model_copy(update={"stand_in": True}) for item in synthetic
    ]


def balance(chosen: list[Chosen], mixing: Mixing) -> list[Chosen]:
    """Sampling weights: 1 each, or such that classes sum to equal parts (mean weight 1)."""
    if not mixing.class_balanced:
        return chosen
    clips = Counter(item.label for item in chosen if not (item.stand_in or item.unlabelled))
    share = clips.total() / len(clips)
    return [
        item
        if item.stand_in or item.unlabelled
        else item.model_copy(update={"weight": share / clips[item.label]})
        for item in chosen
    ]
