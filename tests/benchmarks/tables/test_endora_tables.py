"""Endora's numbers beside ours: by data set, of quality and of F1."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from augment.arm import SOURCE
from benchmarks.config.files import load_config
from benchmarks.tables.build import build_table2
from benchmarks.tables.of_run import accuracy_table
from benchmarks.tables.paper import endora_data, endora_f1, endora_quality, paper_tables
from benchmarks.tables.plain import csv_text
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import grid, markdown
from benchmarks.tables.schema import Table1
from tests.benchmarks.records import make_record
from tests.benchmarks.scores import arm_of, make_cell

NAMES = ("fid_o_9x9", "fvd_s_9x9", "kvd_s_9x9", "is_s_9x9")
MODELS = ("Endora (w/ Ophora-160K)", "LVDM", "StyleGAN-V", "MoStGAN-V")


def table1(data: str, names: tuple[str, ...] = NAMES, **fields: Any) -> Table1:
    metrics = {name: {"value": 2.5, "n": 9, "encoder": "e", "ci95": (2.0, 3.0)} for name in names}
    entries = [(model, None, metrics) for model in MODELS]
    given = {"scale": "nano", "protocol": "p", "published": "endora"} | fields
    return build_table1(entries, data=data, **given)


def cells_of(table: Table1, model: str) -> dict[str, str]:
    header, body = grid(table)
    line = next(line for line in body if line[0] == model)
    return {f"{left} | paper": right for left, right in zip(header, line[1:], strict=False)}


def test_what_stands_for_its_data_sets_has_all_of_their_numbers_beside() -> None:
    table = table1("OphVL-sim")
    text = markdown(table)
    assert "is_s_9x9" in text and "2.50 [2.00, 3.00]" in text
    shown = cells_of(table, "StyleGAN-V")
    assert shown["fvd_s_9x9 | paper"] == "2110.70 / 183.50 / 594.10"
    assert shown["is_s_9x9 | paper"] == "2.12 / 2.77 / 3.36"
    assert cells_of(table, MODELS[0])["fid_o_9x9 | paper"] == "13.41 / 10.61 / 11.20"
    assert "Colonoscopic / Kvasir-Capsule / CholecTriplet, for which OphVL-sim stands" in text
    assert "Ophora-160K, many with text" not in text
    row = list(csv.DictReader(io.StringIO(csv_text(table))))[1]
    assert row["model"] == "LVDM" and row["fid_o_9x9_paper"] == ""
    assert float(row["fid_o_9x9_paper_Kvasir-Capsule"]) == 200.9
    assert row["kvd_s_9x9_paper_Colonoscopic"] == ""


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Colonoscopic", "Colonoscopic"),
        ("kvasir_capsule", "Kvasir-Capsule"),
        ("CholecT45_frames", "CholecTriplet"),
        ("CholecTriplet", "CholecTriplet"),
        ("OphVL-sim", None),
    ],
)
def test_a_data_set_is_known_by_its_folder(folder: str, name: str | None) -> None:
    assert endora_data(folder) == name
    found = endora_quality("MoStGAN-V", "fvd_i3d_2048x16", folder)
    assert list(found) == ([name] if name else ["Colonoscopic", "Kvasir-Capsule", "CholecTriplet"])


def test_on_one_of_its_data_sets_stands_that_one_s_number() -> None:
    table = table1("Colonoscopic")
    assert cells_of(table, "LVDM")["fvd_s_9x9 | paper"] == "1036.70"
    assert "at full scale, on Colonoscopic: compare" in markdown(table)
    assert endora_quality("Endora, whole", "fid_x", "Colonoscopic") == {"Colonoscopic": 13.41}
    assert endora_quality("Endora, plain", "fid_x", "Colonoscopic") == {}
    assert endora_quality("mine", "fid_x", "Colonoscopic") == {}


def test_inception_scores_of_frames_have_the_number_where_there_are_any() -> None:
    table = table1("OphVL-sim", (*NAMES, "is_inception_9x1"))
    beside = {name: len(metric.papers) for name, metric in table.rows[1].metrics.items()}
    assert beside["is_inception_9x1"] == 3 and beside["is_s_9x9"] == 0
    assert "is_s_9x9" not in table.printed


def test_without_a_number_of_a_paper_no_inception_score_is_printed() -> None:
    assert "is_s_9x9" not in table1("OphVL-sim", published="ophora").printed
    metrics = {name: {"value": 2.5, "n": 9, "encoder": "e"} for name in NAMES}
    entries = [("Endora, plain", None, metrics)]  # of Endora's Table 3
    ablation = build_table1(entries, data="OphVL-sim", scale="nano", protocol="p")
    assert ablation.rows[0].metrics["is_s_9x9"].paper == 3.61
    assert "is_s_9x9" in ablation.printed and not any("160K" in note for note in ablation.notes)


def test_its_f1_stands_beside_ours_and_ophora_s_numbers_do_not(tmp_path: Path) -> None:
    arms = ("Source", "Source + Ophora")
    cells = [make_cell(tmp_path, arm) for arm in arms]
    papers = {SOURCE: endora_f1("Supervised-only", "x"), arm_of("Ophora"): endora_f1("LVDM", "x")}
    table = build_table2(cells, data="OphSim", scale="nano", recipe="r", f1_papers=papers)
    header, body = grid(table)
    place = header.index("F1") + 1
    assert header[place] == "paper"
    assert {line[place] for line in body} == {"74.50 / 74.50", "76.20 / 78.00"}
    assert all(row.top1.paper is None for row in table.rows)
    row = next(csv.DictReader(io.StringIO(csv_text(table))))
    assert float(row["macro_f1_paper_CholecTriplet"]) == 74.5
    plain = build_table2(cells, data="OphSim", scale="nano", recipe="r")
    assert grid(plain)[0].count("paper") == header.count("paper") - 1
    assert endora_f1("Endora", "Colonoscopic") == {"Colonoscopic": 87.0}
    assert endora_f1("Bora", "Colonoscopic") == {}


def test_a_run_s_table_2_says_what_stands_for_what(tmp_path: Path) -> None:
    arms = ("Source + unlabelled_lvdm", "Source + unlabelled_endora")
    cells = [make_cell(tmp_path), *(make_cell(tmp_path, arm, labelled=False) for arm in arms)]

    def lines(**other: Any) -> tuple[list[dict[str, float]], str]:
        table = accuracy_table(make_record(load_config("endora_fixmatch"), cells, **other), cells)
        test = [row.f1_papers for row in table.rows if row.split == "test"]
        return test, "\n".join(table.notes)

    found, notes = lines()
    assert [each["Colonoscopic"] for each in found] == [74.5, 76.2, 87.0]
    assert "on Colonoscopic / CholecTriplet, for which OphVL-sim stands here" in notes
    assert "PolypDiag's class Abnormal, for which OphSim stands here" in notes
    found, notes = lines(data="PolypDiag", corpus="/data/CholecT45")
    assert found == [{"CholecTriplet": value} for value in (74.5, 78.0, 82.0)]
    assert "on CholecTriplet: compare" in notes and "stands" not in notes


def test_its_tables_are_complete() -> None:
    rows = paper_tables()["endora_table1"]["rows"]
    assert len(rows) == len({(row[0], row[1]) for row in rows}) == 4 * 3
    assert [len(row) for row in paper_tables()["endora_table2"]["rows"]] == [3] * 3
