"""Decode once: contents, resume after a kill, unreadable files."""

from __future__ import annotations

import hashlib
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import frame_cache
from core.clip import Clip, Manifest
from core.errors import UserError
from core.frame_cache import FrameCache, open_frames
from core.isolated import Isolated
from core.runtime import Runtime
from core.stage import ClipStage
from core.video import read_span, write_video
from tests.classifiers.toy import CLASSES, ToyClips, draw


class OneClipFiles(ClipStage):
    """`files` mp4 files of one clip each; the first `broken` of them in different ways."""

    files: int = 3
    broken: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        spoiled = [b"", b"no video at all", None]
        for number in range(self.files):
            path = folder / f"{number:03d}.mp4"
            write_video(path, draw(number % CLASSES, number))
            if number < self.broken:
                content = spoiled[number % 3]
                if content is None:
                    path.unlink()
                else:
                    path.write_bytes(content)
        clips = [
            Clip(clip_id=f"c{n}", video_id=f"v{n}", path=f"{n:03d}.mp4", source="toy")
            for n in range(self.files)
        ]
        Manifest(root=folder, clips=tuple(clips)).save(folder / "manifest.jsonl")
        return {"clips": self.files}


def _cache(source: ClipStage, tmp_path: Path, workers: int = 1) -> FrameCache:
    infra = {"folder": str(tmp_path)}
    return FrameCache(
        clips=source,
        num_frames=5,
        width=16,
        height=16,
        infra=infra,
        runtime=Runtime(workers=workers),
    )


def test_every_clip_is_what_reading_it_alone_gives(tmp_path: Path) -> None:
    source = ToyClips(videos=3, infra={"folder": str(tmp_path)})
    stage = _cache(source, tmp_path)
    table = stage.table()
    result = stage.run()
    assert result["clips"] == 3 * CLASSES
    assert result["unreadable"] == result["unreadable_files"] == []
    rows = "".join(hashlib.sha256(row.tobytes()).hexdigest() for row in table.frames)
    assert result["sha256_of_rows"] == hashlib.sha256(rows.encode()).hexdigest()
    assert table.frames.shape == (3 * CLASSES, 5, 16, 16, 3) and table.frames.dtype == np.uint8
    assert isinstance(table.frames, np.memmap) and not table.frames.flags.writeable
    manifest = source.manifest()
    for row, clip in enumerate(manifest.clips):
        assert table.rows[clip.clip_id] == row
        alone = read_span(
            manifest.path_of(clip),
            start_s=clip.start_s,
            end_s=clip.end_s,
            num_frames=5,
            size=(16, 16),
        )
        np.testing.assert_array_equal(table.frames[row], alone)


def test_worker_processes_give_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_cache, "CLIPS_PER_CHUNK", 4)
    monkeypatch.setattr(frame_cache, "CLIPS_PER_WORKER", 4)
    source = ToyClips(videos=3, infra={"folder": str(tmp_path)})
    alone = _cache(source, tmp_path / "alone")
    together = _cache(source, tmp_path / "together", workers=2)
    np.testing.assert_array_equal(alone.table().frames, together.table().frames)


def test_a_killed_run_goes_on_at_the_next_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_cache, "CLIPS_PER_CHUNK", CLASSES)
    stage = _cache(ToyClips(videos=4, infra={"folder": str(tmp_path)}), tmp_path)
    decode, decoded = frame_cache._decode_chunk, []

    def decode_until_killed(chunk: Any) -> dict[str, str]:
        decoded.append(chunk.record.name)
        if len(decoded) == 3:
            raise KeyboardInterrupt
        return decode(chunk)

    monkeypatch.setattr(frame_cache, "_decode_chunk", decode_until_killed)
    with pytest.raises(KeyboardInterrupt):
        stage.execute(stage.folder)
    assert not (stage.folder / "clip_ids.json").exists()
    stage.execute(stage.folder)
    assert decoded.count(decoded[0]) == 1 and decoded.count(decoded[2]) == 2
    whole = _cache(ToyClips(videos=4, infra={"folder": str(tmp_path)}), tmp_path / "whole")
    np.testing.assert_array_equal(open_frames(stage.folder).frames, whole.table().frames)


