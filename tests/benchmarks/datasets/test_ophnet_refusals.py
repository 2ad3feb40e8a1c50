"""The OphNet adapter refuses bad files: one line with place, value and cure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import UserError
from tests.benchmarks.datasets.ophnet_folder import HEADER, ROWS, source, write_csv


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("case_a,5,4.5,train,0,6", "line 3, end '4.5': must come after start '5'"),
        ("case_a,5,5,train,0,6", "line 3, end '5': must come after start '5'"),
        ("case_a,5,x,train,0,6", "line 3, end 'x': not a number"),
        ("case_a,,5,train,0,6", "line 3, start '': not a number"),
        ("case_a,-1,5,train,0,6", "line 3, start '-1': must be 0 or more"),
        ("case_a,5,inf,train,0,6", "line 3, end 'inf': must be 0 or more"),
        ("case_a,5,nan,train,0,6", "line 3, end 'nan': must be 0 or more"),
        ("case_a,5,6,train,0,52", "line 3, phase_id '52': out of range 0 to 51"),
        ("case_a,5,6,train,0,-1", "line 3, phase_id '-1': out of range 0 to 51"),
        ("case_a,5,6,train,0,six", "line 3, phase_id 'six': not a whole number"),
        ("case_a,5,6,trian,0,6", "line 3, split 'trian': unknown split, did you mean 'train'?"),
        ("case_a,5,6,test,0,6", "line 3, split 'test': video 'case_a' is in 'train' on line 2"),
        ("case_a,0,1.5,train,0,6", "line 3, start 0.0: the same span of video 'case_a' is on line"),
        ("../case_a,5,6,train,0,6", "line 3, video_id '../case_a': must be a video's file name"),
        (",5,6,train,0,6", "line 3, video_id '': must be"),
        ("case_a,5,6,train,0", "line 3: 5 cells where the header has 6"),
    ],
)
def test_bad_row_is_one_line_with_place_value_and_cure(
    root: Path, tmp_path: Path, row: str, message: str
) -> None:
    path = write_csv(root, [ROWS[0], row])
    with pytest.raises(UserError) as raised:
        source(root, tmp_path)
    assert f"{path}, {message}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_operation_id_out_of_range(root: Path, tmp_path: Path) -> None:
    name = "OphNet2024_loca_challenge.csv"
    write_csv(root, ["case_a,0,1,train,5,3,107"], HEADER + ",operation_id", name)
    with pytest.raises(UserError, match="operation_id '107': out of range 0 to 106"):
        source(root, tmp_path, "operation")


@pytest.mark.parametrize("column", ["video_id", "start", "end", "split", "phase_id"])
def test_missing_column(root: Path, tmp_path: Path, column: str) -> None:
    write_csv(root, ROWS, HEADER.replace(column, f"{column}_"))
    with pytest.raises(UserError, match=f"line 1: column '{column}' is missing: did you mean"):
        source(root, tmp_path)


def test_root_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        source(tmp_path / "nowhere", tmp_path)


def test_no_annotation_file_for_the_task(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \*_loca_challenge\.csv .* put OphNet2024's"):
        source(root, tmp_path, "operation")


def test_two_annotation_files(root: Path, tmp_path: Path) -> None:
    write_csv(root, ROWS, name="Mine_loca_challenge_phase.csv")
    with pytest.raises(UserError, match=r"several annotation files .* keep one"):
        source(root, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: column 'video_id' is missing: the file is empty"),
        (HEADER.encode(), "no rows below the header"),
        (b"\xff\xfe" + HEADER.encode("utf-16-le"), "byte 0 is not UTF-8"),
    ],
)
def test_empty_or_foreign_annotation_file(
    root: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    (root / "OphNet2024_loca_challenge_phase.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        source(root, tmp_path)


def test_no_videos_at_all(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "videos")
    with pytest.raises(UserError, match=r"none of the 3 videos .* e\.g\. case_a\.mp4"):
        source(root, tmp_path)
