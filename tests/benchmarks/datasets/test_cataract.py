"""Cataract-1K and Cataract-101 in their published forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.cataract.dataset import CataractPhases
from benchmarks.datasets.cataract.published import read_cataract_1k, read_cataract_101, splits_of
from benchmarks.datasets.families import read_at
from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.labels import Taxonomy
from core.errors import UserError
from core.runtime import Runtime
from tests.benchmarks.datasets.cataract_folders import cataract_1k, cataract_101


def stage(root: Path, taxonomy: str, folder: Path, **fields: Any) -> LabelledClips:
    how: dict[str, Any] = {
        "task": "phase",
        "taxonomy": Taxonomy.load(taxonomy),
        "hash_memory": folder / "hashes.json",
        "infra": {"folder": folder / "cache"},
        "runtime": Runtime(workers=1),
    }
    return read_at(root, **how | fields)


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("write", "taxonomy", "name", "classes", "first"),
    [
        (cataract_1k, "cataract_1k", "Cataract-1K", 12, (0.0, 0.4)),
        (cataract_101, "cataract_101", "Cataract-101", 10, (0.5, 1.0)),
    ],
)
def test_a_published_folder_is_a_labelled_data_set(
    tmp_path: Path, write: Any, taxonomy: str, name: str, classes: int, first: tuple[float, float]
) -> None:
    root = write(tmp_path / "data")
    data = stage(root, taxonomy, tmp_path)
    assert isinstance(data, CataractPhases) and data.name == name
    result = data.run()
    assert result["num_classes"] == classes and result["warnings"] == []
    assert result["clips"] == dict.fromkeys(("train", "val", "test"), classes)  # a case each
    manifest = data.manifest()
    clips = [clip for clip in manifest.clips if clip.video_id == manifest.clips[0].video_id]
    assert [clip.label("phase") for clip in clips] == list(range(classes))
    assert (clips[0].start_s, clips[0].end_s) == first
    assert all(manifest.path_of(clip).is_file() for clip in clips)
    change = ("0.4", "0.3") if taxonomy == "cataract_1k" else (";5;", ";4;")
    edit(next(root.rglob("*annotations*.csv")), *change)
    assert stage(root, taxonomy, tmp_path).infra.uid() != data.infra.uid()


def test_the_last_phase_of_cataract_101_ends_with_its_video(tmp_path: Path) -> None:
    spans, tables = read_cataract_101(cataract_101(tmp_path))
    assert len(tables) == 3 and spans[9].end_s == 5.5 and spans[9].video_id == "case_269"
    assert spans[4].label == "Phacoemulsificiation"  # as published


def test_a_phase_without_length_is_left_out_with_a_warning(tmp_path: Path) -> None:
    """Two phases that start at one frame; the first one has none to itself."""
    root = cataract_101(tmp_path / "data")
    edit(root / "annotations.csv", "269;5;1", "269;10;1")
    result = stage(root, "cataract_101", tmp_path).run()
    assert sum(result["clips"].values()) == 29
    assert result["warnings"][0].startswith("1 of 30 phases have no length: left out (")


def test_splits_are_by_case_and_can_be_given(tmp_path: Path) -> None:
    drawn = splits_of(tmp_path, [f"case_{number}" for number in range(56)])
    counts = [list(drawn.values()).count(split) for split in ("train", "val", "test")]
    assert counts == [34, 11, 11]
    (tmp_path / "splits.csv").write_text("video_id,split\ncase_1,test\n2,train\n")
    assert splits_of(tmp_path, ["case_1", "case_2"]) == {"case_1": "test", "case_2": "train"}
    with pytest.raises(UserError, match="says nothing of case_3"):
        splits_of(tmp_path, ["case_3"])


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("annotations.csv", "269;5;1", "269;5;11", "line 2, Phase '11': not in"),
        ("annotations.csv", "269;5;1", "999;5;1", "line 2, VideoID '999': not in"),
        ("annotations.csv", "269;5;1", "269;x;1", "line 2, FrameNo 'x': not a number"),
        ("annotations.csv", "269;50;10", "269;70;10", "or the video's end comes at 55"),
        ("phases.csv", "3;Rhexis", "3;Rexis", "phase 'Rexis' is no class of the taxonomy"),
        ("videos.csv", "Frames", "Length", "column 'Frames' is missing"),
    ],
)
def test_a_fault_in_cataract_101_is_a_line(
    tmp_path: Path, file: str, old: str, new: str, fault: str
) -> None:
    root = cataract_101(tmp_path / "data")
    edit(root / file, old, new)
    with pytest.raises(UserError) as raised:
        stage(root, "cataract_101", tmp_path)
    assert fault in str(raised.value) and "\n" not in str(raised.value)


def test_faults_in_cataract_1k_are_lines(tmp_path: Path) -> None:
    root = cataract_1k(tmp_path / "data")
    path = root / "annotations" / "case_4687" / "case_4687_annotations_phases.csv"
    text = path.read_text()
    for old, new, fault in (
        (",0.5,0.9", ",0.9,0.5", "endSec 0.5: is before sec 0.9"),
        ("4687,Viscoelastic,5,9,0.5,0.9", "4687,Incision,0,4,0,0.4", "the same span is on"),
    ):
        edit(path, old, new)
        with pytest.raises(UserError, match=fault):
            read_cataract_1k(root)
        path.write_text(text)
    with pytest.raises(UserError, match="use --set taxonomy=cataract_1k"):
        stage(root, "ophnet2024", tmp_path)
    with pytest.raises(UserError, match="has phases only"):
        stage(root, "cataract_1k", tmp_path, task="operation")
    (root / "videos" / "case_4693.mp4").unlink()
    assert stage(root, "cataract_1k", tmp_path).run()["missing_clips"] == 12
    (root / "videos" / "case_4687.mp4").unlink()
    with pytest.raises(UserError, match="2 of 3 videos"):
        stage(root, "cataract_1k", tmp_path)
