"""Clips without captions, of folders of real videos and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets.footage import Cut, Footage
from core.errors import UserError
from core.runtime import Runtime
from core.video import read_span, write_video
from generator.base import ClipShape

SHAPE = ClipShape(num_frames=8, width=32, height=32)
CUT = Cut(shape=SHAPE, interval=2, stride=15)


def grey(*levels: int, height: int = 48, width: int = 96) -> np.ndarray:
    """Frames of these levels; the outer thirds, which cropping takes away, are white."""
    frames = np.full((len(levels), height, width, 3), 255, np.uint8)
    for frame, level in zip(frames, levels, strict=True):
        frame[:, width // 4 : -width // 4] = level
    return frames


def videos(root: Path, count: int = 5, frames: int = 31) -> Path:
    for number in range(count):
        levels = [4 * index + 10 * number for index in range(frames)]
        write_video(root / f"case{number}" / "Film.MP4", grey(*levels), crf=1)
    return root


def frame_files(folder: Path, *numbers: int, form: str = "{:05d}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(grey(4 * number)[0]).save(folder / form.format(number))
    return folder


def footage(root: Path, cache: Path, **fields: Any) -> Footage:
    machinery = {"infra": {"folder": str(cache)}, "runtime": Runtime(workers=1)}
    return Footage.at(root, name="mine", hash_memory=cache / "hashes.json", **fields, **machinery)


def middles(source: Footage) -> list[list[int]]:
    manifest = source.manifest()
    clips = [read_span(manifest.path_of(clip)) for clip in manifest.clips]
    assert all(clip.shape == (8, 32, 32, 3) for clip in clips)
    return [[int(frame[4:-4, 4:-4].mean()) for frame in clip] for clip in clips]


def test_clips_are_cut_at_the_interval_and_cropped_around_the_middle(tmp_path: Path) -> None:
    source = footage(videos(tmp_path / "v", count=2), tmp_path / "cache", cut=CUT)
    found = source.run()
    assert found["clips"] == 2 * 2 and found["recordings"] == 2 and not found["left_out"]
    for index, levels in enumerate(middles(source)):
        start = 10 * (index // 2) + 4 * 15 * (index % 2)
        assert levels == pytest.approx([start + 8 * step for step in range(8)], abs=3)
    manifest = source.manifest()
    sides = {clip.video_id: clip.split for clip in manifest.clips}
    assert set(sides.values()) == {"train", "val"} and len(sides) == 2
    assert all(sides[clip.video_id] == clip.split for clip in manifest.clips)
    assert all(clip.caption is None and not clip.labels for clip in manifest.clips)


def test_frames_are_read_as_videos_are(tmp_path: Path) -> None:
    frame_files(tmp_path / "f" / "one", *range(31), form="frame_{}.png")  # 9 before 10
    frame_files(tmp_path / "f" / "two", *range(10))
    source = footage(tmp_path / "f", tmp_path / "cache", cut=CUT)
    found = source.run()
    assert found["left_out"] == {"too short for a clip": {"number": 1, "examples": ["two"]}}
    first, second = middles(source)
    assert first == pytest.approx([8 * step for step in range(8)], abs=3)
    assert second == pytest.approx([60 + 8 * step for step in range(8)], abs=3)


def test_overlapping_clips_are_those_of_one_pass_and_of_a_second_run(tmp_path: Path) -> None:
    root = videos(tmp_path / "v", count=1)
    dense = footage(root, tmp_path / "cache", cut=CUT.model_copy(update={"stride": 4}))
    assert dense.run()["clips"] == 5
    assert middles(dense)[3] == pytest.approx([48 + 8 * step for step in range(8)], abs=3)
    files = sorted((dense.folder / "clips").iterdir())
    written = [file.read_bytes() for file in files]
    files[2].unlink()
    assert dense.execute(dense.folder)["clips"] == 5  # as after a kill
    assert [file.read_bytes() for file in files] == written


def test_whole_recordings_are_a_clip_each_without_a_split(tmp_path: Path) -> None:
    root = videos(tmp_path / "v", count=2, frames=9)
    source = footage(root, tmp_path / "cache")
    manifest = source.manifest()
    assert manifest.root == root and {clip.split for clip in manifest.clips} == {None}
    assert [clip.path for clip in manifest.clips] == ["case0/Film.MP4", "case1/Film.MP4"]
    moved = root.rename(tmp_path / "moved")
    assert footage(moved, tmp_path / "cache").manifest().root == moved
    frames = footage(frame_files(tmp_path / "f" / "a", *range(9)).parent, tmp_path / "cache")
    (clip,) = frames.manifest().clips
    assert read_span(frames.manifest().path_of(clip)).shape == (9, 48, 96, 3)
    assert clip.video_id == "a"


def test_a_damaged_recording_is_left_out_and_more_are_refused(tmp_path: Path) -> None:
    root = videos(tmp_path / "v")
    (root / "case1" / "Film.MP4").write_bytes(b"no video")
    assert footage(root, tmp_path / "cache", cut=CUT).run()["left_out"]["unreadable"]["number"] == 1
    (root / "case2" / "Film.MP4").write_bytes(b"none either")
    with pytest.raises(UserError, match=r"2 of 5 recordings of .* unreadable"):
        footage(root, tmp_path / "cache", cut=CUT).run()


def test_bad_folders_are_refused_in_a_line(tmp_path: Path) -> None:
    def fault(root: Path, **fields: Any) -> str:
        with pytest.raises(UserError) as raised:
            footage(root, tmp_path / "cache", **fields).run()
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "no such folder" in fault(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "neither a video nor a folder of frames" in fault(tmp_path / "empty")
    frame_files(tmp_path / "gap" / "a", 0, 1, 2, 5, 6)
    line = fault(tmp_path / "gap")
    assert "a gap: 00005.png follows 00002.png (2 missing)" in line and "gap/a" in line
    frame_files(tmp_path / "twice" / "a", 0, 1)
    frame_files(tmp_path / "twice" / "a", 1, form="{}.jpg")
    assert "have one number" in fault(tmp_path / "twice")
    frame_files(tmp_path / "nameless", 0, 1)
    Image.fromarray(grey(1)[0]).save(tmp_path / "nameless" / "cover.png")
    assert "a frame's name ends in its number" in fault(tmp_path / "nameless")
    both = videos(tmp_path / "both", count=1)
    frame_files(both / "case0_frames", 0, 1)
    assert "give one kind" in fault(both)
    short = videos(tmp_path / "short", count=1, frames=14)
    assert "none of 1 recordings has the 15 frames" in fault(short, cut=CUT)


def test_every_25th_frame_is_no_gap(tmp_path: Path) -> None:
    frame_files(tmp_path / "f" / "a", *range(0, 30, 2))
    cut = Cut(shape=SHAPE, interval=1, stride=8)
    assert footage(tmp_path / "f", tmp_path / "cache", cut=cut).run()["clips"] == 1
