"""A user's own folder as a source: real mp4 files, every bad input, no stale cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from augment.user_videos import class_id, list_videos, unreadable_reason
from core.errors import UserError
from tests.augment.own_folder import NAMES, source, video


def test_folder_a_class(root: Path, tmp_path: Path) -> None:
    stage = source(root, tmp_path)
    result = stage.run()
    assert result["clips"] == 2
    assert result["per_class"] == {"0": 1, "2": 1}
    assert result["warnings"] == []
    manifest = stage.manifest()
    assert [(clip.path, clip.labels) for clip in manifest.clips] == [
        ("0/first.mp4", {"phase": 0}),
        ("injection_washing/second.MP4", {"phase": 2}),
    ]
    assert all(manifest.path_of(clip).is_file() for clip in manifest.clips)
    assert {(clip.source, clip.split) for clip in manifest.clips} == {("mine", None)}


def test_csv_of_paths_and_labels(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    video(root / "a" / "one.mp4")
    video(root / "two, part 2.mp4", 70)
    table = 'path,label,remark\r\na/one.mp4,1,\r\n"two, part 2.mp4",VISCOELASTIC injection,x\r\n'
    (root / "labels.csv").write_bytes(table.encode("utf-8-sig"))
    manifest = source(root, tmp_path, "operation").manifest()
    assert {clip.path: clip.label("operation") for clip in manifest.clips} == {
        "a/one.mp4": 1,
        "two, part 2.mp4": 0,
    }


@pytest.mark.parametrize("ending", ["avi", "mov", "mkv", "webm", "M4V", "mpg", "wmv", "ts", "3gp"])
def test_other_containers(tmp_path: Path, ending: str) -> None:
    path = video(tmp_path / "mine" / "1" / "clip.mp4")
    shutil.move(path, path.with_suffix(f".{ending}"))  # decoding goes by content, listing by name
    assert source(tmp_path / "mine", tmp_path).run()["clips"] == 1


def test_videos_however_deep_below_their_class(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = source(root, tmp_path).infra.uid()
    video(root / "1" / "case_01" / "a.mp4", 60)
    video(root / "1" / "case_02" / "left" / "a.mp4", 70)
    (root / "2").mkdir()
    for litter in ("__MACOSX/1/a.mp4", "@eaDir/a.mp4", "1/@eaDir/a.mp4/SYNO.mp4"):
        (root / litter).parent.mkdir(parents=True)
        (root / litter).write_bytes(b"no video")
    stage = source(root, tmp_path)
    result = stage.run()
    assert stage.infra.uid() != before
    assert result["per_class"] == {"0": 1, "1": 2, "2": 1} and result["left_out"] == {}
    assert {clip.path for clip in stage.manifest().clips} >= {
        "1/case_01/a.mp4",
        "1/case_02/left/a.mp4",
    }
    assert result["other_files"] == {".txt": 1}
    assert "not taken for videos by their endings: .txt (1)" in capsys.readouterr().err
    video(root / "1" / "case_02" / "left" / "a.mp4", 75)
    assert source(root, tmp_path).infra.uid() != stage.infra.uid()


def test_links_as_a_hub_lays_them_out(root: Path, tmp_path: Path) -> None:
    plain = source(root, tmp_path).infra.uid()
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    for path in ("0/first.mp4", "injection_washing/second.MP4"):
        blob = blobs / path.replace("/", "-").partition(".")[0]
        shutil.copy(root / path, blob)
        (snapshot / path).parent.mkdir(parents=True)
        (snapshot / path).symlink_to(Path("../../../blobs") / blob.name)
    stage = source(snapshot, tmp_path)
    assert stage.infra.uid() == plain
    assert stage.run()["clips"] == 2
    assert all(stage.manifest().path_of(clip).is_file() for clip in stage.manifest().clips)
    (snapshot / "labels.csv").write_text("path;label\n0/first.mp4;1\n")
    assert source(snapshot, tmp_path).run()["per_class"] == {"1": 1}


def test_links_to_nothing_are_missed(root: Path, tmp_path: Path) -> None:
    (root / "0" / "gone.mp4").symlink_to(tmp_path / "nowhere")
    result = source(root, tmp_path).run()
    assert result["clips"] == 2
    assert result["left_out"] == {"links to nothing": {"number": 1, "examples": ["0/gone.mp4"]}}
    (root / "0" / "lost.mp4").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"2 of 4 .*links to nothing \(2: 0/gone.mp4, 0/lost.mp4"):
        source(root, tmp_path)


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("2", 2),
        ("02", 2),
        ("nuclear management (FOR cataract surgery)", 1),
        ("Nuclear_Management_for_cataract_surgery", 1),
        ("injection-washing", 2),
    ],
)
def test_class_id_of_ids_and_names(label: str, wanted: int) -> None:
    assert class_id(label, NAMES, "here") == wanted


# --- unreadable videos --------------------------------------------------------------------------


def audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_one_unreadable_video_is_skipped_and_counted(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "1").mkdir()
    (root / "1" / "empty.mp4").write_bytes(b"")
    result = source(root, tmp_path).run()
    assert result["clips"] == 2
    assert list(result["skipped"]) == ["1/empty.mp4"]
    assert "skipped 1/empty.mp4: the file is empty" in result["warnings"]
    assert result["left_out"] == {
        "unreadable": {"number": 1, "examples": ["1/empty.mp4: the file is empty"]}
    }
    said = capsys.readouterr().err
    assert "warning: 1 of 3 user videos of" in said and "1/empty.mp4: the file is empty" in said


def test_more_unreadable_videos_are_an_error_that_names_them(root: Path, tmp_path: Path) -> None:
    whole = (root / "0" / "first.mp4").read_bytes()
    (root / "1").mkdir()
    (root / "1" / "empty.mp4").write_bytes(b"")
    (root / "1" / "garbage.mp4").write_bytes(b"no video at all" * 100)
    (root / "1" / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    audio_only(root / "1" / "audio.mp4")
    stage = source(root, tmp_path)
    with pytest.raises(UserError, match=r"4 of 6 user videos .*would be left out") as raised:
        stage.run()
    for name in ("audio", "empty", "garbage", "truncated"):
        assert f"1/{name}.mp4: " in str(raised.value)
    assert not stage.is_done()


def test_file_truncated_after_its_index_is_unreadable(tmp_path: Path) -> None:
    # With the index in front, the header and the first frames of the file are all there.
    frames = np.random.default_rng(0).integers(0, 255, (64, 64, 96, 3), np.uint8)
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert unreadable_reason(path) is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert unreadable_reason(path) is not None


def test_no_readable_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "0" / "bad.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    stage = source(tmp_path / "mine", tmp_path)
    with pytest.raises(UserError, match=r"none of the 1 videos is readable \(first: 0/bad\.mp4"):
        stage.run()
    assert not stage.is_done()


# --- bad folders --------------------------------------------------------------------------------


def test_unknown_class_name_names_the_nearest(root: Path) -> None:
    video(root / "nuclear managment" / "x.mp4")
    with pytest.raises(
        UserError, match="unknown class 'nuclear managment': did you mean 'Nuclear Management"
    ):
        list_videos(root, NAMES)


@pytest.mark.parametrize("label", ["3", "-1", "zzz", ""])
def test_label_that_means_no_class(label: str) -> None:
    with pytest.raises(UserError, match=f"here: unknown class '{label}'.* an id 0 to 2"):
        class_id(label, NAMES, "here")


def test_folder_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        source(tmp_path / "nowhere", tmp_path)


def test_folder_without_videos(tmp_path: Path) -> None:
    (tmp_path / "mine" / "0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no video in it: put \.mp4"):
        source(tmp_path / "mine", tmp_path)


def test_video_without_class(root: Path, tmp_path: Path) -> None:
    video(root / "loose.mp4")
    with pytest.raises(UserError, match=r"loose\.mp4 has no class: move it"):
        source(root, tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,class\n0/first.mp4,0\n", "line 1: column 'label' is missing"),
        ("path,label\n0/first.mp4,0\n0/gone.mp4,0\n", "line 3, path '0/gone.mp4': no such file"),
        ("path,label\n../out.mp4,0\n", "'../out.mp4' points outside its root"),
        ("path,label\n0/first.mp4,0\n0/first.mp4,1\n", "line 3, .* listed twice"),
        ("path,label\n0/first.mp4,Viscoelastic Injektion\n", "line 2, label: .* did you mean"),
        ("path,label\n", "no video in it"),
    ],
)
def test_bad_csv(root: Path, tmp_path: Path, table: str, message: str) -> None:
    (root / "labels.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        source(root, tmp_path)


def test_two_csv_files(root: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (root / name).write_text("path,label\n0/first.mp4,0\n")
    with pytest.raises(UserError, match=r"several csv files \(a\.csv, b\.csv\): keep one"):
        source(root, tmp_path)
