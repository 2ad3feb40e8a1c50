"""Large pictures: what reading them takes does not grow with their number."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.collect.players import write_small
from benchmarks.perf.decoding_memory import memory_mib, write_still
from core import video
from core.video import read_spans
from generator.curation.dynamics import DynamicsSettings, count_keyframes
from generator.curation.privacy import judge_clip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SIZE = (1920, 1080)
NUM_FRAMES = 80  # 500 MB as pictures
MIB_HERE, MIB_DECODER = 80, 300


def growth_mib(process: str, work: Callable[[], object]) -> float:
    """By how much the resident memory of a process grows at most during `work`."""
    Path("/proc", process, "clear_refs").write_text("5")  # forget the peak
    before = memory_mib(process, "VmRSS")
    work()
    return memory_mib(process, "VmHWM") - before


def test_memory_with_large_pictures(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    write_still(path, SIZE, NUM_FRAMES, 8)
    info = video.probe(path)  # the decoder is running
    assert (info.width, info.height, info.num_frames) == (*SIZE, NUM_FRAMES)
    labels = [(float(second), second + 1.0) for second in range(10)]
    works: dict[str, Callable[[], object]] = {
        "decoding": lambda: read_spans(path, labels, 8, (64, 64)),
        "players": lambda: write_small(tmp_path / "small.mp4", path),
        "dynamics": lambda: count_keyframes(path, info, DynamicsSettings()),
        "privacy": lambda: judge_clip(path, 8.0, lambda frame: None, None, None),
    }
    decoder = video._DECODER._process
    assert decoder is not None
    for name, work in works.items():
        assert growth_mib("self", work) < MIB_HERE, name
        assert growth_mib(str(decoder.pid), work) < MIB_DECODER, name
    (clip, *_) = read_spans(path, labels, 8, (64, 64))
    assert clip.shape == (8, 64, 64, 3) and np.ptp(clip[0].mean((0, 1))) > 0
