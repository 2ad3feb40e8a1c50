"""Folders of videos: endings, litter, links."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import pytest

from core.errors import UserError
from core.folders import VIDEO_ENDINGS, Videos, files_below, is_video

# Formats that hold pictures and are no videos: stills, covers of sound, playlists, bare frames.
NO_VIDEOS = {
    "aiff", "apng", "avif", "dash", "fits", "flac", "gif", "hls", "ico", "image2", "mp3",
    "rawvideo", "webp",
}  # fmt: skip
SOUND = {"m4a", "m4b", "wma", "ra"}  # endings for sound alone, of formats that hold videos too


def test_every_ending_that_the_library_knows_for_videos_is_one() -> None:
    endings: set[str] = set()
    for name in av.formats_available - NO_VIDEOS:
        try:
            known = av.format.ContainerFormat(name, "w").extensions
        except ValueError:  # it reads this one and writes it not
            continue
        if known:
            with av.open(io.BytesIO(), "w", format=name) as container:
                endings |= known if container.default_video_codec != "none" else set()
    assert {f".{ending.strip().lower()}" for ending in endings - SOUND} <= VIDEO_ENDINGS
    for name in ("notes.txt", "a.json", "a.jpg", "a.png", "a.srt", "a.mp3", "a.csv", "mp4"):
        assert not is_video(Path(name))
    assert is_video(Path("A.MP4")) and is_video(Path("a.b.MkV"))


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_files_are_found_however_deep_and_litter_is_not(tmp_path: Path) -> None:
    wanted = ["a.mp4", "case/1/b.MTS", "case/c.txt"]
    litter = [
        ".hidden/a.mp4", "._a.mp4", "@eaDir/a.mp4/SYNO.mp4", "__MACOSX/case/b.mp4", "Thumbs.db",
        "case/@EADIR/b.mp4", "#recycle/x.mp4", "$RECYCLE.BIN/x.mp4", "lost+found/x.mp4",
    ]  # fmt: skip
    touch(tmp_path, *wanted, *litter)
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == wanted


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    touch(tmp_path / "disk", "case/a.mp4")
    root = touch(tmp_path / "root", "b.mp4")
    (root / "linked").symlink_to(tmp_path / "disk")
    (root / "again").symlink_to(tmp_path / "disk")  # twice is no circle
    (tmp_path / "disk" / "case" / "round").symlink_to(root)
    (root / "gone.mp4").symlink_to(tmp_path / "nowhere")
    found = [path.relative_to(root).as_posix() for path in files_below(root)]
    assert found == ["again/case/a.mp4", "b.mp4", "gone.mp4", "linked/case/a.mp4"]


def test_a_name_that_no_text_file_could_hold(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xc4rzte.mp4")).touch()
    with pytest.raises(UserError, match="is not UTF-8: rename it"):
        list(files_below(tmp_path))
    assert Videos().named(tmp_path, "a") is None  # where a table asks, it is in nobody's way


def test_a_video_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.MOV", "b.part.mkv", "c.txt", "d.mp4", "d.webm", "e.avi", "e.mkv", "f.mp4/x")
    videos = Videos()
    found = {stem: videos.named(tmp_path, stem) for stem in ("a", "b.part", "b", "c", "d", "f")}
    names = {stem: path.name if path else None for stem, path in found.items()}
    assert names == {
        "a": "a.MOV", "b.part": "b.part.mkv", "b": None, "c": None, "d": "d.mp4", "f": None,
    }  # fmt: skip
    with pytest.raises(UserError, match=r"several videos 'e' \(e.avi, e.mkv\): keep one"):
        videos.named(tmp_path, "e")
    assert videos.count(tmp_path) == 4 and videos.count(tmp_path / "nowhere") == 0
    assert Videos().named(tmp_path / "nowhere", "a") is None
