"""The curation command: a folder in, two instruction sets out, which can be read again."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.commands.curate import main
from core.video import write_video
from generator.curation.narrated import read_captions
from tests.generator.curation.scenes import eye, moving, with_text

CLIPS = {
    "a_0": moving(1),
    "a_1": np.repeat(eye(1)[None], 16, axis=0),
    "b_0": with_text(moving(2), "stay tuned folks", (30, 150)),
    "c_0": moving(3),
}


def test_a_folder_becomes_two_sets_in_the_published_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip_id, frames in CLIPS.items():
        write_video(tmp_path / "corpus" / "clips" / f"{clip_id}.mp4", frames)
    with (tmp_path / "corpus" / "clips.csv").open("w", newline="") as file:
        rows = [[clip_id, "Hi there. A hook turns the lens in the bag."] for clip_id in CLIPS]
        csv.writer(file).writerows([["clip id", "caption"], *rows])
    out = tmp_path / "out"
    options = ["--corpus-root", str(tmp_path / "corpus"), "--output", str(out)]
    options += ["--results", str(tmp_path / "results"), "--set", "runtime.workers=1"]
    assert main([*options, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count("at most 4 clips;") == 2 and "measured on 4" in said and not out.exists()

    assert main(options) == 0
    table = capsys.readouterr().out
    assert "no burned-in text" in table and "static 1" in table
    kept = {name: read_captions(out / name) for name in ("Ophora-160K", "Ophora-28K")}
    assert list(kept["Ophora-160K"]) == ["a_0", "b_0", "c_0"]
    assert kept["Ophora-28K"] == dict.fromkeys(("a_0", "c_0"), "A hook turns the lens in the bag.")
    clip = out / "Ophora-28K" / "clips" / "a_0.mp4"
    assert clip.samefile(tmp_path / "corpus" / "clips" / "a_0.mp4")
    decided = (out / "Ophora-160K" / "decisions.csv").read_text().splitlines()
    assert len(decided) == 1 + len(CLIPS)
    with (out / "Ophora-28K" / "splits.csv").open(newline="") as file:
        splits = {row["clip id"]: row["split"] for row in csv.DictReader(file)}
    assert splits.keys() == {"a_0", "c_0"} and set(splits.values()) == {"train", "val"}
    again = ["--corpus-root", str(out / "Ophora-28K"), "--output", str(tmp_path / "again")]
    assert main([*again, *options[4:]]) == 0  # what it leaves is what it reads


IDS = ("channel/video_0", "flat_0")


def test_ids_with_folders_other_endings_and_links(tmp_path: Path) -> None:
    clips = tmp_path / "corpus" / "clips"
    write_video(tmp_path / "blobs" / "1f2e", moving(1))  # a hub's cache: names without endings
    write_video(clips / "flat_0.mp4", moving(3))
    (clips / "flat_0.mp4").rename(clips / "flat_0.MKV")
    (clips / "channel").mkdir()
    (clips / "channel" / "video_0.mp4").symlink_to("../../../blobs/1f2e")
    rows = "".join(f"{i},Hi there. A hook turns the lens in the bag.\n" for i in IDS)
    (tmp_path / "corpus" / "clips.csv").write_text("clip id,caption\n" + rows)
    out = tmp_path / "out"
    options = ["--corpus-root", str(tmp_path / "corpus"), "--output", str(out)]
    options += ["--results", str(tmp_path / "results"), "--set", "runtime.workers=1"]
    assert main(options) == 0
    for name in ("Ophora-160K", "Ophora-28K"):
        assert tuple(read_captions(out / name)) == IDS
        files = (out / name / "clips").rglob("*.*")
        assert {path.name for path in files} == {"video_0.mp4", "flat_0.MKV"}
    shared = out / "Ophora-28K" / "clips" / "channel" / "video_0.mp4"
    assert not shared.is_symlink() and shared.samefile(tmp_path / "blobs" / "1f2e")


def test_a_wrong_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus-root", str(tmp_path / "no"), "--output", str(tmp_path / "out")]) == 2
    assert "no: no such folder" in capsys.readouterr().err
