"""The script measures what it says; its times are not tested."""

from __future__ import annotations

from pathlib import Path

from benchmarks.perf.decoding import Reader, compare
from benchmarks.plan import PROJECT_ROOT
from core.video import write_video
from tests.core.moving import numbered


def test_two_readers_take_turns_and_their_frames_are_compared(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", numbered(24))
    first, second = Reader(PROJECT_ROOT), Reader(PROJECT_ROOT)
    labels = {str(tmp_path / f"{name}.mp4"): [[0.0, 1.0], [1.0, None]] for name in ("a", "b")}
    found = compare(labels, first, second, 1, "nano clips")
    assert found["labels"] == 4 and found["same_frames"]
    assert found["times_as_fast"] > 0 and found["times_as_fast_by_processor_time"] > 0
    assert {result["sha256"] for result in first.results} == {second.results[0]["sha256"]}
    first.close()
    second.close()
