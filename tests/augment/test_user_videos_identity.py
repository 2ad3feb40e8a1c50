"""What makes the key of a user's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.augment.own_folder import source, video

# --- identity -----------------------------------------------------------------------------------


def test_two_folders_at_one_path_never_share_a_result(root: Path, tmp_path: Path) -> None:
    first = source(root, tmp_path)
    assert first.run()["per_class"] == {"0": 1, "2": 1}
    other = video(tmp_path / "other" / "1" / "first.mp4").parents[1]
    shutil.rmtree(root)
    other.rename(root)
    second = source(root, tmp_path)
    assert second.infra.uid() != first.infra.uid()
    assert second.run()["per_class"] == {"1": 1}


def test_same_videos_under_another_label_are_another_source(root: Path, tmp_path: Path) -> None:
    before = source(root, tmp_path).infra.uid()
    (root / "0").rename(root / "1")
    assert source(root, tmp_path).infra.uid() != before


def test_csv_label_is_part_of_the_identity(root: Path, tmp_path: Path) -> None:
    table = root / "labels.csv"
    table.write_text("path,label\n0/first.mp4,0\n")
    before = source(root, tmp_path).infra.uid()
    table.write_text("path,label\n0/first.mp4,1\n")  # same size, written at once
    assert source(root, tmp_path).infra.uid() != before


def test_moved_folder_keeps_its_key_and_is_found(root: Path, tmp_path: Path) -> None:
    before = source(root, tmp_path)
    before.run()
    moved = root.rename(tmp_path / "moved")
    after = source(moved, tmp_path)
    assert after.infra.uid() == before.infra.uid()
    assert all(after.manifest().path_of(clip).is_file() for clip in after.manifest().clips)
