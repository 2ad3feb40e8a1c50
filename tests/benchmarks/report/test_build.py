"""Tables, figures and page from a record and the files beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import run_benchmark
from augment.arm import REAL_TEST
from benchmarks.collect.players import class_scenes
from benchmarks.collect.shown import mistakes_of
from benchmarks.config.files import load_config
from benchmarks.report.build import draw
from benchmarks.report.curves import Curve
from benchmarks.report.funnel import Step
from benchmarks.report.shown import Shown, write_shown
from benchmarks.scoring.evaluation import save_cell
from benchmarks.scoring.record import ClipSet, Record, write_record
from benchmarks.scoring.scores import Predictions
from core.clip import Clip, Manifest
from core.video import write_video
from tests.benchmarks.records import audit, make_record, stage
from tests.benchmarks.scores import make_cell, write_predictions

ARMS = {"Source": 0.4, "Source + Bora": 0.42, "Source + Ophora": 0.6}


def manifest(root: Path, level: int) -> Manifest:
    write_video(root / "clip.mp4", np.full((9, 64, 96, 3), level, np.uint8))
    clip = Clip(
        clip_id="c", video_id="v", path="clip.mp4", labels={"phase": 3}, source="s", caption="asked"
    )
    return Manifest(root=root, clips=(clip,))


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A run with all that a page shows, its files in tmp_path/run."""
    folder, cache = tmp_path / "run", tmp_path / "cache"
    cells = [make_cell(cache, arm, accuracy=accuracy) for arm, accuracy in ARMS.items()]
    for cell in cells:
        save_cell(folder, cell)
    write_predictions(cache / "seen", accuracy=0.5, seed=0)
    seen = Predictions.load(cache / "seen", "test")
    sources = {
        REAL_TEST.name: manifest(cache / "real", 200),
        "Ophora": manifest(cache / "made", 50),
    }
    names = [f"p{k}" for k in range(52)]
    shown = Shown(
        scenes=tuple(class_scenes(sources, "phase", names, folder)),
        curves={str(cell.path): Curve(cell.arm, 0, (1, 2), (5.0, 6.5)) for cell in cells},
        mistakes={str(cell.path): mistakes_of(seen.logits, seen.labels) for cell in cells},
        groups={"phase": {0: "head"}},
        funnel=(Step("Ophora-160K", "has a caption", 9, {"no caption": 2}),),
    )
    write_shown(shown, folder)
    entry = {"value": 9.0, "n": 9, "encoder": "x", "num_frames": 9, "width": 96, "height": 64}
    metrics = {"fvd_x_9x9": entry, "kvd_x_9x9": entry}
    quality = {"fid_x_8x9": {"value": 3.0, "n": 8, "encoder": "x"}}
    clips = ClipSet(520, 10.0, metrics, {"SlowFast": {"clips": 520, "top1": 12.5, "top5": 40.0}})
    return make_record(
        load_config("smoke", ["chosen_classifiers=[slowfast]"]),
        cells,
        arms={"phase": {REAL_TEST.label: clips} | {arm: clips for arm in ARMS if arm != "Source"}},
        quality=[{"model": "Ophora", "fine_tuned_on": "Ophora-160K", "metrics": quality}],
        audits=[audit("Source + Bora", "text in 9% of the clips")],
        stages=[stage("OphNet", missing=2), stage("Curation")],
    )


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_page_holds_all_that_the_record_does(tmp_path: Path, record: Record) -> None:
    tables = draw(record, tmp_path / "run")
    assert tables.table2 is not None and tables.contrasts is not None and tables.table1 is not None
    notes = " ".join(tables.table2.notes)
    assert "Left out, by stage and cause: OphNet: missing 2." in notes
    assert "Audits: Bora failed (text in 9% of the clips); Ophora not run." in notes
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:video/mp4;base64,") == 2 and "asked" in page
    assert {path.stem for path in (tmp_path / "run" / "figures").iterdir()} == {
        "accuracy_phase", "gain_phase_slowfast_matched_epochs", "fvd_phase_slowfast_matched_epochs",
        "confusion_phase_slowfast", "curves_phase_slowfast_matched_epochs", "curation_funnel",
    }  # fmt: skip
    for heading in ("Which classes gain?", "The commonest mistakes", "Curation, step by step"):
        assert heading in page


def test_a_run_is_drawn_again_from_its_folder_alone(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    draw(record, folder)
    write_record(record, folder)
    written = contents(folder)
    (tmp_path / "cache").rename(tmp_path / "gone")
    for name in ("report.html", "table2.md", "figures/curation_funnel.svg"):
        (folder / name).unlink()
    moved = folder.rename(tmp_path / "moved")
    assert run_benchmark.main(["--report", str(moved)]) == 0
    assert contents(moved) == written
    assert written["table2.md"].decode() in capsys.readouterr().out
    next((moved / "clips").iterdir()).unlink()
    assert run_benchmark.main(["--report", str(moved)]) == 2
    assert run_benchmark.main(["--report", str(tmp_path)]) == 2
    missing, unknown = capsys.readouterr().err.splitlines()[-2:]
    assert "mp4 is missing: copy the whole folder" in missing
    assert "no run.json: give the folder of a finished run" in unknown


def test_a_record_with_a_part_of_another_form_is_refused(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    write_record(record, folder)
    changed = json.loads((folder / "run.json").read_text()) | {"datasets": {"phase": {}}}
    (folder / "run.json").write_text(json.dumps(changed))
    assert run_benchmark.main(["--report", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run.json or a file beside it is not as a run of this version wrote it (Key" in line


def test_clips_of_an_earlier_run_are_removed(tmp_path: Path, record: Record) -> None:
    folder = tmp_path / "run"
    stale = folder / "clips" / "scene009-00.mp4"
    stale.write_bytes(b"of another run")
    one = class_scenes(
        {REAL_TEST.name: manifest(tmp_path / "real", 90)}, "phase", ["p"] * 52, folder
    )
    write_shown(Shown(scenes=tuple(one)), folder)
    assert [path.name for path in (folder / "clips").iterdir()] == ["scene000-00.mp4"]