def test_one_broken_file_among_good_ones_is_skipped_with_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = _cache(OneClipFiles(files=3, broken=1, infra={"folder": str(tmp_path)}), tmp_path)
    result = stage.run()
    assert result["clips"] == 2
    assert result["unreadable"] == ["c0"] and result["unreadable_files"] == ["000.mp4"]
    warnings = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and "000.mp4: the file is empty" in warnings[0]
    assert result["left_out"] == {
        "unreadable": {"number": 1, "examples": ["000.mp4: the file is empty (1 clips)"]}
    }
    table = stage.table()
    assert table.rows == {"c1": 1, "c2": 2} and list(table.unreadable) == ["c0"]
    assert table.frames[1].any() and not table.frames[0].any()


def test_a_file_on_which_decoding_hangs_is_skipped_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    decoder = Isolated("tests.core.hanging_decoder")
    monkeypatch.setattr("core.video._DECODER", decoder)
    source = OneClipFiles(files=3, infra={"folder": str(tmp_path)})
    source.run()
    manifest = source.manifest()
    (source.folder / "001.mp4").rename(source.folder / "hangs.mp4")
    clips = [c.model_copy(update={"path": c.path.replace("001", "hangs")}) for c in manifest.clips]
    manifest.keep(clips).save(source.folder / "manifest.jsonl")
    stage = _cache(source, tmp_path).infra.clone_obj({"runtime": Runtime(decode_limit_s=0.3)})
    result = stage.run()
    decoder.close()
    assert (result["clips"], result["unreadable_files"]) == (2, ["hangs.mp4"])
    assert "hangs.mp4: no progress within 0.3 s" in capfd.readouterr().err


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_clip_outside_its_video_is_an_error_that_names_it(tmp_path: Path, split: str) -> None:
    source = ToyClips(videos=3, infra={"folder": str(tmp_path)})
    manifest = source.manifest()
    clips = list(manifest.clips)
    place = next(n for n, clip in enumerate(clips) if clip.split == split)
    clips[place] = clips[place].model_copy(update={"start_s": 4.5, "end_s": 5.5})
    manifest.keep(clips).save(source.folder / "manifest.jsonl")
    message = rf"^clip '{clips[place].clip_id}': .*video_\d\d\.mp4: the span from 4\.5 to 5\.5 s"
    with pytest.raises(UserError, match=rf"{message} is outside the video.* 0\.00 to 4\.00 s"):
        _cache(source, tmp_path).run()


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    stage = _cache(ToyClips(videos=1, infra={"folder": str(tmp_path)}), tmp_path)
    stage.table()
    path = stage.folder / "frames.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"frames.npy: changed since it was written"):
        stage.table()
    path.write_bytes(content[:-7])
    with pytest.raises(UserError, match=r"frames.npy: changed since it was written"):
        stage.table()
    path.unlink()
    with pytest.raises(UserError, match=r"frames.npy: changed since it was written"):
        stage.table()


def test_a_disk_without_room_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    source = OneClipFiles(files=1, infra={"folder": str(tmp_path)})
    huge = _cache(source, tmp_path).infra.clone_obj({"width": 2_000_000, "height": 2_000_000})
    with pytest.raises(
        UserError, match=r"60000.00 GB are needed for the frames of 1 clips, .*: make"
    ):
        huge.run()
    assert not list(huge.folder.rglob("*.npy"))


def test_a_disk_that_fills_up_meanwhile_is_one_line_too(tmp_path: Path) -> None:
    source = OneClipFiles(files=3, infra={"folder": str(tmp_path)})
    source.run()
    stage = _cache(source, tmp_path)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, old[1]))  # the kernel refuses larger files
    try:
        with pytest.raises(UserError, match=r"GB are free \(File too large\): make room"):
            stage.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(stage.folder.rglob("*.npy"))
    assert _cache(source, tmp_path).run()["clips"] == 3


def test_a_cut_file_loses_all_its_clips_with_one_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = ToyClips(videos=3, corrupt=1, infra={"folder": str(tmp_path)})
    result = _cache(source, tmp_path).run()
    assert result["clips"] == 2 * CLASSES and len(result["unreadable"]) == CLASSES
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(said) == 1 and "(4 clips)" in said[0]


def test_more_than_one_file_and_more_than_one_percent_is_an_error(tmp_path: Path) -> None:
    source = OneClipFiles(files=9, broken=3, infra={"folder": str(tmp_path)})
    message = r"3 of 9 video files .*unreadable \(3: 000.mp4: .*, 001.mp4: .*, 002.mp4: .*; replace"
    with pytest.raises(UserError, match=message):
        _cache(source, tmp_path).run()
    for number in range(3):  # once they are repaired, the same stage goes on
        write_video(source.folder / f"{number:03d}.mp4", draw(0, number))
    assert _cache(source, tmp_path).run()["clips"] == 9
