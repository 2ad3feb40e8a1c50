"""Controls and parts of an arm, on real mp4 files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.controls import (
    CaptionedAs,
    FrozenFrames,
    Oversampled,
    ShuffledLabels,
    Subset,
    nearest_class,
)
from augment.training_set import TrainingSet
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.runtime import Runtime
from core.stage import ClipStage
from core.video import read_span
from tests.classifiers.toy import CLASSES, ToyClips

PROMPTS = (
    ("forceps tear the capsule", "a round opening is torn"),
    ("a needle places a stitch in the cornea",),
    (),
    ("the folded lens unfolds in the bag",),
)


def common(folder: Path) -> dict[str, Any]:
    return {"infra": {"folder": str(folder)}, "runtime": Runtime(workers=1)}


class Narrated(ClipStage):
    """Clips with captions; no file is read."""

    captions: tuple[str, ...]

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = [
            Clip(clip_id=f"n{i}", video_id=f"v{i}", path=f"{i}.mp4", caption=c, source="narrated")
            for i, c in enumerate(self.captions)
        ]
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {}


def test_shuffled_labels_keep_clips_and_counts_but_not_the_pairs(tmp_path: Path) -> None:
    clips = ToyClips(videos=12, **common(tmp_path))
    stage = ShuffledLabels(clips=clips, task="phase", **common(tmp_path))
    before, after = clips.manifest().clips, stage.manifest().clips
    assert [c.clip_id for c in before] == [c.clip_id for c in after]
    assert Counter(c.label("phase") for c in before) == Counter(c.label("phase") for c in after)
    kept = sum(a.label("phase") == b.label("phase") for a, b in zip(before, after, strict=True))
    assert kept == stage.run()["labels_kept_by_chance"] < len(before) / 2
    assert stage.manifest().path_of(after[0]).is_file()
    again = ShuffledLabels(clips=clips, task="phase", seed=1, **common(tmp_path))
    assert again.manifest().clips != after


def test_frozen_clips_stand_still_and_last_as_long(tmp_path: Path) -> None:
    clips = ToyClips(videos=2, corrupt=1, **common(tmp_path))
    stage = FrozenFrames(clips=clips, **common(tmp_path))
    source, frozen = clips.manifest(), stage.manifest()
    lost = stage.run()["unreadable"]
    assert 0 < lost < len(source) and len(frozen) == len(source) - lost
    assert stage.run()["left_out"]["unreadable"]["number"] == 1  # file
    readable = {clip.clip_id: clip for clip in source.clips}
    for clip in frozen.clips:
        old = readable[clip.clip_id]
        assert clip.label("phase") == old.label("phase")
        moving = read_span(source.path_of(old), start_s=old.start_s, end_s=old.end_s).astype(int)
        still = read_span(frozen.path_of(clip)).astype(int)
        assert still.shape == moving.shape
        assert np.abs(still - still[0]).mean() < 1  # of 255: what the codec leaves
        assert np.abs(still[0] - moving[len(moving) // 2]).mean() < 4


def test_subsets_are_nested_and_keep_what_there_is(tmp_path: Path) -> None:
    clips = ToyClips(videos=9, **common(tmp_path))
    sizes = (1, 2, 100)
    kept = [
        {c.clip_id for c in stage.manifest().clips}
        for stage in (
            Subset(clips=clips, task="phase", split="train", clips_per_class=size,
                   **common(tmp_path))
            for size in sizes
        )
    ]  # fmt: skip
    assert kept[0] < kept[1] < kept[2] and [len(k) for k in kept] == [CLASSES, 2 * CLASSES, 12]
    everything = Subset(clips=clips, task="phase", **common(tmp_path))
    assert everything.run()["clips"] == len(clips.manifest())
    alone = ToyClips(videos=3, splits=False, **common(tmp_path))
    with pytest.raises(UserError, match="no clip in the split test"):
        Subset(clips=alone, task="phase", split="test", **common(tmp_path)).run()


def test_oversampled_clips_are_training_clips_under_new_names(tmp_path: Path) -> None:
    clips = ToyClips(videos=6, **common(tmp_path))
    stage = Oversampled(clips=clips, task="phase", clips_per_class=5, **common(tmp_path))
    train = {c.clip_id: c for c in clips.manifest().of_split("train").clips}
    again = stage.manifest().clips
    assert Counter(c.label("phase") for c in again) == dict.fromkeys(range(CLASSES), 5)
    for clip in again:
        original = train[clip.clip_id.partition("#")[0]]
        assert (clip.path, clip.start_s, clip.label("phase")) == (
            original.path, original.start_s, original.label("phase"),
        )  # fmt: skip


def test_captions_find_their_class_and_others_stay_out(tmp_path: Path) -> None:
    captions = (
        "The forceps tear a round opening into the capsule.",
        "Needle and thread: a stitch in the cornea.",
        "The surgeon thanks the team.",
        "Now the folded lens unfolds.",
        "A round opening is torn by forceps.",
    )
    labels, nearness = nearest_class(captions, PROMPTS)
    assert labels[[0, 1, 3, 4]].tolist() == [0, 1, 3, 0] and nearness[2] < nearness[[0, 1, 3]].min()
    narrated = Narrated(captions=captions, **common(tmp_path))
    settings = {"clips": narrated, "task": "phase", "prompts_of_class": PROMPTS}
    stage = CaptionedAs(**settings, **common(tmp_path))
    found = {clip.clip_id: clip.label("phase") for clip in stage.manifest().clips}
    assert found == {"n0": 0, "n4": 0, "n1": 1, "n3": 3}
    one = CaptionedAs(**settings, clips_per_class=1, **common(tmp_path)).manifest().clips
    best = "n0" if nearness[0] > nearness[4] else "n4"
    assert [clip.clip_id for clip in one] == [best, "n1", "n3"]
    with pytest.raises(UserError, match=r"none reaches 1\.0"):
        CaptionedAs(**settings, at_least=1.0, **common(tmp_path)).run()


def test_without_real_clips_only_the_others_are_drawn(tmp_path: Path) -> None:
    real, other = (ToyClips(videos=3, seed=seed, **common(tmp_path)) for seed in (0, 1))
    stage = TrainingSet(sources=(real, other), task="phase", with_real=False, **common(tmp_path))
    assert [item.source for item in stage.counted()] == [0] * len(stage.counted()) != []
    chosen = stage.chosen()
    assert {item.source for item in chosen} == {1} and len(chosen) == len(other.manifest())
