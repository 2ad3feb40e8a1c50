"""The papers' tables, to stand beside ours: Ophora's, and Endora's, which are by data set."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augment.arm import Arm
from benchmarks.datasets.labels import plain
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.quality import METRICS
from benchmarks.scoring.evaluation import EVALUATED_SPLITS
from benchmarks.scoring.scores import Scored

PAPER_PATH = Path(__file__).with_name("paper_tables.json")
# A metric's prefix -> the paper's column.
PAPER_COLUMNS = {f"{name}_": metric.paper for name, metric in METRICS.items() if metric.paper}
# Endora's data sets by what a folder of one may be called.
ENDORA_DATA = {
    "colonoscopic": "Colonoscopic",
    "kvasir capsule": "Kvasir-Capsule",
    "cholect45": "CholecTriplet",
    "cholectriplet": "CholecTriplet",
}


@functools.cache
def paper_tables() -> dict[str, Any]:
    """Tables 1 and 2 of the Ophora paper and Endora's three, as printed there."""
    tables: dict[str, Any] = json.loads(PAPER_PATH.read_text(encoding="utf-8"))
    return tables


def paper_accuracy(arm: Arm, classifier: str, split: Scored, task: Task, name: str) -> float | None:
    """The paper's Table 2 value, percent; None where it has none (a user's own videos)."""
    for row in paper_tables()["table2"] if split in EVALUATED_SPLITS else ():
        if (row["training_data"], row["classifier"]) == (arm.label, classifier):
            return float(row[f"{split}_{task}_{name}"])
    return None


def paper_quality(model: str, metric: str) -> float | None:
    """The value that a metric answers to in Ophora's Table 1 or, for Endora's variants, in Endora's
    Table 3; None where there is none."""
    column = _column(metric)
    for table in (paper_tables()["table1"], paper_tables()["endora_table3"]):
        for row in table["rows"]:
            if row[0] == model and column in table["columns"]:
                value = row[table["columns"].index(column)]
                return None if value is None else float(value)
    return None


def endora_quality(model: str, metric: str, corpus: str) -> dict[str, float]:
    """The values that a metric answers to in Endora's Table 1, by data set: that of `corpus` alone
    where it is one of them, else all three, which it stands for."""
    table, column = paper_tables()["endora_table1"], _column(metric)
    if column not in table["columns"]:
        return {}
    place = table["columns"].index(column)
    name = model.partition(" (")[0].removesuffix(", whole")
    return _of_corpus({row[1]: row[place] for row in table["rows"] if row[0] == name}, corpus)


def endora_f1(training_data: str, corpus: str) -> dict[str, float]:
    """The F1 of Endora's Table 2, percent, by the data that its generators learned from, as in
    `endora_quality`.  Args: training_data: "Supervised-only", "LVDM" or "Endora"."""
    table = paper_tables()["endora_table2"]
    for name, *values in table["rows"]:
        if name == training_data:
            return _of_corpus(dict(zip(table["columns"][1:], values, strict=True)), corpus)
    return {}


def endora_data(corpus: str) -> str | None:
    """Which of Endora's data sets the name of a folder means; None for any other."""
    words = plain(corpus)
    return next((name for key, name in ENDORA_DATA.items() if words.startswith(key)), None)


def endora_note(corpus: str, names: Sequence[str], number: int) -> list[str]:
    """A sentence on what the numbers of an Endora's table are on; none without any.

    Args: names: of the data sets; number: of the table.
    """
    if not names:
        return []
    stands = "" if endora_data(corpus) else f", for which {corpus} stands here"
    return [
        f"The paper's numbers are of Endora's Table {number}, at full scale, on "
        f"{' / '.join(names)}{stands}: compare directions, not values."
    ]


def _of_corpus(values: dict[str, float], corpus: str) -> dict[str, float]:
    own = endora_data(corpus)
    return {name: value for name, value in values.items() if own in (None, name)}


def _column(metric: str) -> str | None:
    return next((c for prefix, c in PAPER_COLUMNS.items() if metric.startswith(prefix)), None)
