"""What Table 1's rows are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from augment.synthesis import CaptionSynthesis
from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from core.video import write_video
from generator.curation.stages import PrivacyFilter


def test_clips_with_text_are_a_second_reference_where_there_are_any(tmp_path: Path) -> None:
    def references(*changes: str, corpus: Path | None = None) -> tuple[object, object, object]:
        plan = Plan(load_config("smoke", list(changes)), Inputs(tmp_path, corpus_root=corpus))
        row = plan.quality.rows[0].stage
        return row.real, row.with_text, row.real_split

    clean, none, _ = references()
    assert none is None and isinstance(clean, PrivacyFilter)  # no clip is drawn with text
    clean, before, split = references("quality.corpus.mix.text_share=0.3")
    assert isinstance(clean, PrivacyFilter) and before == clean.clips and split is None
    root = tmp_path / "corpus"
    write_video(root / "clips" / "a_0.mp4", np.zeros((8, 64, 96, 3), np.uint8))
    (root / "clips.csv").write_text("clip id,caption\na_0,a lens\n")
    clean, before, split = references(corpus=root)
    assert isinstance(clean, PrivacyFilter) and before == clean.clips and split == "val"


def test_rows_that_are_none_leave_table_1_out(tmp_path: Path) -> None:
    def models(rows: str) -> list[str]:
        plan = Plan(load_config("smoke", [f"quality.rows={rows}"]), Inputs(tmp_path))
        made = [stage for stage in plan.tower() if isinstance(stage, CaptionSynthesis)]
        assert len(made) == len(plan.quality.rows)
        return [row.model for row in plan.quality.rows]

    assert len(models("null")) == 6
    assert models("[ophora]") == ["Ophora"]
    assert models("[]") == []
