"""The OphNet adapter: the real annotation files, a folder cut from real videos."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.ophnet import list_clips
from benchmarks.datasets.ophnet_csv import NUM_CLASSES, find_annotation, read_segments
from benchmarks.datasets.taxonomy import Task
from core.errors import UserError
from core.video import read_span, resize, write_video
from tests.benchmarks.datasets.ophnet_folder import HEADER, ROWS, place_videos, source, write_csv

SHARED = Path(__file__).parents[4] / "shared" / "data"
ANNOTATION, REAL_VIDEOS = SHARED / "ophnet2024", SHARED / "real_videos"
# The colours of a video say which one was read: 24 frames, 8 fps, of two real videos.
REAL = {
    "case_a": ("indoor_320x240_25fps.avi", 0.0),
    "case_b": ("sport_340x256_30fps.mp4", 0.0),
    "case_c": ("sport_340x256_30fps.mp4", 5.0),
}


# --- the published annotation files -------------------------------------------------------------


@pytest.mark.skipif(not ANNOTATION.is_dir(), reason="OphNet2024's annotation files are not here")
@pytest.mark.parametrize(
    ("task", "total", "splits"),
    [
        ("phase", 14_674, {"train": 8_773, "val": 2_964, "test": 2_937}),
        ("operation", 17_508, {"train": 10_505, "val": 3_522, "test": 3_481}),
    ],
)
def test_published_annotation_gives_the_published_counts(
    task: Task, total: int, splits: dict[str, int]
) -> None:
    segments = read_segments(find_annotation(ANNOTATION, task), task)
    assert len(segments) == total
    assert Counter(segment.split for segment in segments) == splits
    ids = {s.phase_id if task == "phase" else s.operation_id for s in segments}
    assert ids == set(range(NUM_CLASSES[task]))
    assert NUM_CLASSES == {"phase": 52, "operation": 107}
    videos = {split: {s.video_id for s in segments if s.split == split} for split in splits}
    assert {split: len(ids) for split, ids in videos.items()} == {
        "train": 445,
        "val": 144,
        "test": 154,
    }
    assert len({segment.clip_id for segment in segments}) == total
    assert segments[1].clip_id == "case_0002_00011330_00015230"


@pytest.mark.skipif(not ANNOTATION.is_dir(), reason="OphNet2024's annotation files are not here")
def test_published_files_become_a_stage_with_every_clip(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "annotation").mkdir(parents=True)
    for path in ANNOTATION.glob("*_loca_*.csv"):  # loca_all must not be mistaken for a challenge
        shutil.copy(path, root / "annotation" / path.name)
    segments = read_segments(find_annotation(root, "operation"), "operation")
    place_videos(root / "videos", *{segment.video_id for segment in segments})
    stage = source(root, tmp_path, "operation")
    result = stage.run()
    assert result["clips"] == {"train": 10_505, "val": 3_522, "test": 3_481}
    assert result["classes"]["train"] == list(range(107))
    assert result["warnings"] == []
    assert len(stage.manifest()) == 17_508


# --- a folder that no simulator wrote -----------------------------------------------------------


@pytest.fixture(scope="module")
def real_frames() -> dict[str, Any]:
    if not REAL_VIDEOS.is_dir():
        pytest.skip("the real videos are not here")
    return {
        name: resize(
            read_span(REAL_VIDEOS / file, start_s=start, end_s=start + 3, num_frames=24), (96, 64)
        )
        for name, (file, start) in REAL.items()
    }


def test_untrimmed_folder_cut_from_real_videos(tmp_path: Path, real_frames: dict[str, Any]) -> None:
    root = tmp_path / "data"
    write_csv(root, ROWS)
    for name, frames in real_frames.items():
        write_video(root / "videos" / f"{name}.mp4", frames)
    stage = source(root, tmp_path)
    result = stage.run()
    assert result["clips"] == {"train": 2, "val": 2, "test": 2}
    assert result["videos"] == {"train": 1, "val": 1, "test": 1}
    assert result["classes"] == {"train": [3, 6], "val": [6, 7], "test": [6, 51]}
    assert result["num_classes"] == 52
    assert result["warnings"] == [
        "1 of 6 labels end up to 1 s after their video does and are cut (most: 0.75 s, line 5, "
        "videos/case_b.mp4)",
        "val has phase class that train lacks: 7",
        "test has phase class that train lacks: 51",
    ]
    manifest = stage.manifest()
    lengths = []
    for clip in manifest.clips:
        frames = read_span(manifest.path_of(clip), start_s=clip.start_s, end_s=clip.end_s)
        lengths.append(len(frames))
        first = round((clip.start_s or 0) * 8)
        wanted = real_frames[clip.video_id][first : first + len(frames)]
        assert abs(frames.astype(int) - wanted).mean() < 8  # codec loss; other spans differ more
    assert lengths == [12, 10, 16, 8, 1, 16]  # case_b ends at 3 s, 0.06 s is one frame


def test_trimmed_folder_holds_the_same_clips(tmp_path: Path, real_frames: dict[str, Any]) -> None:
    root = tmp_path / "data"
    annotation = write_csv(root, ROWS)
    for row in read_segments(annotation, "phase"):
        frames = real_frames[row.video_id][round(row.start_s * 8) : round(row.end_s * 8) or 1]
        frames = frames if len(frames) else real_frames[row.video_id][4:5]
        write_video(root / row.video_id / f"{row.video_id}_{row.index}.mp4", frames)
    manifest = source(root, tmp_path).manifest()
    lengths = [len(read_span(manifest.path_of(clip))) for clip in manifest.clips]
    assert lengths == [12, 10, 16, 8, 1, 16]
    assert {clip.start_s for clip in manifest.clips} == {None}
    assert manifest.clips[3].path == "case_b/case_b_1.mp4"
    assert manifest.clips[3].clip_id == "case_b_00002000_00003750"


# --- where files are found ----------------------------------------------------------------------


def test_clip_carries_the_row(root: Path) -> None:
    clip = list_clips(root, "phase", "OphNet2024").clips[1]
    assert clip.model_dump(exclude_none=True) == {
        "clip_id": "case_a_00001250_00002500",
        "video_id": "case_a",
        "path": "videos/case_a.mp4",
        "start_s": 1.25,
        "end_s": 2.5,
        "labels": {"phase": 6},
        "source": "OphNet2024",
        "split": "train",
    }


def test_operation_task_reads_its_own_file(root: Path, tmp_path: Path) -> None:
    name = "OphNet2024_loca_challenge.csv"
    write_csv(root, ["case_a,0,1,train,5,3,106"], HEADER + ",operation_id", name)
    clip = source(root, tmp_path, "operation").manifest().clips[0]
    assert (clip.labels, clip.label("operation")) == ({"phase": 3, "operation": 106}, 106)
    assert len(source(root, tmp_path).manifest()) == len(ROWS)


def test_untrimmed_video_is_preferred_wherever_it_lies(root: Path) -> None:
    place_videos(root / "videos" / "case_a", "case_a_0", "case_a_1")
    (root / "videos" / "case_a.mp4").rename(root / "case_a.mp4")
    clips = list_clips(root, "phase", "x").clips
    assert [clip.path for clip in clips[:3]] == ["case_a.mp4", "case_a.mp4", "videos/case_b.mp4"]


def test_published_archive_with_its_trimmed_csv(tmp_path: Path) -> None:
    # Row 0 of case_b could not be cut: the cutter's numbers shift, and only its csv knows.
    root, archive = tmp_path, tmp_path / "OphNet2024_trimmed_phase"
    paths = [
        "./OphNet2024_trimmed_phase/case_a/case_a_0.mp4",
        "./OphNet2024_trimmed_phase/case_a/case_a_1.mp4",
        "",
        "/home/someone/case_b/case_b_0.mp4",
        "C:\\cut\\case_c\\case_c_0.mp4",
        "C:\\cut\\case_c\\case_c_1.mp4",
    ]
    rows = [f"{row},{path}" for row, path in zip(ROWS, paths, strict=True)]
    name = "OphNet2024_loca_challenge_phase_trimmed.csv"
    write_csv(archive, rows, HEADER + ",segment_path", name, bom=False)
    for video, count in (("case_a", 2), ("case_b", 1), ("case_c", 2)):
        place_videos(archive / video, *(f"{video}_{k}" for k in range(count)))
    listing = list_clips(root, "phase", "OphNet2024")
    assert [(clip.path.split("/")[-1], clip.label("phase")) for clip in listing.clips] == [
        ("case_a_0.mp4", 3),
        ("case_a_1.mp4", 6),
        ("case_b_0.mp4", 7),
        ("case_c_0.mp4", 6),
        ("case_c_1.mp4", 51),
    ]
    assert listing.incomplete == {"case_b": 1}


def test_trimmed_numbers_without_their_csv_are_refused_when_they_cannot_match(root: Path) -> None:
    (root / "videos" / "case_b.mp4").unlink()
    place_videos(root / "videos" / "case_b", "case_b_0")  # two rows, one file: which one is it?
    listing = list_clips(root, "phase", "x")
    assert listing.incomplete == {"case_b": 2}
    assert {clip.video_id for clip in listing.clips} == {"case_a", "case_c"}


def test_one_missing_video_is_a_warning(root: Path, tmp_path: Path) -> None:
    (root / "videos" / "case_b.mp4").unlink()
    result = source(root, tmp_path).run()
    assert result["incomplete_videos"] == ["case_b"]
    assert result["missing_clips"] == 2
    assert result["left_out"] == {"no file": {"number": 1, "examples": ["case_b (2 clips)"]}}
    assert result["warnings"][0] == "1 of 3 videos lack files (case_b): 2 of 6 clips left out"


def test_many_missing_videos_are_an_error_with_a_cure(root: Path, tmp_path: Path) -> None:
    for name in ("case_b", "case_c"):
        (root / "videos" / f"{name}.mp4").unlink()
    message = r"2 of 3 videos .*: no file \(2: case_b \(2 clips\), case_c \(2 clips\)\); finish"
    with pytest.raises(UserError, match=message):
        source(root, tmp_path)
    assert source(root, tmp_path, max_missing_share=1).run()["clips"]["train"] == 2


def test_links_to_another_disk_work(root: Path, tmp_path: Path) -> None:
    before = source(root, tmp_path)
    video = root / "videos" / "case_a.mp4"
    video.rename(tmp_path / "blob")  # as in a hub's cache: a name without an ending
    video.symlink_to(Path("../../blob"))
    (root / "videos").rename(tmp_path / "data" / "disk")
    (root / "videos").symlink_to(tmp_path / "data" / "disk")
    stage = source(root, tmp_path)
    assert stage.infra.uid() == before.infra.uid()
    manifest = stage.manifest()
    assert {clip.path for clip in manifest.clips} >= {"videos/case_a.mp4", "videos/case_b.mp4"}
    assert all(manifest.path_of(clip).is_file() for clip in manifest.clips)
    video.unlink()
    video.symlink_to(tmp_path / "nowhere")
    assert list(list_clips(root, "phase", "x").incomplete) == ["case_a"]


@pytest.mark.parametrize("ending", ["MP4", "mkv", "MOV", "avi", "webm", "m4v", "mpg", "wmv", "TS"])
def test_every_container_is_found_and_is_part_of_the_key(
    root: Path, tmp_path: Path, ending: str
) -> None:
    before = source(root, tmp_path).infra.uid()
    for video in (root / "videos").iterdir():
        video.rename(video.with_suffix(f".{ending}"))
    place_videos(root / "videos" / "@eaDir", "case_a")
    stage = source(root, tmp_path)
    assert {clip.path for clip in stage.manifest().clips} == {
        f"videos/case_{letter}.{ending}" for letter in "abc"
    }
    renamed = stage.infra.uid()
    assert renamed != before
    (root / "videos" / f"case_b.{ending}").write_bytes(b"another")
    assert source(root, tmp_path).infra.uid() != renamed


def test_trimmed_clips_of_other_containers(root: Path) -> None:
    (root / "videos" / "case_b.mp4").unlink()
    place_videos(root / "videos" / "case_b", "case_b_0", "case_b_1")
    for clip in (root / "videos" / "case_b").iterdir():
        clip.rename(clip.with_suffix(".WebM"))
    paths = [clip.path for clip in list_clips(root, "phase", "x").clips]
    assert paths[2:4] == ["videos/case_b/case_b_0.WebM", "videos/case_b/case_b_1.WebM"]


def test_two_videos_of_one_name_are_refused_unless_one_is_mp4(root: Path) -> None:
    (root / "videos" / "case_a.webm").write_bytes(b"a download's other half")
    assert list_clips(root, "phase", "x").clips[0].path == "videos/case_a.mp4"
    (root / "videos" / "case_a.mp4").rename(root / "videos" / "case_a.avi")
    with pytest.raises(UserError, match=r"several videos 'case_a' \(case_a.avi, case_a.webm\)"):
        list_clips(root, "phase", "x")


def test_a_semicolon_from_a_spreadsheet(root: Path) -> None:
    table = next(root.glob("*.csv"))
    before = list_clips(root, "phase", "x").clips
    table.write_bytes(table.read_bytes().replace(b",", b";"))
    assert list_clips(root, "phase", "x").clips == before


def test_drop_others_leaves_out_the_last_class(root: Path, tmp_path: Path) -> None:
    stage = source(root, tmp_path, drop_others=True)
    assert stage.num_classes == 51
    assert {clip.label("phase") for clip in stage.manifest().clips} == {3, 6, 7}
