"""The funnel of a real curation: its counts in the table, the figure and the sentence below it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from benchmarks.collect.shown import funnel_steps
from benchmarks.report.funnel import HEADER, funnel_chart, funnel_rows
from core.runtime import Runtime
from core.video import write_video
from generator.curation.narrated import NarratedFolder
from generator.curation.stages import Curation, PrivacyFilter
from tests.generator.curation.scenes import eye, moving, with_text
from tests.presets import DYNAMICS_NANO, RESOLUTION_NANO

CLIPS = {
    "a_0": moving(1),
    "a_1": np.repeat(eye(1)[None], 16, axis=0),
    "b_0": with_text(moving(2), "stay tuned folks", (30, 150)),
    "b_1": moving(2, size=(96, 64)),
    "c_0": moving(3),
}


def test_the_funnel_adds_up_in_table_figure_and_words(tmp_path: Path) -> None:
    for clip_id, frames in CLIPS.items():
        write_video(tmp_path / "corpus" / "clips" / f"{clip_id}.mp4", frames)
    with (tmp_path / "corpus" / "clips.csv").open("w", newline="") as file:
        rows = [[clip_id, "A hook turns the lens in the bag."] for clip_id in CLIPS]
        csv.writer(file).writerows([["clip id", "caption"], *rows])
    common = {"infra": {"folder": tmp_path / "cache"}, "runtime": Runtime(workers=1)}
    curation = Curation(
        narrated=NarratedFolder.at(
            tmp_path / "corpus",
            source="made for the test",
            hash_memory=tmp_path / "hashes",
            **common,
        ),
        dynamics=DYNAMICS_NANO,
        resolution=RESOLUTION_NANO,
        **common,
    )
    steps = funnel_steps(curation, PrivacyFilter(clips=curation, **common))
    table = funnel_rows(steps)
    assert all(len(row) == len(HEADER) for row in table)
    removed = {row[1]: (row[2], row[4]) for row in table}
    assert removed == {
        "file can be read": ("-", "0"),
        "large enough": ("low resolution 1", "1"),
        "neither static nor restless": ("static 1", "1"),
        "has a caption": ("-", "0"),
        "no burned-in text": ("text 1", "1"),
    }
    assert [row[5] for row in table] == ["5", "4", "3", "3", "2"]
    assert table[-1][0] == "Ophora-28K" and table[-1][6] == "40.0"
    chart = funnel_chart(steps)
    assert "Of 5 narrated clips 2 are left" in chart.reading
    for label in ("5 (100%)", "4 (80%)", "3 (60%)", "2 (40%)", "no burned-in text"):
        assert label in chart.svg
    assert funnel_chart(steps).svg == chart.svg


def test_a_run_without_curation_has_no_funnel() -> None:
    assert funnel_rows([]) == []
