"""Per class: differences from Source, confusions and their figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from augment.arm import SOURCE
from benchmarks.collect.shown import mistakes_of
from benchmarks.report.classes import class_table, confusion_chart, confusion_rows, shares_of
from tests.benchmarks.scores import arm_of, make_cell

NAMES = [f"p{k}" for k in range(52)]


def test_the_table_is_source_and_what_each_arm_adds(tmp_path: Path) -> None:
    arms = {"Source": 0.3, "Source + Ophora": 0.8}
    cells = [
        make_cell(tmp_path, arm, accuracy=accuracy, classifier="SlowFast", seed=seed)
        for arm, accuracy in arms.items()
        for seed in (0, 1)
    ]
    table = class_table(cells, "phase", NAMES, {0: "head"})
    assert table is not None
    assert table.header == ("Class", "Group", "Source", "Δ Ophora")
    label = min(cells[0].splits["test"].recall_by_class)
    means = [
        np.mean([cell.splits["test"].recall_by_class[label] for cell in cells[place : place + 2]])
        for place in (0, 2)
    ]
    group = "head" if label == 0 else "tail"
    assert table.rows[0] == (
        f"{label} · p{label}", group, f"{means[0]:.1f}", f"{means[1] - means[0]:+.1f}"
    )  # fmt: skip
    assert class_table(cells[2:], "phase", NAMES, {}) is None  # nothing to compare with


def test_confusions_are_shares_of_the_true_class() -> None:
    labels = np.array([0, 0, 0, 0, 1, 2])
    named = np.array([0, 1, 1, 2, 1, 0])
    shares = shares_of(mistakes_of(np.eye(4)[named], labels), 4)
    np.testing.assert_allclose(shares[0], [0.25, 0.5, 0.25, 0])
    np.testing.assert_allclose(shares.sum(1), [1, 1, 1, 0])
    better = np.eye(4)
    rows = confusion_rows("X", {SOURCE: shares, arm_of("A"): better}, NAMES[:4])
    assert rows[0] == ("X", "p2", "p0", "100", "0")
    assert rows[1] == ("X", "p0", "p1", "50", "0") and len(rows) == 3
    chart = confusion_chart("phase", "X", shares)
    assert chart.svg == confusion_chart("phase", "X", shares).svg and "<svg" in chart.svg
