"""Runs with other seeds as one: the table of all cells, and what does not belong together."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.commands import merge as command
from benchmarks.commands.merge import merge
from benchmarks.config.files import load_config
from benchmarks.scoring.evaluation import Cell, save_cell
from benchmarks.scoring.record import write_record
from benchmarks.tables.of_run import accuracy_table
from benchmarks.tables.render import write_table
from core.errors import UserError
from core.files import read_json, write_json
from tests.benchmarks.records import audit, make_record, stage
from tests.benchmarks.scores import make_cell

ARMS = {"Source": 0.4, "Source + Ophora": 0.6}
AUDITS = "Audits: Ophora passed."


def cells_in(folder: Path) -> list[Path]:
    return list(folder.glob("cells/*/*/*/seed*.json"))


def write_part(folder: Path, seeds: range, *changes: str, fvd: float = 9.0) -> list[Cell]:
    """A results folder as a run leaves it."""
    cells = [
        make_cell(folder / "predictions", arm, accuracy=accuracy, seed=seed)
        for arm, accuracy in ARMS.items()
        for seed in seeds
    ]
    for cell in cells:
        save_cell(folder, cell)
    own = [f"seeds={len(seeds)}", f"first_seed={seeds[0]}"]
    sources = ["sources=[source,ophora]", "chosen_classifiers=[slowfast]"]
    config = load_config("ophnet_phase", [*sources, *own, *changes])
    metrics = {"fvd_x": {"value": fvd, "n": 9, "encoder": "x", "num_frames": 9} | {
        "width": 96, "height": 64}, "kvd_x": {"value": 1.0}}  # fmt: skip
    shown = {"clips": 520, "clips_per_class": 10.0, "metrics": metrics, "trained_on_source": {}}
    audits = [audit("Source + Ophora")] if fvd == 9 else []
    record = make_record(
        config,
        cells,
        commit=f"commit of {seeds[0]}",
        arms={"phase": {"Source + Ophora": shown}},
        audits=audits,
        stages=[stage("OphNet", missing=1), stage("FrameCache", f"of {seeds[0]}", unreadable=2)],
    )
    write_table(accuracy_table(record, cells), folder, "table2")
    if audits:
        write_json(folder / "audits.json", {})
    write_record(record, folder)
    return cells


def test_the_table_is_that_of_one_run_with_all_seeds(tmp_path: Path) -> None:
    write_part(tmp_path / "a", range(2), fvd=8.5)
    write_part(tmp_path / "b", range(2, 3), "name=b", "arms.oversampled.clips_per_class=7")
    stray = make_cell(tmp_path / "c", "Source + Bora", accuracy=0.2, seed=7)
    save_cell(tmp_path / "b", stray)  # of an earlier run in the same folder
    parts, output = [tmp_path / "a", tmp_path / "b"], tmp_path / "merged"
    merge(parts, output)
    write_part(tmp_path / "whole", range(3))
    whole, found = (read_json(each / "table2.json") for each in (tmp_path / "whole", output))
    assert found["rows"] == whole["rows"]
    assert not (output / "contrasts.md").exists()  # there is one arm beside Source
    assert found["rows"][0]["top1"]["n_seeds"] == 3
    assert AUDITS in found["notes"] and "Synthetic clips: 5 a class" in str(found["notes"])
    assert "Source + Ophora, phase: the parts made clips anew, FVD 8.50 and 9.00." in found["notes"]
    assert len(cells_in(output)) == 6 and (output / "audits.json").is_file()
    assert {file.stem for file in (output / "figures").iterdir()} == {
        "accuracy_phase", "gain_phase_slowfast_matched_epochs",
        "fvd_phase_slowfast_matched_epochs",
    }  # fmt: skip
    lost = "Left out, by stage and cause: OphNet: missing 1; FrameCache: unreadable 4."
    assert lost in found["notes"]  # the data set is that of both
    page = (output / "report.html").read_text()
    assert "commit of 0; commit of 2" in page and lost in page
    record = read_json(output / "run.json")
    assert record["seeds"] == [0, 1, 2] and record["config"]["seeds"] == 3
    assert [part["commit"] for part in record["parts"]] == ["commit of 0", "commit of 2"]
    write_part(tmp_path / "d", range(3, 4))
    merge([output, tmp_path / "d"], tmp_path / "all")  # a merged run is a part as well
    record = read_json(tmp_path / "all" / "run.json")
    assert [part["seeds"] for part in record["parts"]] == [[0, 1], [2], [3]]
    assert record["seeds"] == [0, 1, 2, 3] and len(cells_in(tmp_path / "all")) == 8
    before = (output / "table2.json").read_bytes()
    merge(parts, output)
    assert (output / "table2.json").read_bytes() == before


def spoil_data(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", record | {"data": "OphNet2024"})


def spoil_config(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", record | {"config": {"name": "x"}})


def forget_machine(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    del record["machine"]
    write_json(folder / "run.json", record)


def lose_a_cell(folder: Path) -> None:
    next(folder.glob("cells/*/*/*/*.json")).unlink()


@pytest.mark.parametrize(
    ("changes", "spoil", "message"),
    [
        (["synthesis.clips_per_class=3"], None, r"b: synthesis is not as in .*a: not one run"),
        ([], spoil_data, r"b: data OphNet2024, not as in .*a$"),
        ([], spoil_config, r"b: no run of this version .*: run it again"),
        ([], lambda folder: (folder / "run.json").unlink(), r"give the folder of a finished run"),
        (["first_seed=1"], None, r"a seed appears twice"),
        ([], forget_machine, r"b: run\.json has no `machine`: run it again"),
        ([], lose_a_cell, r"seed2\.json is missing: copy the whole folder"),
    ],
)
def test_what_is_not_one_run_is_refused(
    tmp_path: Path, changes: list[str], spoil: Callable[[Path], None] | None, message: str
) -> None:
    write_part(tmp_path / "a", range(2))
    write_part(
        tmp_path / "b", range(1, 2) if changes == ["first_seed=1"] else range(2, 3), *changes
    )
    if spoil is not None:
        spoil(tmp_path / "b")
    with pytest.raises(UserError, match=message):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_command_never_writes_over_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = tmp_path / "a"
    write_part(one, range(1))
    for arguments, message in (
        ([str(one), str(one), "--output", str(one)], "is one of the runs; name another folder"),
        ([str(one), "--output", str(tmp_path / "m")], "give at least two results folders"),
    ):
        monkeypatch.setattr(sys, "argv", ["merge", *arguments])
        assert command.main() == 2
        assert message in capsys.readouterr().err


def test_clips_that_follow_the_first_seed_are_refused(tmp_path: Path) -> None:
    changes = ["sources=[source,ophora,confident]"]
    for name, seeds in (("a", range(1)), ("b", range(1, 2))):
        write_part(tmp_path / name, seeds, *changes)
    with pytest.raises(UserError, match=r"arm confident: its clips follow each run's first seed"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    changes.append("arms.confident.seed=0")
    for name, seeds in (("c", range(1)), ("d", range(1, 2))):
        write_part(tmp_path / name, seeds, *changes)
    merge([tmp_path / "c", tmp_path / "d"], tmp_path / "merged")


def test_an_arm_of_the_run_that_differs_is_refused(tmp_path: Path) -> None:
    changes = ["sources=[source,ophora,oversampled]", "arms.oversampled.clips_per_class=5"]
    write_part(tmp_path / "a", range(1), *changes)
    write_part(tmp_path / "b", range(1, 2), changes[0], "arms.oversampled.clips_per_class=7")
    with pytest.raises(UserError, match=r"b: arms is not as in .*a: not one run$"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
