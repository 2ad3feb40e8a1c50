"""Training data that shows what a gain is worth: controls, ceilings, parts of an arm.

Each is a set of labelled clips made from another one, and joins the real clips as a generator's
clips do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from sklearn.feature_extraction.text import TfidfVectorizer

from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.errors import UnreadableVideo, UserError
from core.left_out import note_left_out
from core.progress import track
from core.runtime import derive_seed
from core.stage import ClipStage
from core.video import read_frames, timeline_of, write_video


class ShuffledLabels(ClipStage):
    """The clips of `clips` with one another's labels: as many of each class, none for a reason.

    A gain that these clips give too is not due to what they show.
    """

    clips: ClipStage
    task: str
    seed: int = pydantic.Field(default=0, ge=0)

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest()
        rng = np.random.default_rng(derive_seed("shuffled labels", self.seed))
        labels = [clip.label(self.task) for clip in manifest.clips]
        shuffled = [labels[index] for index in rng.permutation(len(labels))]
        clips = [
            clip.labelled(self.task, label)
            for clip, label in zip(manifest.clips, shuffled, strict=True)
        ]
        Manifest(root=manifest.root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        kept = sum(old == new for old, new in zip(labels, shuffled, strict=True))
        return {"clips": len(clips), "labels_kept_by_chance": kept}


class FrozenFrames(ClipStage):
    """The clips of `clips`, standing still: the middle frame for as long as each lasted.

    What these clips give, images would have given. Clips that cannot be read are left out.
    """

    clips: ClipStage

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest()
        frozen: list[Clip] = []
        unreadable: dict[str, str] = {}
        for clip in track(
            manifest.clips, total=len(manifest), description="freezing clips", unit="clips"
        ):
            name = f"{clip.clip_id}.mp4"
            try:
                if not (folder / name).is_file():
                    path = manifest.path_of(clip)
                    first, last = timeline_of(path).span(clip.start_s, clip.end_s)
                    middle = read_frames(path, [first + (last - first) // 2])
                    still = np.broadcast_to(middle, (last - first, *middle.shape[1:]))
                    write_video(folder / name, still)
            except UnreadableVideo as error:
                unreadable[clip.path] = f"{clip.path}: {error.reason}"
                continue
            frozen.append(clip.model_copy(update={"path": name, "start_s": None, "end_s": None}))
        Manifest(root=folder, clips=tuple(frozen)).save(folder / MANIFEST_NAME)
        left_out = note_left_out(
            {"unreadable": [*unreadable.values()]},
            len({clip.path for clip in manifest.clips}),
            what=f"video files below {manifest.root}",
            cure="replace or remove them",
        )
        lost = len(manifest) - len(frozen)
        return {"clips": len(frozen), "unreadable": lost, "left_out": left_out}


class Subset(ClipStage):
    """At most `clips_per_class` clips of each class, of one split or of all.

    clips_per_class: None keeps all. A set that holds fewer keeps what it has; a smaller subset's
    clips are in every larger one, so that a sweep over volumes adds clips and exchanges none.
    """

    clips: ClipStage
    task: str
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    split: Split | None = None

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if the split has no clip."""
        manifest = self.clips.manifest()
        by_class = group_by_class(in_split(manifest, self.split).clips, self.task)
        kept = {c.clip_id for group in by_class.values() for c in group[: self.clips_per_class]}
        subset = manifest.keep(clip for clip in manifest.clips if clip.clip_id in kept)
        subset.save(folder / MANIFEST_NAME)
        return {"clips": len(subset)}


class Oversampled(ClipStage):
    """Real training clips once more: `clips_per_class` of each class, drawn with replacement.

    The same number of clips and steps as a generator's arm gets, without a new clip. A class
    without a training clip gets none.
    """

    clips: ClipStage
    task: str
    clips_per_class: int = pydantic.Field(ge=1)
    seed: int = pydantic.Field(default=0, ge=0)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if there is no training clip."""
        manifest = self.clips.manifest()
        again = []
        groups = group_by_class(in_split(manifest, "train").clips, self.task)
        for label, group in sorted(groups.items()):
            rng = np.random.default_rng(derive_seed("oversampled", self.seed, label))
            for number, index in enumerate(rng.integers(0, len(group), self.clips_per_class)):
                clip = group[index]
                again.append(clip.model_copy(update={"clip_id": f"{clip.clip_id}#{number}"}))
        Manifest(root=manifest.root, clips=tuple(again)).save(folder / MANIFEST_NAME)
        return {"clips": len(again)}


class CaptionedAs(ClipStage):
    """Real narrated clips, labelled by their captions: the class whose prompts each is nearest to.

    What a lab gets from its narrated videos without a generator. Nearness is the cosine of tf-idf
    vectors of words and pairs of words, a class's the largest of its prompts. Clips below
    `at_least` are left out; of the rest, each class gets the `clips_per_class` nearest.
    prompts_of_class: prompts by class id; classes without prompts get no clip.
    """

    clips: ClipStage
    task: str
    prompts_of_class: tuple[tuple[str, ...], ...]
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    at_least: float = pydantic.Field(default=0.3, ge=0, le=1)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if a clip has no caption, or none is near enough to a class."""
        manifest = self.clips.manifest()
        captions = [clip.caption or "" for clip in manifest.clips]
        if not all(captions):
            raise UserError(f"{manifest.root}: a clip without a caption cannot be given a class")
        labels, nearness = nearest_class(captions, self.prompts_of_class)
        labelled = sorted(
            (-near, clip.clip_id, clip.labelled(self.task, int(label)))
            for clip, label, near in zip(manifest.clips, labels, nearness, strict=True)
            if near >= self.at_least
        )
        groups = group_by_class([clip for _, _, clip in labelled], self.task)
        kept = [
            clip for _, group in sorted(groups.items()) for clip in group[: self.clips_per_class]
        ]
        if not kept:
            raise UserError(
                f"captions: none reaches {self.at_least} with a class's prompts: lower at_least"
            )
        Manifest(root=manifest.root, clips=tuple(kept)).save(folder / MANIFEST_NAME)
        return {"clips": len(kept), "classes": len(groups), "offered": len(manifest)}


def nearest_class(
    captions: Sequence[str], prompts_of_class: Sequence[Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """For each caption the class id of the nearest prompt, (N,) int, and the cosine, (N,) 0..1."""
    classes = [c for c, prompts in enumerate(prompts_of_class) for _ in prompts]
    prompts = [prompt for group in prompts_of_class for prompt in group]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit([*prompts, *captions])
    cosines = (words.transform(captions) @ words.transform(prompts).T).toarray()
    nearest = cosines.argmax(axis=1)
    return np.array(classes)[nearest], cosines[np.arange(len(captions)), nearest]


def group_by_class(clips: Iterable[Clip], task: str) -> dict[int, list[Clip]]:
    """Clips by class id, each class's in the order given."""
    groups: dict[int, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.label(task)].append(clip)
    return groups


def in_split(manifest: Manifest, split: Split | None) -> Manifest:
    """The split's clips, or all.  Raises: UserError: if there is none."""
    found = manifest.of_split(split)
    if not len(found):
        raise UserError(f"{manifest.root}: no clip in the split {split}")
    return found
