"""Labels against the videos that they are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.clip import Split
from core.errors import UserError
from core.video import write_video
from tests.benchmarks.datasets.ophnet_folder import place_videos, source, write_csv
from tests.conftest import grey_frames


def labelled(root: Path, *spans: tuple[float, float], split: Split = "train") -> None:
    """One video of 4 s with those labels, and one without a label beyond its end."""
    rows = [f"case_a,{start},{end},{split},0,6" for start, end in spans]
    write_csv(root, [*rows, "case_b,0,4,train,0,3"])
    for name in ("case_a", "case_b"):
        write_video(root / "videos" / f"{name}.mp4", grey_frames(32))


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize(
    ("start", "end"), [(4.0, 4.5), (6.0, 9.0), (3.0, 5.01)], ids=["at the end", "after", "over"]
)
def test_a_label_outside_its_video_is_an_error_naming_row_and_durations(
    tmp_path: Path, start: float, end: float, split: Split
) -> None:
    labelled(tmp_path / "data", (0, 3), (start, end), split=split)
    where = r"OphNet2024_loca_challenge_phase\.csv, line 3"
    times = rf"the span from {start:g} to {end:g} s is outside videos/case_a\.mp4, which ends at"
    with pytest.raises(UserError, match=rf"{where}: {times} 4\.00 s: correct the rows"):
        source(tmp_path / "data", tmp_path).run()


def test_all_such_labels_are_counted(tmp_path: Path) -> None:
    labelled(tmp_path / "data", (0, 3), (4, 5), (5, 6), (6, 9))
    with pytest.raises(UserError, match=r"line 3: .* 4\.00 s \(3 of 5 labels are like this\):"):
        source(tmp_path / "data", tmp_path).run()


def test_a_label_that_ends_up_to_a_second_late_is_cut_with_a_warning(tmp_path: Path) -> None:
    labelled(tmp_path / "data", (0, 4.01), (1, 4.5), (2, 5))
    result = source(tmp_path / "data", tmp_path).run()
    assert result["warnings"] == [
        "2 of 4 labels end up to 1 s after their video does and are cut (most: 1.00 s, line 4, "
        "videos/case_a.mp4)"
    ]
    assert result["clips"]["train"] == 4


def test_a_file_that_cannot_be_read_is_left_to_who_decodes_it(tmp_path: Path) -> None:
    labelled(tmp_path / "data", (0, 4), (7, 9))
    (tmp_path / "data" / "videos" / "case_a.mp4").unlink()
    place_videos(tmp_path / "data" / "videos", "case_a")
    assert source(tmp_path / "data", tmp_path).run()["clips"]["train"] == 3
