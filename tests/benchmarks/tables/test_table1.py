"""Table 1: protocols, printed metrics, the paper's numbers."""

import csv
import io
import json
from typing import Any

import pytest

from benchmarks.scoring.evaluation import Cell
from benchmarks.tables.paper import paper_accuracy, paper_quality, paper_tables
from benchmarks.tables.plain import csv_text
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import latex, markdown
from benchmarks.tables.schema import Table1
from tests.benchmarks.scores import arm_of


def metric(value: float, **fields: Any) -> dict[str, Any]:
    return {"value": value, "n": 256, "encoder": "ophclip_nano", "encoder_sha256": "ab"} | fields


def table1() -> Table1:
    names = (
        "fid_ophclip_nano_256x9",
        "kvd_slowfast_nano_256x9",
        "clipscore_mean_embedding_o_256x9",
        "recall_k5_slowfast_nano_256x9",
    )
    entries = [
        (model, "Ophora-160K", {name: metric(k + 0.5) for k, name in enumerate(names)})
        for model in ("Bora (w/ Ophora-160K)", "Ophora", "mine_100%")
    ]
    return build_table1(entries, data="OphSim", scale="nano", protocol="256 clips of 9 frames")


def test_table1_names_protocols_and_the_paper(cells: list[Cell]) -> None:
    table = table1()
    ophora = next(row for row in table.rows if row.model == "Ophora")
    papers = {name.split("_")[0]: m.paper for name, m in ophora.metrics.items()}
    assert papers == {"fid": 33.72, "kvd": None, "clipscore": 39.19, "recall": None}
    assert [m.paper for m in table.rows[2].metrics.values()] == [None] * 4
    text = markdown(table)
    assert "fid_ophclip_nano_256x9" in text and "33.72" in text and "256 clips of 9 frames" in text
    assert text.count("paper |") == 2  # no paper column where the paper has nothing


def test_only_the_main_metrics_are_printed_and_all_are_in_the_files() -> None:
    table = table1()
    name = "recall_k5_slowfast_nano_256x9"
    for text in (markdown(table), latex(table)):
        assert "recall" not in text and "further metrics (1)" in text
    row = next(csv.DictReader(io.StringIO(csv_text(table))))
    assert float(row[name]) == table.rows[0].metrics[name].value == 3.5
    assert name in table.model_dump(mode="json")["rows"][0]["metrics"]


def test_the_paper_s_tables_are_complete() -> None:
    tables = paper_tables()
    assert len(tables["table1"]["rows"]) == 8 and len(tables["table2"]) == 6
    assert paper_accuracy(arm_of("Bora"), "SlowFast", "test", "operation", "top1") == 28.88
    assert paper_quality("Endora", "clipscore_x") is None
    assert paper_quality("CogVideoX-2b (w/ OphVL)", "fvd_i3d_2048x16") == 532.47
    source, ophora = (
        [value for key, value in row.items() if key.endswith("top1")]
        for row in (tables["table2"][0], tables["table2"][4])
    )
    gains = [after - before for after, before in zip(ophora, source, strict=True)]
    assert gains == pytest.approx([4.00, 3.88, 4.01, 3.89])
    json.dumps(tables, allow_nan=False)


def test_the_papers_numbers_stand_beside_the_reference_with_text() -> None:
    fields = {
        "value": 1.0, "n": 4, "encoder": "e", "encoder_sha256": None, "num_frames": 9, "width": 96,
        "height": 64, "fps": 8.0, "codec": "h264",
    }  # fmt: skip
    names = ("fid_e_4x9", "fid_with_text_e_4x9", "fvd_e_4x9", "kvd_e_4x9")
    entries = [("Ophora", "Ophora-160K", dict.fromkeys(names, fields))]
    table = build_table1(entries, data="OphVL-sim", scale="nano", protocol="p")
    beside = {name: metric.paper for name, metric in table.rows[0].metrics.items()}
    assert beside == dict(zip(names, (None, 33.72, 276.96, None), strict=True))
    assert sum("those without" in note for note in table.notes) == 1
    plain = build_table1(
        [("Ophora", None, {"fid_e_4x9": fields})], data="OphVL-sim", scale="nano", protocol="p"
    )
    assert plain.rows[0].metrics["fid_e_4x9"].paper == 33.72
    assert not any("those without" in note for note in plain.notes)
    assert plain.notes[-1].startswith("The paper's numbers are on clips of Ophora-160K")
