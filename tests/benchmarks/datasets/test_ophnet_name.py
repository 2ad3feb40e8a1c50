"""What a labelled data set is called: in its manifest and in what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.datasets.taxonomy import Task
from tests.benchmarks.datasets.ophnet_folder import HEADER, place_videos, source, write_csv


@pytest.mark.parametrize(
    ("file", "task", "name"),
    [
        ("OphNet2024_loca_challenge_phase.csv", "phase", "OphNet2024"),
        ("OphNet2024_loca_challenge_phase_trimmed.csv", "phase", "OphNet2024"),
        ("OphSim_loca_challenge.csv", "operation", "OphSim"),
        ("my_eye_2_loca_challenge.csv", "operation", "my_eye_2"),
        ("_loca_challenge_phase.csv", "phase", "hospital"),
    ],
)
def test_a_data_set_has_its_own_name(tmp_path: Path, file: str, task: Task, name: str) -> None:
    root = tmp_path / "hospital"
    header, end = HEADER, ""
    if task == "operation":
        header, end = header + ",operation_id", ",4"
    if "trimmed" in file:
        header, end = header + ",segment_path", ","
    write_csv(root, [f"case_a,0,1,train,5,3{end}"], header, file)
    place_videos(root / "videos", "case_a")
    stage = source(root, tmp_path, task)
    assert stage.name == stage.run()["data"] == name
    assert {clip.source for clip in stage.manifest().clips} == {name}
