"""Several runs side by side: `run_benchmark.py --compare RUN_DIR RUN_DIR ...`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydantic

from benchmarks.tables.render import MARK, plain_table
from benchmarks.tables.schema import Row2, Score, Table2
from core.errors import UserError
from core.files import read_json

_KEY = ["task", "split", "schedule", "training data", "classifier"]
HEADER = [*_KEY, "run", "data", "top-1", "top-5", "Δ top-1"]


def compare(folders: Sequence[Path]) -> str:
    """The rows of all runs' Table 2, equal rows together, as Markdown.

    Raises: UserError: if a folder holds no Table 2, or fewer than two are given.
    """
    if len(folders) < 2:
        raise UserError("--compare: give at least two results folders")
    tables = {folder: _load(folder) for folder in folders}
    rows = [
        (key, [*key, folder.name, table.data, _percent(row.top1), _percent(row.top5), _delta(row)])
        for folder, table in tables.items()
        for row in table.rows
        for key in [(row.task, row.split, row.schedule, row.training_data, row.classifier)]
    ]
    order = {key: index for index, key in enumerate(dict.fromkeys(key for key, _ in rows))}
    body = [cells for _, cells in sorted(rows, key=lambda entry: order[entry[0]])]
    return plain_table(body, HEADER)


def _load(folder: Path) -> Table2:
    path = folder / "table2.json"
    try:
        return Table2.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "table"
        raise UserError(
            f"{path}: no Table 2 of this suite ({field}: {first['msg']}): make it again"
        ) from None


def _percent(score: Score) -> str:
    mean, (low, high) = score.mean, score.ci95
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _delta(row: Row2) -> str:
    delta = row.delta_vs_source
    return "" if delta is None else f"{delta.top1:+.2f}{MARK * delta.significant}"
