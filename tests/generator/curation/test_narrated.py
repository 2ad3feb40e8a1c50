"""A corpus on disk: one list that is hashed and read, in whatever layout downloads leave."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import core.files
from core.errors import UserError
from core.files import UNKNOWN
from core.runtime import Runtime
from generator.curation.narrated import NarratedFolder, list_narrated
from tests.core.test_files_contents import settle


def corpus(root: Path, *names: str, ids: tuple[str, ...] = ()) -> Path:
    """Listing and hashing open no video, so any bytes do."""
    for name in names:
        path = root / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    listed = ids or tuple(str(Path(name).with_suffix("")) for name in names)
    root.mkdir(exist_ok=True)
    text = "".join(f"{clip_id},what is done\n" for clip_id in listed)
    (root / "clips.csv").write_text("clip id,caption\n" + text)
    return root


def at(root: Path, tmp_path: Path, *, read: bool = True) -> NarratedFolder:
    return NarratedFolder.at(
        root,
        source="corpus",
        hash_memory=tmp_path / "hashes.json",
        infra={"folder": tmp_path / "cache"},
        runtime=Runtime(workers=1),
        read=read,
    )


def test_a_replaced_clip_in_a_nested_folder_is_another_corpus(tmp_path: Path) -> None:
    root = corpus(tmp_path / "corpus", "channel/deep/video_0.mp4", "channel/video_1.mp4", "a_0.mp4")
    first = at(root, tmp_path)
    assert [clip.path for clip in first.manifest().clips] == [
        "clips/channel/deep/video_0.mp4",
        "clips/channel/video_1.mp4",
        "clips/a_0.mp4",
    ]
    assert first.manifest().clips[0].video_id == "channel/deep/video"
    keys = {first.infra.uid()}
    for name in ("channel/deep/video_0.mp4", "channel/video_1.mp4", "a_0.mp4"):
        (root / "clips" / name).write_bytes(b"x" * len(name))
        keys.add(at(root, tmp_path).infra.uid())
    assert len(keys) == 4
    (root / "clips" / "channel" / "unlisted_0.mp4").write_bytes(b"no row, so nobody reads it")
    assert at(root, tmp_path).infra.uid() in keys


def test_what_is_hashed_is_what_the_manifest_names(tmp_path: Path) -> None:
    root = corpus(tmp_path / "corpus", "a/b_0.MKV", "c_0.webm", "d_0.mp4")
    listing, manifest = list_narrated(root), at(root, tmp_path).manifest()
    assert listing.files[1:] == [manifest.path_of(clip) for clip in manifest.clips]
    assert listing.files[0] == root / "clips.csv"


def test_links_of_a_hub_snapshot_work(tmp_path: Path) -> None:
    root = corpus(tmp_path / "plain", "a/b_0.mp4", "c_0.mp4")
    snapshot = corpus(tmp_path / "snapshot", ids=("a/b_0", "c_0"))
    (snapshot / "clips" / "a").mkdir(parents=True)
    for name in ("a/b_0.mp4", "c_0.mp4"):
        (snapshot / "clips" / name).symlink_to(root / "clips" / name)
    assert at(snapshot, tmp_path).infra.uid() == at(root, tmp_path).infra.uid()
    assert len(at(snapshot, tmp_path).manifest()) == 2
    shutil.move(snapshot / "clips", tmp_path / "disk")
    (snapshot / "clips").symlink_to(tmp_path / "disk")
    assert at(snapshot, tmp_path).infra.uid() == at(root, tmp_path).infra.uid()


def test_one_missing_clip_is_counted_and_more_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a_{number}.mp4" for number in range(150)]
    root = corpus(tmp_path / "corpus", *names)
    (root / "clips" / "a_3.mp4").unlink()
    stage = at(root, tmp_path)
    result = stage.run()
    assert result["left_out"] == {"no file": {"number": 1, "examples": ["a_3"]}}
    assert (stage.folder / "missing.txt").read_text() == "a_3\n"
    assert "1 of 150 clips of" in capsys.readouterr().err
    (root / "clips" / "a_4.mp4").unlink()
    with pytest.raises(UserError, match=r"2 of 150 .*no file \(2: a_3, a_4\); finish the download"):
        at(root, tmp_path)


def test_a_plan_of_a_large_corpus_reads_no_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = corpus(tmp_path / "corpus", *(f"c{n % 7}/v{n}_0.mp4" for n in range(400)))
    settle()
    read: list[str] = []
    whole = core.files.sha256_of_file
    monkeypatch.setattr(
        core.files, "sha256_of_file", lambda path: read.append(path.name) or whole(path)
    )
    assert at(root, tmp_path, read=False).content_sha256 == UNKNOWN and not read
    first = at(root, tmp_path)
    assert len(read) == 401
    for reading in (False, True):  # the next plan, the next run
        assert at(root, tmp_path, read=reading).content_sha256 == first.content_sha256
    assert len(read) == 401
    (root / "clips" / "c0" / "v7_0.mp4").write_bytes(b"replaced")
    settle()
    assert at(root, tmp_path).content_sha256 != first.content_sha256
    assert read[401:] == ["v7_0.mp4"]
