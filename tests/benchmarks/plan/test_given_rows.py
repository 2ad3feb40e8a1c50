"""Folders of clips as rows of Table 1, and real clips without captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import run_benchmark
from benchmarks.config.files import load_config, row_settings
from benchmarks.datasets.footage import Footage
from benchmarks.plan import Inputs, Plan
from core.errors import UserError
from core.video import write_video

LABELS = ["Endora (w/ Ophora-160K)", "LVDM", "StyleGAN-V", "MoStGAN-V"]


def clips(root: Path, count: int = 4, frames: int = 16) -> Path:
    rng = np.random.default_rng(count)
    for number in range(count):
        start = rng.integers(0, 200, (1, 64, 96, 3))
        moved = start + 3 * np.arange(frames)[:, None, None, None]
        write_video(root / f"sample-{number}.mp4", moved.astype(np.uint8))
    return root


def plan_of(results: Path, *rows: str, corpus: Path | None = None, **changes: Any) -> Plan:
    config = changes.pop("config", "endora")
    given = {"quality.num_clips": 4, **row_settings(rows), **changes}
    overrides = [f"{name}={json.dumps(value)}" for name, value in given.items()]
    return Plan(load_config(config, overrides), Inputs(results, corpus_root=corpus))


def test_a_folder_takes_the_place_of_a_row(tmp_path: Path) -> None:
    folder = clips(tmp_path / "released")
    plan = plan_of(tmp_path / "r", f"stylegan_v={folder}", f"theirs={folder}")
    rows = {row.model: row for row in plan.quality.rows}
    assert list(rows) == [*LABELS, "theirs"]  # the other rows stay
    assert "stylegan_v" not in plan.generators.models and "lvdm" in plan.generators.models
    given = rows["StyleGAN-V"]
    assert (given.folder, given.fine_tuned_on, given.stage.prompted) == ("released", None, False)
    assert isinstance(given.stage.generated, Footage) and given.stage.generated.cut is None
    assert len(given.stage.generated.manifest()) == 4
    assert rows["LVDM"].folder is None and rows["LVDM"].fine_tuned_on == "Ophora-160K"
    alone = plan_of(tmp_path / "r", "mostgan_v", f"stylegan_v={folder}")
    assert [row.model for row in alone.quality.rows] == LABELS[2:]
    assert list(alone.generators.models) == ["mostgan_v"]


def test_bad_rows_are_refused_in_a_line(tmp_path: Path) -> None:
    def fault(*rows: str) -> str:
        with pytest.raises(UserError) as raised:
            plan_of(tmp_path / "r", *rows).check()
        assert "\n" not in str(raised.value)
        return str(raised.value)

    few = clips(tmp_path / "few", count=3)
    line = fault(f"lvdm={few}")
    assert "3 clips, but quality.num_clips is 4" in line and "lvdm=" in line
    assert "no such folder" in fault(f"lvdm={tmp_path / 'absent'}")
    assert "expected NAME=DIR" in fault("lvdm=") and "expected NAME=DIR" in fault("a=b", "a=c")
    assert "name a row, or another" in fault(f"LVDM={few}")
    assert "did you mean 'lvdm'" in fault("lvmd")


def test_clips_without_captions_are_cut_for_those_who_need_none(tmp_path: Path) -> None:
    corpus = clips(tmp_path / "Colonoscopic", count=6, frames=30)
    plan = plan_of(tmp_path / "r", corpus=corpus)
    footage = plan.data.footage
    assert footage is not None and plan.data.curated is footage is plan.data.clean
    assert plan.data.held_out == (footage, "val") and plan.data.held_out_with_text is None
    names = ["Endora (w/ Colonoscopic)", *LABELS[1:]]
    assert [(row.model, row.fine_tuned_on) for row in plan.quality.rows] == [
        (name, "Colonoscopic") for name in names
    ]
    footage.run()
    with pytest.raises(UserError, match=r"num_clips 4: only \d .*clips are held out"):
        plan.check_data()  # before anything is trained
    with pytest.raises(UserError, match="'ophora_tpt' reads captions, and --corpus-root"):
        plan_of(tmp_path / "r", "ophora_tpt", corpus=corpus).check()
    with pytest.raises(UserError, match=r"no clips\.csv in it"):
        plan_of(tmp_path / "r", corpus=corpus, footage=None).check()


def test_smoke_has_a_row_of_each_rival_where_it_makes_all_of_table_2(tmp_path: Path) -> None:
    def rows(*changes: str) -> list[str]:
        plan = Plan(load_config("smoke", changes), Inputs(tmp_path))
        return [row.model for row in plan.quality.rows]

    assert rows()[-3:] == LABELS[1:] and len(rows()) == 6
    assert rows("sources=[source, ophora]") == ["Ophora (TPT-only)", "Ophora"]
    assert rows("sources=[source]") == []
    assert "LVDM" not in rows("quality.rows=[ophora]")


@pytest.mark.slow
def test_given_clips_are_measured_against_clips_without_captions(tmp_path: Path) -> None:
    corpus = clips(tmp_path / "Colonoscopic", count=6, frames=30)
    samples = clips(tmp_path / "samples")
    found = run_benchmark.run(
        "endora",
        rows=[f"stylegan_v={samples}"],
        settings={
            "footage": {"interval": 1, "stride": 4},
            "quality.num_clips": 4,
            "quality.rows": [],
            "runtime.workers": 1,
        },
        corpus_root=corpus,
        results=tmp_path / "results",
    )
    (row,) = found.quality
    assert row["model"] == "StyleGAN-V"
    name = next(key for key in row if key.startswith("is_") and key.endswith("x9"))
    assert row[f"{name}_ci95_low"] <= row[name] <= row[f"{name}_ci95_high"]
    assert row[f"{name}_paper_Colonoscopic"] == 2.12
    assert not any(key.startswith("clipscore") for key in row)
    text = (found.folder / "table1.md").read_text()
    assert "Data: Colonoscopic" in text and "StyleGAN-V (samples)" in text
    assert "2110.70" in text and "stands" not in text
    assert (found.folder / "report.html").is_file()
