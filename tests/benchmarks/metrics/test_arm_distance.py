"""An arm's distance from real clips, on real mp4 files and a real encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.metrics.arm_distance import ArmDistance, VideoFeatures
from benchmarks.metrics.encoders import VideoEncoderTraining
from benchmarks.metrics.frames import FrameProtocol
from benchmarks.tables.schema import Metric
from classifiers.slowfast import SlowFast
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.optimisation import Optimisation
from core.runtime import Runtime
from core.stage import ClipStage
from core.video import write_video
from tests.benchmarks.metrics.toy import DiscClips

PROTOCOL = FrameProtocol(num_frames=9, width=64, height=32)


class NoiseClips(ClipStage):
    """`count` clips without captions; one more is cut short."""

    count: int = 12

    def execute(self, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        names = [f"{index}.mp4" for index in range(self.count + 1)]
        for name in names:
            write_video(folder / name, rng.integers(0, 256, (9, 32, 64, 3), np.uint8))
        (folder / names[0]).write_bytes((folder / names[0]).read_bytes()[:200])
        clips = [
            Clip(clip_id=n, video_id=n, path=n, labels={"operation": 0}, source="noise")
            for n in names
        ]
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {}


def features(folder: Path, clips: ClipStage, protocol: FrameProtocol = PROTOCOL) -> VideoFeatures:
    common: dict[str, Any] = {"infra": {"folder": folder}, "runtime": Runtime(workers=1)}
    encoder = VideoEncoderTraining(
        clips=DiscClips(count=12, seed=1, infra={"folder": folder}),
        task="operation",
        num_classes=6,
        network=SlowFast(depth=18, stem_dim_outs=(8, 1), alpha=3),
        protocol=PROTOCOL,
        optimisation=Optimisation(steps=1, batch_size=6, lr=2e-3),
        **common,
    )
    return VideoFeatures(clips=clips, encoder=encoder, protocol=protocol, **common)


def distance(folder: Path, arm: ClipStage, real: int = 24) -> dict[str, Any]:
    clips = DiscClips(count=real, seed=7, captions=False, infra={"folder": folder})
    stage = ArmDistance(
        real=features(folder, clips), arm=features(folder, arm), infra={"folder": folder}
    )
    metrics: dict[str, Any] = stage.run()["metrics"]
    return metrics


def test_copies_of_real_clips_are_near_and_noise_is_far(tmp_path: Path) -> None:
    place: dict[str, Any] = {"infra": {"folder": tmp_path}}
    copied = distance(tmp_path, DiscClips(count=24, seed=7, **place))
    noise = distance(tmp_path, NoiseClips(**place))
    assert list(copied) == ["fvd_slowfast_nano_24x9", "kvd_slowfast_nano_24x9"]
    assert list(noise) == ["fvd_slowfast_nano_12x9", "kvd_slowfast_nano_12x9"]  # the smaller side
    near, far = copied["fvd_slowfast_nano_24x9"], noise["fvd_slowfast_nano_12x9"]
    assert near["value"] < 1e-4 < 1e-2 < far["value"]
    assert "24 features of 288 dimensions" in near["warning"]
    for entry in (*copied.values(), *noise.values()):
        Metric(**entry, paper=None)  # as in Table 1
    assert features(tmp_path, NoiseClips(**place)).run()["unreadable"] == 1


def test_a_single_clip_has_no_distance_and_other_frames_are_refused(tmp_path: Path) -> None:
    place: dict[str, Any] = {"infra": {"folder": tmp_path}}
    assert distance(tmp_path, DiscClips(count=1, seed=7, **place), real=6) == {}
    small = FrameProtocol(num_frames=9, width=32, height=32)
    with pytest.raises(UserError, match="was trained for"):
        features(tmp_path, DiscClips(count=1, seed=7, **place), small).run()
