"""Both tables: schema of the contract, the paper's numbers, text in four formats."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pydantic
import pytest

from benchmarks.report.compare import accuracy_rows, read_runs
from benchmarks.scoring.evaluation import Cell
from benchmarks.tables.build import build_table2
from benchmarks.tables.plain import csv_text
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import latex, markdown, write_table
from benchmarks.tables.schema import AccuracyRow, Delta, Table2
from core.errors import UserError
from tests.benchmarks.scores import arm_of, make_cell
from tests.benchmarks.tables.conftest import ARMS
from tests.benchmarks.tables.test_table1 import metric, table1


def table2(cells: list[Cell], **fields: Any) -> Table2:
    return build_table2(
        cells, **({"data": "OphSim", "scale": "nano", "recipe": "reference"} | fields)
    )


def test_rows_follow_the_contract(cells: list[Cell]) -> None:
    table = table2(cells).model_dump(mode="json")
    assert {"data", "scale", "recipe", "rows"} <= set(table)
    assert len(table["rows"]) == 4 * 2 * 2
    row = table["rows"][0]
    assert list(row) == [
        "task", "split", "schedule", "training_data", "arm", "classifier", "top1",
        "top5", "macro_f1", "f1_papers", "delta_vs_source", "audit",
    ]  # fmt: skip
    assert list(row["top1"]) == ["mean", "std", "ci95", "n_seeds", "paper"]
    assert [(r["split"], r["training_data"], r["classifier"]) for r in table["rows"][:3]] == [
        ("val", "Source", "SlowFast"),
        ("val", "Source", "MViTv2"),
        ("val", "Source + Bora", "SlowFast"),
    ]
    ophora = next(r for r in table["rows"] if r["training_data"] == "Source + Ophora")
    assert list(ophora["delta_vs_source"]) == ["top1", "ci95", "p_value", "p_holm"]
    for value in (ophora["top1"]["mean"], *ophora["top1"]["ci95"]):
        assert value == round(value, 2)


def test_numbers_are_the_cells_numbers_and_the_paper_s(cells: list[Cell]) -> None:
    rows = {(r.training_data, r.classifier, r.split): r for r in table2(cells).rows}
    for cell in cells:
        for split in ("val", "test"):
            row = rows[cell.arm.label, cell.classifier, split]
            assert row.top1.mean == cell.splits[split].top1
            assert row.top5.mean == cell.splits[split].top5
            assert row.top1.std is None and row.top1.n_seeds == 1
            assert row.top1.ci95[0] < row.top1.mean < row.top1.ci95[1]
    assert rows["Source + Ophora", "MViTv2", "test"].top5.paper == 78.56
    assert rows["Source", "SlowFast", "val"].top1.paper == 34.55
    assert rows["Source + mine", "SlowFast", "test"].top1.paper is None
    delta = rows["Source + Ophora", "SlowFast", "test"].delta_vs_source
    difference = ARMS["Source + Ophora"] - ARMS["Source"]
    assert delta is not None and abs(delta.top1 / 100 - difference) < 0.1
    assert delta.ci95[0] > 0 and delta.p_value < 0.05
    assert rows["Source", "SlowFast", "test"].delta_vs_source is None


def test_several_seeds_give_mean_and_spread(tmp_path: Path) -> None:
    arms = [("Source", 0.4), ("Source + Ophora", 0.6)]
    cells = [
        make_cell(tmp_path, arm, accuracy=accuracy, seed=seed)
        for arm, accuracy in arms
        for seed in range(3)
    ]
    table = table2(cells)
    row = next(r for r in table.rows if (r.split, r.training_data) == ("test", "Source"))
    values = [cell.splits["test"].top1 for cell in cells[:3]]
    assert row.top1.mean == pytest.approx(sum(values) / 3, abs=0.01)
    assert row.top1.std is not None and row.top1.std > 0 and row.top1.n_seeds == 3
    text = markdown(table)
    assert "3 seeds" in text and "single run" not in text and " ± " in text
    assert "t test over cases and seeds" in text and "sign-flip" not in text


def test_p_values_are_corrected_over_the_tests_of_a_task(tmp_path: Path, cells: list[Cell]) -> None:
    """Holm step by step: the smallest of m is multiplied by m, the next by m - 1, ..."""
    operation = [
        make_cell(tmp_path, arm, accuracy=accuracy, task="operation")
        for arm, accuracy in (("Source", 0.40), ("Source + mine", 0.55))
    ]
    table = table2([*cells, *operation])
    for task, tests in (("phase", 12), ("operation", 2)):
        found = [r.delta_vs_source for r in table.rows if r.task == task and r.delta_vs_source]
        assert len(found) == tests
        largest = 0.0
        for step, delta in enumerate(sorted(found, key=lambda d: d.p_value)):
            largest = max(largest, min(1.0, delta.p_value * (tests - step)))
            assert delta.p_holm == pytest.approx(largest, abs=0.0051)
    assert {d.significant for r in table.rows if (d := r.delta_vs_source)} == {True, False}
    assert "corrected for all 12 phase and for all 2 operation differences" in markdown(table)


def test_marks_are_alike_in_every_format(cells: list[Cell]) -> None:
    table = table2(cells)
    marked = [bool(d and d.significant) for row in table.rows for d in [row.delta_vs_source]]
    assert any(marked) and not all(marked)
    lines = [line for line in markdown(table).splitlines() if line.startswith("| phase")]
    assert ["*" in line for line in lines] == marked
    lines = [line for line in latex(table).splitlines() if line.startswith(" phase")]
    assert ["*" in line for line in lines] == marked
    stored = csv.DictReader(io.StringIO(csv_text(table)))
    assert [float(line["delta_p_holm"] or 1) < 0.05 for line in stored] == marked
    assert "*: p Holm below 0.05" in markdown(table) and "*: p Holm below 0.05" in latex(table)


def test_compared_runs_keep_their_marks_and_a_table_of_before_is_refused(
    tmp_path: Path, cells: list[Cell]
) -> None:
    table = table2(cells)
    for run in ("one", "two"):
        write_table(table, tmp_path / run, "table2")
    marked = sum(d.significant for row in table.rows if (d := row.delta_vs_source))
    rows = accuracy_rows(read_runs([tmp_path / "one", tmp_path / "two"]))
    assert sum("*" in row[-1] for row in rows) == 2 * marked > 0
    stored = table.model_dump(mode="json")
    del stored["rows"][4]["delta_vs_source"]["p_holm"]
    (tmp_path / "two" / "table2.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"rows\.4\.delta_vs_source\.p_holm.*make it again"):
        read_runs([tmp_path / "one", tmp_path / "two"])


def test_markdown_shows_paper_numbers_and_says_what_they_are(cells: list[Cell]) -> None:
    text = markdown(table2(cells, unreadable=2, notes=["An extra sentence."]))
    for part in (
        "Data: OphSim, scale: nano, single run, recipe: reference",
        "reading A",
        "52 phase ids",
        "Unreadable clips, skipped: 2.",
        "Bora is the one fine-tuned on Ophora-160K",
        "OphNet2024 at full scale",
        "An extra sentence.",
        "Smallest top-1 difference",
        "sign-flip permutation test over cases, two-sided, not corrected.",
    ):
        assert part in text
    line = next(
        line for line in text.splitlines() if "Source + Ophora" in line and "MViTv2" in line
    )
    assert "40.15" in line and "76.52" in line  # val comes first
    mine = next(line for line in text.splitlines() if "Source + mine" in line)
    assert [cell.strip() for cell in mine.split("|")][6] == "–"
    assert "107" not in text  # no operation row, no operation head


def test_operation_rows_name_their_head(tmp_path: Path, cells: list[Cell]) -> None:
    operation = make_cell(tmp_path, task="operation")
    text = markdown(table2([operation, *cells]))
    assert "52 phase ids and 107 operation ids" in text
    assert text.index("| phase") < text.index("| operation")


def test_matched_steps_stand_beside_matched_epochs(tmp_path: Path, cells: list[Cell]) -> None:
    steps = make_cell(tmp_path, "Source + Ophora", accuracy=0.6, schedule="matched_steps")
    table = table2([*cells, steps])
    row = next(r for r in table.rows if (r.schedule, r.split) == ("matched_steps", "test"))
    assert row.delta_vs_source is not None and row.top1.paper is None
    assert "| steps" in markdown(table) and "Matched" not in markdown(table2(cells))


def real_ophora(cell: Cell) -> Cell:
    """The cell, with real clips of other cases for Ophora's."""
    real = cell.arm.model_copy(update={"ceiling": cell.arm.id == "ophora"})
    return cell.model_copy(update={"arm": real})


