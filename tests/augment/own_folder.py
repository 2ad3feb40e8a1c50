"""A user's own folder of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from augment.user_videos import UserVideos
from benchmarks.datasets.taxonomy import Task
from core.runtime import Runtime
from core.video import write_video

NAMES = ("Viscoelastic Injection", "Nuclear Management (for cataract surgery)", "Injection/Washing")


def video(path: Path, brightness: int = 90) -> Path:
    frames = np.random.default_rng(brightness).integers(0, brightness, (9, 48, 64, 3), np.uint8)
    write_video(path, frames)
    return path


def source(root: Path, tmp_path: Path, task: Task = "phase", **fields: Any) -> UserVideos:
    return UserVideos.at(
        root,
        task=task,
        class_names=NAMES,
        name="mine",
        hash_memory=tmp_path / "hashes.json",
        infra={"folder": tmp_path / "cache"},
        runtime=Runtime(workers=1),
        **fields,
    )
