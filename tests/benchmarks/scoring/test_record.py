"""The record of a run: written, read, and refused where it is of another form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from augment.arm import REAL_TEST
from benchmarks.config.files import load_config
from benchmarks.scoring.evaluation import save_cell
from benchmarks.scoring.record import (
    ClipSet,
    MergedRecord,
    left_out,
    outcome,
    read_cells,
    read_record,
    write_record,
)
from core.errors import UserError
from tests.benchmarks.records import audit, make_record, stage
from tests.benchmarks.scores import arm_of, make_cell

CLIPS = ClipSet(520, 10.0, {"fvd_x": {"value": 9.25, "n": 9}}, {})


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    config = load_config("smoke")
    record = make_record(
        config,
        [],
        arms={"phase": {REAL_TEST.label: CLIPS, "Source + Bora": CLIPS, "Only Ophora": CLIPS}},
        sweeps={"ophora": [arm_of("ten"), arm_of("Ophora")]},
        audits=[audit("Source + Bora", "1 clip like val or test clips")],
        stages=[stage("OphNet", missing=1)],
    )
    write_record(record, tmp_path)
    found = read_record(tmp_path)
    assert found == record
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["config"] == config.model_dump(mode="json", exclude={"runtime", "cluster"})
    assert found.synthetic_arms == [("phase", arm_of("Bora")), ("phase", arm_of("Only Ophora"))]
    outcomes = [outcome(found.audit_of(*arm)) for arm in found.synthetic_arms]
    assert outcomes == ["failed", "not run"]


def test_inputs_that_were_lost_count_once_by_stage_and_cause() -> None:
    frames = stage("FrameCache", "of clips", unreadable=2), stage("FrameCache", "of arm", short=1)
    config, data = load_config("smoke"), stage("OphNet", missing=3)
    one = make_record(config, [], stages=[data, *frames])
    assert left_out(one) == {"OphNet": {"missing": 3}, "FrameCache": {"unreadable": 2, "short": 1}}
    other = make_record(config, [], stages=[data, stage("Fine")])
    shared = one.model_dump(include=set(MergedRecord.model_fields) - {"parts"})
    merged = MergedRecord(**shared, parts=(*one.parts, *other.parts))
    assert left_out(merged) == left_out(one)  # the data set is that of both


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.pop(key)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("quality"), r"run\.json has no `quality`: run it again$"),
        (without("stages"), r"run\.json has no `stages`: run it again$"),
        (lambda content: content.update(cells=3), r"no run of this version \(cells: .*\): run it"),
        (lambda content: content.update(parts=[]), r"no run of this version \(.*\): run it again$"),
        (lambda content: content["config"].pop("clip"), r"no run of this version \(config\.clip: "),
    ],
)
def test_a_record_of_another_form_is_refused_in_one_line(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], object], message: str
) -> None:
    write_record(make_record(load_config("smoke"), []), tmp_path)
    content = json.loads((tmp_path / "run.json").read_text())
    spoil(content)
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as found:
        read_record(tmp_path)
    assert "\n" not in str(found.value)


def test_cells_are_those_that_the_record_names(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, arm) for arm in ("Source + Bora", "Source")]
    for cell in [*cells, make_cell(tmp_path, "Source + mine")]:  # the last is of an earlier run
        save_cell(tmp_path, cell)
    record = make_record(load_config("smoke"), cells)
    assert read_cells(record, tmp_path) == cells
    (tmp_path / cells[0].path).unlink()
    with pytest.raises(UserError, match=r"bora/seed0\.json is missing: copy the whole folder"):
        read_cells(record, tmp_path)
    with pytest.raises(UserError, match=r"no run\.json: give the folder of a finished run"):
        read_record(tmp_path)