def test_gains_are_shares_of_what_extra_real_clips_gain(tmp_path: Path, cells: list[Cell]) -> None:
    alone = make_cell(tmp_path, "Only mine", accuracy=0.1)  # adds nothing to Source: no share
    found = table2([*map(real_ophora, cells), alone])
    notes = [note for note in found.notes if note.startswith("Share of the gain of Ophora")]
    assert ["MViTv2" in note for note in notes] == [False, True]  # on test alone, none of `none`
    gain = {
        row.training_data: row.delta_vs_source.top1
        for row in found.rows
        if (row.classifier, row.split) == ("SlowFast", "test") and row.delta_vs_source
    }
    assert f"{gain['Source + Ophora']:+.2f} points: Bora" in notes[0]
    share = re.search(r"mine (-?\d+)% \[(-?\d+), (-?\d+)\]\.$", notes[0])
    assert share and int(share[1]) == round(100 * gain["Source + mine"] / gain["Source + Ophora"])
    assert int(share[2]) < int(share[1]) < int(share[3])
    useless = make_cell(tmp_path, "Source + none", accuracy=ARMS["Source"], ceiling=True)
    unclear = table2([*cells, useless]).notes
    assert any(re.match(r"Gain of none on test .*, not told from none", n) for n in unclear)


def test_files_are_equal_byte_for_byte_and_parse(tmp_path: Path, cells: list[Cell]) -> None:
    for stem, table in (("table2", table2(cells)), ("table1", table1())):
        first = write_table(table, tmp_path / "a", stem)
        again = write_table(type(table).model_validate(table.model_dump()), tmp_path / "b", stem)
        assert [p.name for p in first] == [f"{stem}.{s}" for s in ("md", "tex", "csv", "json")]
        for one, two in zip(first, again, strict=True):
            assert one.read_bytes() == two.read_bytes()
        loaded = type(table).model_validate_json(first[3].read_text())
        assert loaded == table
        assert len(list(csv.DictReader(io.StringIO(first[2].read_text())))) == len(table.rows)


