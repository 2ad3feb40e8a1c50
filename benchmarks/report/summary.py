"""The README's few lines of Table 2: what was found, and each generator's gain beside the paper's.

Table 2 -> headline, a line for each augmented training set and classifier -> between two marks
"""

from __future__ import annotations

import textwrap

from benchmarks.report.sentences import headline_of
from benchmarks.tables.render import MISSING, delta_text, plain_table
from benchmarks.tables.schema import AccuracyRow, Table2
from core.errors import UserError

BEGIN, END = "<!-- table2:begin -->", "<!-- table2:end -->"
COLUMNS = 150
SCHEDULES = ("matched_epochs", "matched_steps")


def summary_of(table: Table2) -> str:
    """Markdown: a bold finding, a table of the test split; equal tables give equal text."""
    rows = [row for row in table.rows if row.split == "test"]
    gains = {
        (row.task, row.arm, row.classifier): gain
        for row, gain in zip(table.rows, table.paper_gains, strict=True)
        if row.split == "test" and gain is not None
    }
    found: dict[tuple[str, str, str], dict[str, AccuracyRow]] = {}
    for row in rows:
        found.setdefault((row.task, row.training_data, row.classifier), {})[row.schedule] = row
    sources = {
        (row.task, row.classifier): row.top1.mean for row in rows if row.delta_vs_source is None
    }
    body = []
    for (task, training_data, classifier), by_schedule in found.items():
        first = next(iter(by_schedule.values()))
        if first.delta_vs_source is None:
            continue
        gain = gains.get((first.task, first.arm, classifier))
        body.append(
            [
                task,
                training_data,
                classifier,
                f"{sources[first.task, classifier]:.2f}",
                *(_gain(by_schedule.get(schedule)) for schedule in SCHEDULES),
                MISSING if gain is None else f"{gain:+.2f}",
            ]
        )
    header = ["Task", "Training data", "Classifier", "Source"]
    header += ["gain, matched epochs", "gain, matched steps", "the paper's"]
    finding = textwrap.fill(f"**{headline_of(table)}**", COLUMNS)
    return f"{finding}\n\n{plain_table(body, header)}\n"


def put_into(page: str, table: Table2) -> str:
    """The page with the summary between its two marks.

    Raises: UserError: if the page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"--readme: the page lacks {BEGIN} or {END}: put both where the table goes")
    return f"{before}{BEGIN}\n{summary_of(table)}{END}{after}"


def _gain(row: AccuracyRow | None) -> str:
    return MISSING if row is None else delta_text(row.delta_vs_source)
