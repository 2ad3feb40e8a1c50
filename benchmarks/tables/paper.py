"""The paper's tables, to stand beside ours."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from augment.arm import Arm
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.quality import METRICS
from benchmarks.scoring.evaluation import EVALUATED_SPLITS
from benchmarks.scoring.scores import Scored

PAPER_PATH = Path(__file__).with_name("paper_tables.json")
# A metric's prefix -> the paper's column.
PAPER_COLUMNS = {f"{name}_": metric.paper for name, metric in METRICS.items() if metric.paper}


@functools.cache
def paper_tables() -> dict[str, Any]:
    """Tables 1 and 2 of the Ophora paper, as printed there."""
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
    column = next((c for prefix, c in PAPER_COLUMNS.items() if metric.startswith(prefix)), None)
    for table in (paper_tables()["table1"], paper_tables()["endora_table3"]):
        for row in table["rows"]:
            if row[0] == model and column in table["columns"]:
                value = row[table["columns"].index(column)]
                return None if value is None else float(value)
    return None