def test_csv_has_plain_numbers(cells: list[Cell]) -> None:
    table = table2(cells)
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert float(rows[0]["top1_mean"]) == table.rows[0].top1.mean
    assert rows[0]["top1_std"] == "" and rows[0]["delta_p_value"] == rows[0]["delta_p_holm"] == ""
    for row, line in zip(table.rows, rows, strict=True):
        if row.delta_vs_source is not None:
            assert float(line["delta_ci95_high"]) == row.delta_vs_source.ci95[1]
            assert float(line["delta_p_holm"]) == row.delta_vs_source.p_holm


def test_the_paper_s_gain_stands_beside_ours(cells: list[Cell]) -> None:
    table = table2(cells)
    found = {
        (row.training_data, row.classifier): gain
        for row, gain in zip(table.rows, table.paper_gains, strict=True)
        if row.split == "test"
    }
    assert found["Source", "SlowFast"] is None and found["Source + mine", "SlowFast"] is None
    # Source: the paper, Table 2, phase, test: 41.05 and 37.04.
    assert found["Source + Ophora", "SlowFast"] == 4.01
    lines = [line for line in markdown(table).splitlines() if "| Source + Ophora" in line]
    assert any("| +4.01 |" in " ".join(line.split()) for line in lines)
    stored = csv.DictReader(io.StringIO(csv_text(table)))
    assert [float(line["delta_paper"] or "nan") for line in stored].count(4.01) == 1


def test_every_synthetic_row_names_the_audit(cells: list[Cell]) -> None:
    table = table2(cells, audits={("phase", arm_of("Source + Bora")): "failed"})
    shown = {"Source": None, "Source + Bora": "failed", "Source + Ophora": "not run",
             "Source + mine": "not run"}  # fmt: skip
    assert {row.training_data: row.audit for row in table.rows} == shown
    for row, line in zip(table.rows, csv.DictReader(io.StringIO(csv_text(table))), strict=True):
        assert line["audit"] == (row.audit or "")
    stored = table.rows[0].model_dump()
    with pytest.raises(pydantic.ValidationError, match="audit 'passed' of Source"):
        AccuracyRow.model_validate(stored | {"audit": "passed"})


def test_latex_is_booktabs_and_escaped() -> None:
    text = latex(table1())
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"mine\_100\%", r"\caption{Table 1."):
        assert part in text
    assert r"\hline" not in text and text.count("{table}") == 2


def test_warnings_and_what_real_clips_reach_are_printed() -> None:
    metrics = {"clipscore_x_9x9": metric(20.0, real=31.234, warning="9 features of 288 dimensions")}
    table = build_table1([("Ophora", None, metrics)], data="OphSim", scale="nano", protocol="p")
    text = markdown(table)
    assert "9 features of 288 dimensions" in text and "31.23" in text


def test_bad_tables_are_refused(tmp_path: Path, cells: list[Cell]) -> None:
    with pytest.raises(UserError, match="no cell"):
        table2([])
    with pytest.raises(UserError, match="seed appears twice"):
        table2([cells[0], cells[0]])
    other = make_cell(tmp_path, "Source + Ophora", cases=29)
    with pytest.raises(UserError, match="other clips than Source"):
        table2([cells[0], other])
    second = make_cell(tmp_path, "Source", seed=1, cases=29)
    with pytest.raises(UserError, match="different clips"):
        table2([cells[0], second])
    third = make_cell(tmp_path, "Source + Ophora", seed=1)
    with pytest.raises(UserError, match=r"seeds \[1\], but Source has \[0\]"):
        table2([cells[0], third])
    delta = table2(cells).model_dump()["rows"][4]["delta_vs_source"]
    with pytest.raises(pydantic.ValidationError, match="below p_value"):
        Delta.model_validate(delta | {"p_value": 0.5, "p_holm": 0.4})
    entries: list[Any] = [("A", None, {"fid_a": metric(1.0)}), ("B", None, {"fid_b": metric(1.0)})]
    with pytest.raises(pydantic.ValidationError, match="different metrics"):
        build_table1(entries, data="OphSim", scale="nano", protocol="p")
    with pytest.raises(pydantic.ValidationError, match="finite"):
        build_table1(
            [("A", None, {"fid_a": metric(float("nan"))})], data="d", scale="s", protocol="p"
        )
