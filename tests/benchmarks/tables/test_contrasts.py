"""Differences between two arms: the tests of Table 2 with another control, and their files."""

import csv
import io
from pathlib import Path

import pytest

from augment.arm import SOURCE
from benchmarks.scoring.evaluation import Cell
from benchmarks.tables.build import build_contrasts, build_table2
from benchmarks.tables.plain import csv_text
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import latex, markdown, write_tables
from benchmarks.tables.schema import Table2, Tables
from core.errors import UserError
from tests.benchmarks.scores import arm_of, make_cell


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    folder = tmp_path_factory.mktemp("predictions")
    arms = {"Source": 0.40, "Source + Bora": 0.42, "Source + Ophora": 0.60}
    return [make_cell(folder, arm, accuracy=accuracy) for arm, accuracy in arms.items()]


def table2_of(cells: list[Cell]) -> Table2:
    return build_table2(cells, data="OphSim", scale="nano", recipe="reference")


def test_contrasts_are_table_2_with_another_control(tmp_path: Path) -> None:
    """A contrast is the difference that Table 2 would show if its control were called Source."""
    arms = {"Source + Bora": 0.42, "Source + Ophora": 0.80, "Source + mine": 0.43}
    cells = [
        make_cell(tmp_path, arm, accuracy=accuracy, seed=seed, schedule=schedule)
        for arm, accuracy in arms.items()
        for seed in range(3)
        for schedule in ("matched_epochs", "matched_steps")
    ]
    bora, ophora, mine = map(arm_of, arms)
    pairs, absent = [(ophora, bora), (mine, bora)], (arm_of("none"), bora)
    table = build_contrasts(cells, [*pairs, absent], data="OphSim", scale="nano")
    assert table is not None and len(table.rows) == 2 * 2 * 2
    renamed = [
        cell.model_copy(update={"arm": SOURCE} if cell.arm == bora else {}) for cell in cells
    ]
    expected = {
        (row.schedule, row.split, row.arm): row.delta_vs_source
        for row in table2_of(renamed).rows
        if row.delta_vs_source
    }
    found = {(row.schedule, row.split, row.first): row.difference for row in table.rows}
    assert found == expected  # corrected over all eight, as there
    assert {row.second for row in table.rows} == {bora}
    verdicts = {row.first: set() for row in table.rows}
    for row in table.rows:
        verdicts[row.first].add(row.difference.significant)
    assert verdicts == {ophora: {True}, mine: {False}}
    text = markdown(table)
    assert "all 8 phase differences in this table" in text and "Data: OphSim, scale: nano" in text
    lines = [line for line in text.splitlines() if "| Ophora | Bora" in " ".join(line.split())]
    assert len(lines) == 4 and all("*" in line for line in lines)
    stored = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert [float(line["delta_p_holm"]) for line in stored] == [
        row.difference.p_holm for row in table.rows
    ]
    assert r"\toprule" in latex(table)
    assert build_contrasts(cells, [absent], data="OphSim", scale="nano") is None


def test_arms_that_cannot_be_paired_are_not_contrasted(tmp_path: Path, cells: list[Cell]) -> None:
    other = make_cell(tmp_path, "Source + other", cases=29)
    pair = (arm_of("other"), arm_of("Bora"))
    with pytest.raises(UserError, match=r"other clips than Source \+ Bora"):
        build_contrasts([*cells, other], [pair], data="OphSim", scale="nano")


def test_tables_of_an_earlier_run_do_not_stay(tmp_path: Path, cells: list[Cell]) -> None:
    pair = (arm_of("Ophora"), arm_of("Bora"))
    contrasts = build_contrasts(cells, [pair], data="OphSim", scale="nano")
    quality = build_table1(
        [("Ophora", None, {"fid_x": {"value": 3.0, "n": 256, "encoder": "x"}})],
        data="OphSim",
        scale="nano",
        protocol="p",
    )
    write_tables(Tables(table2_of(cells), contrasts, quality), tmp_path)
    assert len(list(tmp_path.glob("contrasts.*"))) == 4 and len(list(tmp_path.iterdir())) == 12
    write_tables(Tables(table2_of(cells)), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"table2"}
