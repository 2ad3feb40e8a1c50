"""Mixing real and synthetic clips into one training set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydantic

from core.clip import MANIFEST_NAME, Clip
from core.errors import UserError
from core.mixture import Chosen, Mixture
from core.runtime import derive_seed
from core.stage import ClipStage


class Mixing(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Which clips are drawn, and when. The defaults draw all of them in all steps.

    Source: all clips added, as "Source + Ophora" in the Ophora paper's Table 2; the settings are
    our choice, for studies of the mixing.
    """

    until: float = pydantic.Field(default=1.0, gt=0, le=1)
    """Synthetic clips are drawn in this share of a training's steps, the first ones, and the real
    ones alone in the others (1: in all). The number of steps stays as it is."""
    real_per_class: int | None = pydantic.Field(default=None, ge=1)
    """At most this many real training clips a class: what a lab with few labels has (None: all)."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Which real clips `real_per_class` keeps."""

    def check(self, *, with_real: bool, with_labels: bool) -> None:
        """Whether a training set that leaves real clips or labels out can be mixed so.

        Raises: UserError: if clips are to make room for real ones that are left out, or have no
        label by which to do so.
        """
        if self.until < 1 and not (with_real and with_labels):
            raise UserError(
                "mixing.until: an arm without real clips, or of clips without labels, has nothing "
                "to end with: leave the arm out or set it to 1"
            )


class TrainingSet(Mixture):
    """Train clips of `sources[0]` (real), then chosen clips of the other sources (synthetic).

    with_real: False leaves the real ones out (train on synthetic, test on real); equal steps still
    count them. with_labels: False takes the synthetic clips without their labels.
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
        changes = {"until": self.mixing.until, "unlabelled": not self.with_labels}
        synthetic = [item.model_copy(update=changes) for item in offered]
        chosen = (real if self.with_real else []) + synthetic
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
        return chosen_of(clips, self.task, index)


class PromptedTrainingClips(ClipStage):
    """The real clips of a `TrainingSet`, each with a prompt of its class as its caption: what a
    generator learns from that sees what the classifier sees and nothing more.

    clips: labelled; those of other splits than train are not looked at. A class's prompts are taken
    in turn; a class without any is left out.
    """

    clips: ClipStage
    task: str
    prompts_of_class: tuple[tuple[str, ...], ...]
    real_per_class: int | None = None
    seed: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if no training clip is of a class with prompts."""
        manifest = self.clips.manifest().of_split("train")
        mixing = Mixing(real_per_class=self.real_per_class, seed=self.seed)
        drawn = {item.clip_id for item in few(chosen_of(manifest.clips, self.task), mixing)}
        given: Counter[int] = Counter()
        prompted = []
        for clip in manifest.clips:
            label = clip.label(self.task)
            prompts = self.prompts_of_class[label]
            if prompts and clip.clip_id in drawn:
                caption = prompts[given[label] % len(prompts)]
                prompted.append(clip.model_copy(update={"caption": caption}))
                given[label] += 1
        if not prompted:
            raise UserError(
                f"{manifest.root}: no training clip is of a class that has prompts: add prompts to "
                "the taxonomy"
            )
        manifest.keep(prompted).save(folder / MANIFEST_NAME)
        return {"clips": len(prompted), "classes": len(given), "offered": len(manifest)}


def chosen_of(clips: Iterable[Clip], task: str, source: int = 0) -> list[Chosen]:
    """Labelled clips of a mixture's source as it draws them."""
    return [Chosen(source=source, clip_id=clip.clip_id, label=clip.label(task)) for clip in clips]


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
