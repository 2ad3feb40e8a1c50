"""Marks of text: what text recognition cannot read any more, a detector still sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.audits.findings import Audits
from benchmarks.audits.leakage import markdown
from benchmarks.audits.marks import MarkedClips, MarksTraining, blurred
from benchmarks.audits.residue import Residue
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.frame_cache import FrameCache
from core.optimisation import Optimisation
from core.stage import ClipStage
from core.video import write_video
from generator.curation.privacy import OcrPrivacy
from tests.generator.curation.scenes import moving, with_text

WORDS = ("Subscribe now", "Dr. M. Weber", "Eye channel", "www.eyes.org", "Case 12, left")
SETTINGS = Optimisation(steps=100, batch_size=16, lr=4e-3, warmup_steps=10, weight_decay=0.05)


class Scenes(ClipStage):
    """`clean` clips, then `texts` with words on a dark box, all blurred by `blur`; every fourth is
    of split val. Scenes are drawn from `seed` on."""

    clean: int
    texts: int
    seed: int
    blur: float = 0.0

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = []
        rng = np.random.default_rng(self.seed)
        for number in range(self.clean + self.texts):
            frames = moving(self.seed + number, num_frames=4)
            if number >= self.clean:
                left, base = int(rng.integers(5, 110)), int(rng.choice([20, 150]))
                frames[:, base - 15 : base + 6, left - 3 : left + 112] = (24, 24, 32)
                frames = with_text(frames, str(rng.choice(WORDS)), (left, base))
            write_video(folder / f"{number}.mp4", np.stack([blurred(f, self.blur) for f in frames]))
            clips.append(
                Clip(
                    clip_id=f"{self.seed}_{number}",
                    video_id=f"{self.seed}_{number}",
                    path=f"{number}.mp4",
                    source="scenes",
                    split="val" if number % 4 == 3 else "train",
                )
            )
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {}


class Clean(ClipStage):
    """The first `count` clips: what a privacy filter would keep."""

    clips: Scenes
    count: int

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest()
        manifest.keep(manifest.clips[: self.count]).save(folder / MANIFEST_NAME)
        return {}


def detector(cache: dict[str, Any], clean: int, texts: int) -> MarksTraining:
    scenes = Scenes(clean=clean, texts=texts, seed=0, **cache)
    return MarksTraining(
        frames=frames_of(scenes, cache),
        clean=Clean(clips=scenes, count=clean, **cache),
        held_out=frames_of(Scenes(clean=24, texts=0, seed=1000, **cache), cache),
        optimisation=SETTINGS,
        **cache,
    )


def frames_of(clips: ClipStage, cache: dict[str, Any]) -> FrameCache:
    return FrameCache(clips=clips, num_frames=4, width=96, height=64, **cache)


def test_smeared_text_is_seen_where_none_can_be_read(tmp_path: Path) -> None:
    cache: dict[str, Any] = {"infra": {"folder": str(tmp_path)}}
    learnt = detector(cache, clean=40, texts=40)
    found = learnt.run()
    assert (found["train_clips"], found["with_text"], found["val_with_text"]) == (60, 30, 10)
    assert all(percent <= 5 for percent in found["false_alarms"].values())
    smeared = Scenes(clean=12, texts=12, seed=2000, blur=0.025, **cache)
    read = Residue(clips=smeared, privacy=OcrPrivacy(), **cache).run()
    seen = MarkedClips(detector=learnt, frames=frames_of(smeared, cache), **cache).run()
    texts = {f"2000_{number}" for number in range(12, 24)}
    assert len(read["with_text"]) <= 1 and seen["clips"] == 24
    assert len(texts & set(seen["marked"])) >= 11 and len(set(seen["marked"]) - texts) <= 1
    table = markdown(Audits(arms=(), table1={"TPT": read}, marks={"TPT": seen}, detector=found))
    row = next(line for line in table.splitlines() if line.startswith("| TPT"))
    assert f"| {len(seen['marked'])} ({seen['percent']}%)" in row
    assert "60 narrated clips, 30 of them with text" in table


@pytest.mark.parametrize(("clean", "texts"), [(8, 0), (0, 8)])
def test_a_corpus_of_one_kind_teaches_nothing(tmp_path: Path, clean: int, texts: int) -> None:
    with pytest.raises(UserError, match="clips with text and clips without"):
        detector({"infra": {"folder": str(tmp_path)}}, clean, texts).run()


def test_blur_is_a_share_of_the_height() -> None:
    small = np.zeros((60, 90, 3), np.uint8)
    small[28:32, 40:50] = 255
    large = cv2.resize(small, (180, 120), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(blurred(small, 0.0), small)
    there = cv2.resize(blurred(large, 0.03), (90, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(blurred(small, 0.03).astype(int) - there.astype(int)).max() < 25
