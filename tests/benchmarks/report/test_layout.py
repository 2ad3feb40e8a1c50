"""Tables as the page shows them: all numbers of the table, a row a training set and classifier."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from benchmarks.report.layout import stacked
from benchmarks.report.overview import SHAPES, overview, paint_accuracy, rows_of_test
from benchmarks.report.summary import BEGIN, END, put_into, summary_of
from benchmarks.tables.build import build_table2
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import delta_text
from benchmarks.tables.schema import Table2
from core.errors import UserError
from tests.benchmarks.scores import make_cell

SCHEDULES = ("matched_epochs", "matched_steps")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table2:
    folder = tmp_path_factory.mktemp("cells")
    cells = []
    for classifier in ("SlowFast", "MViTv2"):
        cells.append(make_cell(folder, "Source", accuracy=0.4, classifier=classifier))
        cells += [
            make_cell(folder, arm, accuracy=accuracy, classifier=classifier, schedule=schedule)
            for arm, accuracy in (("Source + Bora", 0.41), ("Source + Ophora", 0.65))
            for schedule in SCHEDULES
        ]
    return build_table2(cells, data="OphSim", scale="nano", recipe="reference")


def test_both_schedules_stand_in_one_row(table: Table2) -> None:
    header, body = stacked(table)
    assert header[:5] == ["Task", "Split", "Training data", "Classifier", "Top-1\nmatched\nepochs"]
    assert "Δ vs Source\nmatched\nsteps" in header and header.count("Paper") == 1
    assert all(len(line) == len(header) for line in body)
    keys = [tuple(line[:4]) for line in body]
    assert len(keys) == len(set(keys)) == len(table.rows) - 8  # 2 splits, 2 arms, 2 classifiers
    splits = [key[1] for key in keys]
    assert splits == sorted(splits)  # test, then val
    for row in table.rows:
        line = body[keys.index((row.task, row.split, row.training_data, row.classifier))]
        suffix = row.schedule.replace("_", "\n")
        top1 = line[header.index(f"Top-1\n{suffix}")].splitlines()
        assert top1[0] == f"{row.top1.mean:.2f}"
        assert top1[1] == "[{:.2f}, {:.2f}]".format(*row.top1.ci95)
        delta = line[header.index(f"Δ vs Source\n{suffix}")].splitlines()
        assert " ".join(delta[:2]) == delta_text(row.delta_vs_source)
        if row.delta_vs_source is not None:
            assert delta[2] == f"Holm p {row.delta_vs_source.p_holm:.4f}"
    ophora = body[keys.index(("phase", "test", "Source + Ophora", "SlowFast"))]
    assert ophora[header.index("Paper")] == "41.05\nΔ +4.01\ntop-5 77.43"
    source = body[keys.index(("phase", "test", "Source", "SlowFast"))]
    assert source[-4:] == ["–"] * 4  # trained once


def test_a_metric_has_its_protocol_below_its_name() -> None:
    metrics = {"fid_x_256x9": {"value": 3.0, "n": 256, "encoder": "x", "ci95": [2.5, 3.5]}}
    table = build_table1([("Ophora", None, metrics)], data="OphSim", scale="nano", protocol="p")
    header, body = stacked(table)
    assert header == ["Model", "Fine-tuned on", "FID\nx_256x9"]
    assert body == [["Ophora", "–", "3.00\n[2.50, 3.50]\npaper 33.72"]]


def test_the_picture_has_a_dot_for_each_row_of_test(table: Table2) -> None:
    (chart,) = overview(table)
    assert chart.name == "accuracy_phase" and "+ Ophora" in chart.svg
    assert "matched steps" in chart.svg and "SlowFast" in chart.svg
    assert chart.svg == overview(table)[0].svg
    rows = rows_of_test(table, "phase")
    axes = Figure(layout="constrained").add_subplot()
    paint_accuracy(axes, rows)
    dots = [(line.get_xdata()[0], line.get_marker()) for line in axes.lines
            if len(line.get_xdata()) == 1]  # fmt: skip
    assert sorted(dots) == sorted((row.top1.mean, SHAPES[row.schedule]) for row in rows)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Source", "+ Bora", "+ Ophora"]


def test_the_summary_has_a_line_a_generator_and_classifier(table: Table2) -> None:
    text = summary_of(table)
    lines = [line for line in text.splitlines() if line.startswith("| phase")]
    assert [line.split(" | ")[1].strip() for line in lines] == [
        "Source + Bora", "Source + Bora", "Source + Ophora", "Source + Ophora",
    ]  # fmt: skip
    assert "+4.01" in lines[2] and max(map(len, text.splitlines())) <= 160
    finding = " ".join(text.partition("\n\n")[0].split())
    assert "At matched epochs: Bora showed no reliable difference in top-1; Ophora ra" in finding
    page = put_into(f"a\n{BEGIN}\nold\n{END}\nb\n", table)
    assert page.startswith(f"a\n{BEGIN}\n**") and page.endswith(f"{END}\nb\n") and "old" not in page
    assert put_into(page, table) == page
    with pytest.raises(UserError, match="lacks"):
        put_into("no marks", table)
