"""Copies of real clips, planted among others, are found and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.audits.copies import NearDuplicates, neighbours
from benchmarks.audits.fingerprints import SAME, fingerprints, nearest
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim, OphVLSim
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.frame_cache import FrameCache
from core.runtime import Runtime
from core.stage import ClipStage
from core.video import Frames, read_span, write_video

PLANTED = 20


def cropped(frames: Frames, share: float) -> Frames:
    """The middle of every frame, `share` of each side cut off, at the old size."""
    height, width = frames.shape[1:3]
    keep = np.array([[1 - share, 0, width * share / 2], [0, 1 - share, height * share / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(frame, keep, (width, height), flags=flags) for frame in frames])


class Planted(ClipStage):
    """`others`, and among them copies of test clips of `real`: the first half mirrored, every
    second one cropped by 5%, all encoded again."""

    real: ClipStage
    others: ClipStage

    def execute(self, folder: Path) -> dict[str, Any]:
        source = self.real.manifest().of_split("test")
        clips = []
        for number, clip in enumerate(source.clips[:PLANTED]):
            frames = read_span(source.path_of(clip), start_s=clip.start_s, end_s=clip.end_s)
            frames = frames[:, :, ::-1] if number < PLANTED // 2 else frames
            frames = cropped(frames, 0.05) if number % 2 else frames
            write_video(folder / f"{number}.mp4", frames, crf=28)
            clips.append(Clip(clip_id=clip.clip_id, video_id="p", path=f"{number}.mp4", source="p"))
        honest = self.others.manifest()
        for number, clip in enumerate(honest.clips):
            frames = read_span(honest.path_of(clip), start_s=clip.start_s, end_s=clip.end_s)
            write_video(folder / f"other{number}.mp4", frames)
            name = f"other{number}"
            clips.append(Clip(clip_id=name, video_id=name, path=f"{name}.mp4", source="p"))
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {}


@pytest.mark.slow
def test_planted_test_clips_are_found_and_named(tmp_path: Path) -> None:
    common: dict[str, Any] = {"infra": {"folder": tmp_path}, "runtime": Runtime(workers=1)}
    drawn = OphSim(
        seed=3, train_clips=52, val_cases=2, val_clips=52, test_cases=4, test_clips=60,
        minimum=1, width=96, height=64, **common,
    )  # fmt: skip
    real = OphNet(task="phase", name="OphSim", written_by=drawn, **common)
    others = OphVLSim(seed=4, num_clips=40, **common)
    planted = Planted(real=real, others=others, **common)
    caches = [FrameCache(clips=clips, **common) for clips in (planted, real)]
    found = NearDuplicates(suspects=caches[0], references=caches[1], **common).run()
    assert (found["suspects"], found["references"]) == (PLANTED + 40, len(real.manifest()))
    right = [pair for pair in found["copies"] if pair["clip"] == pair["copy_of"]]
    assert len(right) >= PLANTED - 1 and all(pair["split"] == "test" for pair in right)
    assert not [pair for pair in found["copies"] if pair["clip"].startswith("other")]
    assert found["chance"]["same"] == 0 and found["chance"]["pairs"] > 1000
    alone = NearDuplicates(
        suspects=caches[0], references=caches[1], reference_splits=("val",), **common
    ).run()
    assert alone["references"] < found["references"] and not alone["copies"]
    with pytest.raises(UserError, match="no readable clip in train"):
        NearDuplicates(
            suspects=caches[0], references=caches[1], suspect_splits=("train",), **common
        ).run()


def noise(count: int, seed: int) -> Frames:
    blobs = np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8, 3), np.uint8)
    return np.stack([[cv2.resize(frame, (64, 64)) for frame in clip] for clip in blobs])


def test_a_clip_is_nearest_to_its_copy_and_far_from_the_rest() -> None:
    known = noise(30, seed=0)
    found = nearest(known[10:20, :, :, ::-1], known)
    assert found.index.tolist() == list(range(10, 20)) and found.similarity.min() >= SAME
    assert nearest(noise(10, seed=1), known).similarity.max() < 0.5


def test_another_light_is_no_copy() -> None:
    known = noise(5, seed=0) // 2
    assert nearest(known + 10, known).similarity.min() >= SAME
    assert nearest(known + 40, known).similarity.max() < SAME


def test_fingerprints_know_no_brightness() -> None:
    known = noise(5, seed=0) // 2
    np.testing.assert_allclose(fingerprints(known), fingerprints(known + 40), atol=1.0)


def test_a_generator_that_repeats_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    seen, unseen, fresh = rng.normal(size=(3, 400, 6))
    honest = neighbours(fresh, seen, unseen)
    assert honest["p_value"] > 0.05 and 40 < honest["nearer_to_seen"] < 60
    half = np.where(np.arange(400)[:, None] < 150, seen + 0.01, fresh)  # the first 150 repeated
    repeats = neighbours(half, seen, unseen)
    assert repeats["p_value"] < 0.001 and repeats["ratio"][0] < 0.1 < honest["ratio"][0]
