"""What is kept of a stage that ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.collect.facts import facts_of
from core.stage import Stage


class LossyStage(Stage):
    """Loses what it is told to; `number` 0: knows nothing of losses."""

    number: int

    def execute(self, folder: Path) -> dict[str, Any]:
        lost = {"unreadable": {"number": self.number, "examples": ["a.mp4"]}}
        return {"clips": 7} | ({"left_out": lost} if self.number else {})


def test_what_a_stage_lost_is_kept_by_cause(tmp_path: Path) -> None:
    stages = [LossyStage(number=n, infra={"folder": str(tmp_path)}) for n in (0, 3)]
    for stage in stages:
        stage.run()
    whole, lossy = map(facts_of, stages)
    assert (whole.left_out, lossy.left_out) == ({}, {"unreadable": 3})
    assert lossy.stage == "LossyStage" and lossy.folder == stages[1].folder.name
    assert lossy.seconds is not None and lossy.seconds >= 0
